package simulate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/internal/sim"
	"github.com/redrive/redrive/internal/sim/oracle"
	"github.com/redrive/redrive/internal/sim/report"
	"github.com/redrive/redrive/internal/sim/world"
	"github.com/redrive/redrive/ports"
)

// Config says what is simulated, and how much of it.
type Config struct {
	// Options are your own. Fields that are zero are as the simulator has them:
	// leases and distances that are short, so that worlds get over them. Roll and
	// DispatchTimeout are not used.
	Options app.Options
	Wrap    Wrap
	First   uint64        // seed; 0 is one like any other
	Seeds   uint64        // worlds at most; 0: 1,000, or what For is enough for
	For     time.Duration // how long at most; 0: no limit
	Workers int           // goroutines; 0: one per core
}

// Wrap is what you put around ports. A nil leaves a port as it is.
type Wrap struct {
	Store    func(ports.Store) ports.Store
	Queue    func(ports.Queue) ports.Queue
	Executor func(ports.Executor) ports.Executor
}

// Report is what a search did. Without For, all of it follows from the Config.
type Report struct {
	Seeds     uint64 // worlds played
	Steps     uint64 // in all of them
	Violation *Violation
	// Situations says in how many worlds each interesting situation was met. One
	// that is 0 was not tried.
	Situations map[string]int64
}

// Violation is a rule that did not hold, in the smallest world that was found.
type Violation struct {
	Rule  string // its name, for example I4
	Words string // what must hold
	Found string // what was found
	Step  int    // of the world
	Seed  uint64
	Token string // for Replay and Explain
	Trace string // everything about it, for a terminal
}

// Replayed is a world that was played from a token.
type Replayed struct {
	Violation *Violation // nil if every rule held
	Trace     string     // for a terminal
	// Changed says that another program made the token, so that the trace may be
	// another one.
	Changed bool
}

var (
	// ErrToken says that a token cannot be read.
	ErrToken = sim.ErrToken
	// ErrNotDeterministic says that a world was not the same when it was played
	// again: a wrapper does something that it must not.
	ErrNotDeterministic = errors.New("simulate: the world is not the same when it is played again")
)

const defaultSeeds = 1000

func (c Config) wrap() world.Wrap {
	return world.Wrap{Store: c.Wrap.Store, Queue: c.Wrap.Queue, Executor: c.Wrap.Executor, Options: c.Options}
}

// Run plays a world for each seed and ends at the first violation, which it
// shrinks. An error says that nothing can be known; a violation is none.
func Run(ctx context.Context, c Config) (Report, error) {
	config := sim.DefaultConfig()
	config.First, config.Seeds, config.For, config.Workers, config.Wrap = c.First, c.Seeds, c.For, c.Workers, c.wrap()
	if config.Seeds == 0 && config.For == 0 {
		config.Seeds = defaultSeeds
	}
	played, err := sim.Campaign(ctx, config)
	if err != nil {
		return Report{}, fmt.Errorf("simulate: %w", err)
	}
	r := Report{Seeds: played.Seeds, Steps: played.Steps, Situations: map[string]int64{}}
	for i, worlds := range played.Situations {
		r.Situations[oracle.Situation(i).String()] = worlds
	}
	if len(played.Found) == 0 {
		return r, ctx.Err()
	}
	r.Violation, err = smallest(ctx, c, &played.Found[0])
	return r, err
}

func smallest(ctx context.Context, c Config, f *sim.Found) (*Violation, error) {
	again, err := sim.ReplayWith(f.Token, c.wrap())
	if err != nil {
		return nil, fmt.Errorf("simulate: %w", err)
	}
	if again.Hash != f.Hash {
		return nil, fmt.Errorf("%w: seed %d violates %s", ErrNotDeterministic, f.Seed, f.Violation.Rule)
	}
	token, _, err := sim.Shrink(ctx, f.Token, sim.ShrinkOptions{Wrap: c.wrap()})
	if err != nil {
		return nil, fmt.Errorf("simulate: shrink: %w", err)
	}
	shrunk, err := Replay(c, token.String())
	return shrunk.Violation, err
}

// Replay plays a token again, with the Config that it was found with. ErrToken.
func Replay(c Config, token string) (Replayed, error) {
	played, err := c.replay(token)
	if err != nil {
		return Replayed{}, err
	}
	var text strings.Builder
	if err := report.Text(&text, played, report.All); err != nil {
		return Replayed{}, err
	}
	r := Replayed{Trace: text.String(), Changed: played.Changed}
	if v := played.Result.Violation; v != nil {
		r.Violation = &Violation{
			Rule: v.Rule.String(), Words: v.Rule.Words(), Found: v.Text, Step: v.Step,
			Seed: played.Scenario.Seed, Token: token, Trace: r.Trace,
		}
	}
	return r, nil
}

// Explain writes an HTML page about a token, which needs nothing else. ErrToken.
func Explain(c Config, token string, to io.Writer) error {
	played, err := c.replay(token)
	if err != nil {
		return err
	}
	return report.HTML(to, played)
}

func (c Config) replay(token string) (*report.Case, error) {
	t, err := sim.ParseToken(token)
	if err != nil {
		return nil, err
	}
	played, err := sim.ReplayWith(t, c.wrap())
	if err != nil {
		return nil, fmt.Errorf("simulate: %w", err)
	}
	sc, err := t.World()
	if err != nil {
		return nil, fmt.Errorf("simulate: %w", err)
	}
	return &report.Case{
		Token: token, Command: fmt.Sprintf("simulate.Replay(config, %q)", token), Changed: played.Changed,
		Scenario: sc, Result: played.Result,
	}, nil
}
