package sim_test

import (
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/redrive/redrive/internal/sim/oracle"
	"github.com/redrive/redrive/internal/sim/world"
)

// drawnWorlds is a property: in every drawn world with every drawn schedule,
// everything holds. The rule that is violated first is pinned: while rapid shrinks,
// it takes every failure at the same place for the same one, and would end with
// another mistake than the one that it began with.
type drawnWorlds struct {
	world    *world.World
	pinned   oracle.Rule
	smallest world.Result
	ops      int
	slots    int
}

func (d *drawnWorlds) check(t *rapid.T) {
	scenario, chooser := drawScenario(t), drawChooser(t)
	r, err := d.world.Run(scenario, chooser, world.Options{})
	if err != nil {
		t.Fatalf("play: %v", err)
	}
	v := r.Violation
	if v == nil || d.pinned != oracle.None && v.Rule != d.pinned {
		return
	}
	d.pinned, d.smallest, d.ops, d.slots = v.Rule, r, scenario.Ops(), len(chooser.next)+len(chooser.pick)
	t.Fatalf("%s: %s", v.Rule, v.Text)
}

// In drawn worlds everything holds.
func TestDrawnWorlds(t *testing.T) {
	t.Parallel()
	w, err := world.New()
	require.NoError(t, err)
	defer w.Close()
	rapid.Check(t, (&drawnWorlds{world: w}).check)
}

// Planted mistakes are found in drawn worlds, and what is left of the world breaks
// the rule that was broken first.
func TestDrawnWorldsFindPlanted(t *testing.T) {
	t.Parallel()
	found := 0
	for _, p := range planted {
		w, err := world.NewWith(p.wrap())
		require.NoError(t, err)
		d := &drawnWorlds{world: w}
		began := time.Now()
		failed := checkFails(d.check)
		w.Close()
		if !failed {
			continue
		}
		found++
		require.NotNil(t, d.smallest.Violation, p.name)
		require.Equal(t, d.pinned, d.smallest.Violation.Rule, p.name)
		t.Logf("%-36s %-12s %d operations, %d slots, %d steps, in %s", p.name, d.pinned, d.ops, d.slots, d.smallest.Steps, time.Since(began).Round(time.Millisecond))
	}
	require.GreaterOrEqual(t, found, 8)
}

// checkFails reports whether a property fails, without failing the test. Check ends
// its goroutine when it does.
func checkFails(property func(*rapid.T)) bool {
	tb := &quiet{}
	done := make(chan struct{})
	go func() {
		defer close(done)
		rapid.Check(tb, property)
	}()
	<-done
	return tb.failed
}

// quiet is a test that nobody looks at.
type quiet struct {
	rapid.TB // nil: what is not here is not called
	failed   bool
}

func (q *quiet) Helper()               {}
func (q *quiet) Name() string          { return "quiet" }
func (q *quiet) Logf(string, ...any)   {}
func (q *quiet) Log(...any)            {}
func (q *quiet) Errorf(string, ...any) { q.failed = true }
func (q *quiet) Error(...any)          { q.failed = true }
func (q *quiet) Fail()                 { q.failed = true }
func (q *quiet) Failed() bool          { return q.failed }
func (q *quiet) Fatalf(string, ...any) { q.FailNow() }

func (q *quiet) FailNow() {
	q.failed = true
	runtime.Goexit()
}
