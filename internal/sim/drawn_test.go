package sim_test

import (
	"fmt"
	"time"

	"pgregory.net/rapid"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/internal/sim/sched"
	"github.com/redrive/redrive/internal/sim/world"
)

// bits draws a number below 2^n, every one equally likely: rapid's own ranges
// prefer the small ones, so that what is late in a world would hardly ever be hit.
// Zero is the simplest, so whatever is drawn means nothing special when it is zero.
func bits(t *rapid.T, n int, label string) int {
	v := 0
	for range n {
		v <<= 1
		if rapid.Bool().Draw(t, label) {
			v |= 1
		}
	}
	return v
}

// drawnChooser deviates from the default at as many places as it has slots. Slots
// are drawn before the world begins: one draw for each of its hundreds of choices
// would take minutes to shrink.
type drawnChooser struct {
	next, pick   map[int]int // by the how manieth choice it is
	nexts, picks int
}

var _ sched.Chooser = (*drawnChooser)(nil)

const (
	drawnSlots = 10
	nextBits   = 7 // worlds of drawn scenarios have about 100 choices of who goes on
	pickBits   = 9 // and some 400 of faults
)

func drawChooser(t *rapid.T) *drawnChooser {
	c := &drawnChooser{next: map[int]int{}, pick: map[int]int{}}
	for range drawnSlots {
		if v := bits(t, 2, "next"); v > 0 {
			c.next[bits(t, nextBits, "at")] = v
		}
		if v := bits(t, 3, "pick"); v > 0 {
			c.pick[bits(t, pickBits, "at")] = v
		}
	}
	return c
}

// Next implements sched.Chooser.
func (c *drawnChooser) Next(_ sched.Point, ready sched.Set, def sched.ActorID) sched.ActorID {
	c.nexts++
	v, ok := c.next[c.nexts-1]
	if !ok {
		return def
	}
	at := 0
	for ready.At(at) != def {
		at++
	}
	return ready.At((at + v) % ready.Len())
}

// Pick implements sched.Chooser.
func (c *drawnChooser) Pick(_ sched.Point, n int) int {
	c.picks++
	return c.pick[c.picks-1] % n
}

const (
	drawnUsers = 3
	drawnOps   = 3 // of each user, after the runs are initiated
	drawnRuns  = 2
)

// drawScenario draws a world of two tenants, two runs and three users. An operation
// of zero bits is none.
func drawScenario(t *rapid.T) *world.Scenario {
	s := &world.Scenario{
		Seed: uint64(bits(t, 4, "outcomes")), Start: time.Date(2026, time.November, 28, 12, 0, 0, 0, time.UTC),
		Recoverers: 1, FaultSteps: 160, Servers: []world.Server{{Concurrency: 1, Transactions: 1}, {Concurrency: 2, Transactions: 2}},
	}
	if rapid.Bool().Draw(t, "month ends") {
		s.Start = time.Date(2026, time.November, 30, 23, 59, 50, 0, time.UTC)
	}
	s.RecoverLate = rapid.Bool().Draw(t, "recover late")
	s.Early, s.Breaker, s.Unmended = rapid.Bool().Draw(t, "early"), rapid.Bool().Draw(t, "keeps back"), rapid.Bool().Draw(t, "unmended")
	if s.Refillers = bits(t, 1, "refills"); s.Refillers > 0 {
		s.Unlucky = bits(t, 1, "unlucky")
	}
	for n := range drawnRuns {
		mode := core.ModePerFile
		if rapid.Bool().Draw(t, "batch") {
			mode = core.ModeBatch
		}
		tenant := 0
		if n > 0 && rapid.Bool().Draw(t, "other tenant") {
			tenant = 1
		}
		s.Tenants = append(s.Tenants, world.Tenant{
			ID:        core.TenantID(fmt.Sprintf("tenant-%d", n)),
			Allowance: core.Credits(bits(t, 5, "allowance")), Purchased: core.Credits(bits(t, 5, "purchased")),
		})
		s.Templates = append(s.Templates, world.Template{
			ID: core.TemplateID(fmt.Sprintf("template-%d", n)), Tenant: tenant, Price: core.Credits(bits(t, 3, "price")), Mode: mode,
		})
		s.Runs = append(s.Runs, world.Run{Template: n, Files: 1 + bits(t, 1, "files"), MaxRetryCount: 1 + bits(t, 1, "retries")})
	}
	s.Users = make([][]world.Op, drawnUsers)
	for n := range s.Runs {
		s.Users[n] = append(s.Users[n], world.Op{Kind: world.Initiate, Run: n, Again: rapid.Bool().Draw(t, "again")})
	}
	for u := range s.Users {
		for range drawnOps {
			if op, ok := drawOp(t, u); ok {
				s.Users[u] = append(s.Users[u], op)
			}
		}
	}
	return s
}

func drawOp(t *rapid.T, user int) (op world.Op, ok bool) {
	kind := bits(t, 4, "operation")
	if kind == 0 {
		return op, false
	}
	op = world.Op{Run: bits(t, 1, "run"), Again: rapid.Bool().Draw(t, "again")}
	op.Template, op.Tenant = op.Run, op.Run
	switch kind {
	case 1, 2, 3:
		op.Kind, op.Early = world.Continue, rapid.Bool().Draw(t, "early")
		if rapid.Bool().Draw(t, "keyed") {
			op.Key = core.Key(fmt.Sprintf("key-%d", bits(t, 1, "key")))
		}
	case 4:
		op.Kind = world.Cancel
	case 5:
		op.Kind, op.Key, op.Amount = world.Purchase, core.Key(fmt.Sprintf("purchase-%d", user)), 7
	case 6:
		op.Kind, op.Amount = world.Reprice, core.Credits(bits(t, 3, "price"))
	case 7:
		op.Kind = world.Raise
	case 8:
		op.Kind, op.Amount = world.Edit, core.Credits(bits(t, 2, "instructions"))
	case 9:
		op.Kind, op.Amount = world.Enroll, core.Credits(1+bits(t, 3, "allowance"))
	case 10:
		op.Kind, op.Amount = world.Break, core.Credits(bits(t, 2, "fault"))
	case 11:
		op.Kind = world.Mend
	default:
		op.Kind, op.Accepts = world.Continue, world.Accepts(1+bits(t, 1, "accepts"))
	}
	return op, true
}
