package memory

import (
	"strconv"
	"sync/atomic"

	"github.com/google/uuid"

	"github.com/redrive/redrive/ports"
)

// UUIDs makes UUIDs of version 7, which ascend by time.
type UUIDs struct{}

var (
	_ ports.IDs = UUIDs{}
	_ ports.IDs = (*Sequence)(nil)
)

// NewID implements ports.IDs. It panics if the machine has no randomness left,
// because an ID that is not unique would mix up two runs.
func (UUIDs) NewID() string { return uuid.Must(uuid.NewV7()).String() }

// Sequence makes prefix-1, prefix-2, …: IDs that are the same in every run of
// a test or a simulation.
type Sequence struct {
	prefix string
	last   atomic.Int64
}

// NewSequence makes a Sequence.
func NewSequence(prefix string) *Sequence { return &Sequence{prefix: prefix + "-"} }

// NewID implements ports.IDs.
func (s *Sequence) NewID() string { return s.prefix + strconv.FormatInt(s.last.Add(1), 10) }
