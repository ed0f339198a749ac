package sim

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"github.com/redrive/redrive/internal/sim/sched"
	"github.com/redrive/redrive/internal/sim/world"
)

// TokenVersion is that of the token's format and of what scenarios are made of.
const TokenVersion = "sim3"

// Token is everything that a replay needs.
type Token struct {
	Build      string // hash of the code that made it, so that a replay can say when it changed
	Scenario   string // name of a small scenario; empty for the default one of Seed
	Seed       uint64 // of the scenario
	Dropped    []int  // parts that shrinking left out, see world.Scenario.Drop
	Deviations []sched.Deviation
}

// World makes the scenario of a token as it is played: without what was left out.
func (t Token) World() (*world.Scenario, error) {
	sc := world.Default(t.Seed)
	if t.Scenario != "" {
		var err error
		if sc, err = world.Named(t.Scenario); err != nil {
			return nil, err
		}
	}
	return sc, sc.Drop(t.Dropped)
}

// ErrToken says that a token cannot be read.
var ErrToken = errors.New("not a token of this simulator")

// String writes the token in one line, which ParseToken reads.
func (t Token) String() string {
	var b []byte
	b = binary.AppendUvarint(b, t.Seed)
	b = binary.AppendUvarint(b, uint64(len(t.Dropped)))
	for _, d := range t.Dropped {
		b = binary.AppendUvarint(b, uint64(d))
	}
	b = binary.AppendUvarint(b, uint64(len(t.Deviations)))
	for _, d := range t.Deviations {
		b = append(b, byte(d.Actor), byte(d.Kind), d.Value)
		b = binary.AppendUvarint(b, uint64(d.Nth))
		b = binary.AppendUvarint(b, uint64(d.Step))
	}
	if t.Scenario != "" {
		b = binary.AppendUvarint(b, uint64(len(t.Scenario)))
		b = append(b, t.Scenario...)
	}
	return TokenVersion + "." + t.Build + "." + base64.RawURLEncoding.EncodeToString(b)
}

// ParseToken reads what String wrote. ErrToken.
func ParseToken(s string) (Token, error) {
	parts := strings.Split(strings.TrimSpace(s), ".")
	if len(parts) != 3 {
		return Token{}, fmt.Errorf("%w: it has %d parts, not 3", ErrToken, len(parts))
	}
	if parts[0] != TokenVersion {
		return Token{}, fmt.Errorf("%w: its format is %q, not %q", ErrToken, parts[0], TokenVersion)
	}
	raw, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil {
		return Token{}, fmt.Errorf("%w: %w", ErrToken, err)
	}
	r := reader{rest: raw}
	t := Token{Build: parts[1], Seed: r.uvarint()}
	for range r.length() {
		t.Dropped = append(t.Dropped, int(r.uvarint()))
	}
	for range r.length() {
		d := sched.Deviation{Point: sched.Point{Actor: sched.ActorID(r.byte()), Kind: sched.Kind(r.byte())}, Value: r.byte()}
		d.Nth, d.Step = uint16(r.uvarint()), uint32(r.uvarint())
		t.Deviations = append(t.Deviations, d)
	}
	if len(r.rest) > 0 {
		t.Scenario = r.name()
	}
	if r.short || len(r.rest) > 0 {
		return Token{}, fmt.Errorf("%w: it is damaged", ErrToken)
	}
	return t, nil
}

type reader struct {
	rest  []byte
	short bool
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.rest)
	if n <= 0 {
		r.short, r.rest = true, nil
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

// length is that of a list, which cannot have more items than bytes are left.
func (r *reader) length() int {
	n := r.uvarint()
	if n > uint64(len(r.rest)) {
		r.short = true
		return 0
	}
	return int(n)
}

// name is a string that is not empty: an empty one would not have been written.
func (r *reader) name() string {
	n := r.length()
	if n == 0 {
		r.short = true
	}
	name := string(r.rest[:n])
	r.rest = r.rest[n:]
	return name
}

func (r *reader) byte() byte {
	if len(r.rest) == 0 {
		r.short = true
		return 0
	}
	b := r.rest[0]
	r.rest = r.rest[1:]
	return b
}
