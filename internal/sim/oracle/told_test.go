package oracle_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/internal/sim/oracle"
)

// The end of an attempt and a Continue are told once, as they are, by whatever writes them.
func TestTold(t *testing.T) {
	t.Parallel()
	deeds := []struct {
		name string
		do   func(t *testing.T) (w *world, deed func())
	}{
		{"Settle", func(t *testing.T) (*world, func()) {
			w := claimed(t)
			return w, func() { w.settle(core.OutcomeTransient, func(*core.SettlePlan) {}) }
		}},
		{"SettleInterrupted", func(t *testing.T) (*world, func()) {
			w := claimed(t)
			return w, func() { w.settle(core.OutcomeInterrupted, func(*core.SettlePlan) {}) }
		}},
		{"Interrupt", func(t *testing.T) (*world, func()) {
			w := initiated(t)
			return w, func() { w.interrupt(func(*core.InterruptPlan) {}) }
		}},
		{"Cancel", func(t *testing.T) (*world, func()) {
			w := initiated(t)
			return w, func() {
				plan, err := core.PlanCancel(w.run, nil, now)
				require.NoError(t, err)
				w.touch(oracle.UseCancel, plan.Run, plan.Files)
			}
		}},
		{"CompensateInitiate", func(t *testing.T) (*world, func()) {
			w := initiated(t)
			return w, func() { w.compensate(func(*core.CompensatePlan) {}) }
		}},
		{"CompensateContinue", func(t *testing.T) (*world, func()) {
			w := settled(t, core.OutcomeTransient)
			w.retry(func(*core.RetryPlan) {})
			return w, func() { w.compensate(func(*core.CompensatePlan) {}) }
		}},
		{"Continue", func(t *testing.T) (*world, func()) {
			w := settled(t, core.OutcomeTransient)
			return w, func() { w.retry(func(*core.RetryPlan) {}) }
		}},
	}
	// another is what the deed tells, of a run that is not quite as it is.
	another := func(change func(*core.Run)) func(*oracle.Commit) {
		return func(c *oracle.Commit) {
			run := c.Runs[0]
			change(&run)
			if c.Told[0].Type == core.EventRunContinued {
				c.Told[0] = core.ContinuedEvent(run, c.Attempts[0])
				return
			}
			c.Told[0] = core.ClosingEvent(run, len(c.Marks) > 0, now)
		}
	}
	for _, d := range deeds {
		for _, c := range []struct {
			name string
			want oracle.Rule
			told func(*oracle.Commit)
		}{
			{"Told", oracle.None, func(*oracle.Commit) {}},
			{"CreditsLowToo", oracle.None, func(c *oracle.Commit) {
				c.Told = append(c.Told, core.WebhookEvent{Type: core.EventCreditsLow, Run: "run"})
			}},
			{"Nothing", oracle.Told, func(c *oracle.Commit) { c.Told = nil }},
			{"Twice", oracle.Told, func(c *oracle.Commit) { c.Told = append(c.Told, c.Told[0]) }},
			{"OfAnotherRun", oracle.Told, func(c *oracle.Commit) { c.Told[0].Run = "other" }},
			{"AnotherAttempt", oracle.Told, another(func(r *core.Run) { r.Attempt++ })},
			{"AnotherStatus", oracle.Told, another(func(r *core.Run) { r.Status = core.RunCompletedWithErrors })},
			{"OtherCredits", oracle.Told, another(func(r *core.Run) { r.CreditsConsumed++ })},
			{"AnotherType", oracle.Told, func(c *oracle.Commit) {
				types := map[core.WebhookEventType]core.WebhookEventType{
					core.EventRunClosed: core.EventRunInterrupted, core.EventRunInterrupted: core.EventRunClosed,
					core.EventRunContinued: core.EventRunClosed,
				}
				c.Told[0].Type = types[c.Told[0].Type]
			}},
			{"TheOtherDeedToo", oracle.Told, func(c *oracle.Commit) {
				if c.Told[0].Type == core.EventRunContinued {
					c.Told = append(c.Told, core.ClosingEvent(c.Runs[0], false, now))
					return
				}
				c.Told = append(c.Told, core.ContinuedEvent(c.Runs[0], core.Attempt{Number: c.Runs[0].Attempt}))
			}},
		} {
			t.Run(d.name+"/"+c.name, func(t *testing.T) {
				t.Parallel()
				w, deed := d.do(t)
				w.told = func(commit *oracle.Commit) {
					require.Len(t, commit.Told, 1)
					c.told(commit)
				}
				deed()
				if c.want == oracle.None {
					require.Nil(t, w.Violation())
					return
				}
				require.NotNil(t, w.Violation())
				require.Equal(t, c.want.String(), w.Violation().Rule.String(), w.Violation().Text)
			})
		}
	}
}

// Work that ends no attempt tells nothing.
func TestToldOfNothing(t *testing.T) {
	t.Parallel()
	w := initiated(t)
	w.told = func(c *oracle.Commit) {
		require.Empty(t, c.Told)
		c.Told = append(c.Told, core.ClosingEvent(c.Runs[0], false, now))
	}
	w.claim()
	require.NotNil(t, w.Violation())
	require.Equal(t, oracle.Told.String(), w.Violation().Rule.String(), w.Violation().Text)
}
