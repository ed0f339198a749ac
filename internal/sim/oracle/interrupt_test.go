package oracle_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/internal/sim/oracle"
)

// What the rules of core do with interruptions is right: no rule fails on it.
func TestSoundInterruption(t *testing.T) {
	t.Parallel()
	w := settled(t, core.OutcomeInterrupted)
	require.Equal(t, core.RunInterrupted, w.Row("run").Status)
	for range 4 { // as often as it takes: none of them is charged or uses up a retry
		w.retry(func(*core.RetryPlan) {})
		w.compensate(func(*core.CompensatePlan) {})
		w.retry(func(*core.RetryPlan) {})
		w.claim()
		w.settle(core.OutcomeInterrupted, func(*core.SettlePlan) {})
	}
	w.retry(func(*core.RetryPlan) {})
	w.claim()
	w.settle(core.OutcomeCompleted, func(*core.SettlePlan) {})
	require.Nil(t, w.Violation())
	require.Equal(t, core.RunCompleted, w.Row("run").Status)
	require.EqualValues(t, 6, w.Row("run").CreditsConsumed)
	var met oracle.Situations
	w.Situations(&met)
	require.EqualValues(t, 1, met[oracle.ContinueInterrupted])
	require.EqualValues(t, 1, met[oracle.CompensatedInterrupted])
}

// What a fault keeps back closes the run, and a price that is accepted is charged.
func TestSoundFault(t *testing.T) {
	t.Parallel()
	w := initiated(t)
	w.interrupt(func(*core.InterruptPlan) {})
	most := core.Credits(0)
	w.Asked(0, oracle.Request{Use: oracle.UseContinue, Tenant: "acme", Run: "run", MaxPrice: &most})
	w.retried(func(*core.RetryPlan) {})
	require.Nil(t, w.Violation())
}

func (w *world) interrupt(tamper func(*core.InterruptPlan)) {
	plan, ok, err := core.PlanInterrupt(w.run, nil, core.Failure{Code: core.FailureQuota}, now)
	require.NoError(w.t, err)
	require.True(w.t, ok)
	tamper(&plan)
	w.touch(oracle.UseInterrupt, plan.Run, plan.Files)
}

// Every rule about interruptions, versions, accepted prices and new tenants fails on a
// history that breaks it.
func TestRulesOfInterruptionsFail(t *testing.T) {
	t.Parallel()
	interrupted := func(t *testing.T) *world { t.Helper(); return settled(t, core.OutcomeInterrupted) }
	for _, c := range []struct {
		name string
		rule oracle.Rule
		do   func(t *testing.T) *world
	}{
		{"FreeRetryNotCounted", oracle.I6, func(t *testing.T) *world {
			w := interrupted(t)
			w.retry(func(p *core.RetryPlan) { p.Files[0].FreeRetries = 0 })
			return w
		}},
		{"InterruptedCharged", oracle.I3, func(t *testing.T) *world {
			w := interrupted(t)
			w.retry(func(p *core.RetryPlan) {
				p.Charge = []core.Entry{{
					Tenant: "acme", Key: "charge/run/1", Kind: core.EntryCharge, Period: period, Amount: core.Split{Monthly: 3},
					Run: "run", Attempt: 1, At: now,
				}}
			})
			return w
		}},
		{"ClosedWithoutTheFault", oracle.Refinement, func(t *testing.T) *world {
			w := claimed(t)
			w.settle(core.OutcomeInterrupted, func(p *core.SettlePlan) { p.Run.Failure = core.Failure{} })
			return w
		}},
		{"ClosedAsFailed", oracle.I12, func(t *testing.T) *world {
			w := claimed(t)
			w.settle(core.OutcomeInterrupted, func(p *core.SettlePlan) { p.Run.Status = core.RunFailed })
			return w
		}},
		{"InterruptionOfNoExecution", oracle.I8, func(t *testing.T) *world {
			w := claimed(t)
			w.settle(core.OutcomeInterrupted, func(p *core.SettlePlan) { p.Files[0].Failure.Code = core.FailurePanic })
			return w
		}},
		{"InterruptedUnderItsOldEpoch", oracle.I8, func(t *testing.T) *world {
			w := claimed(t)
			w.settle(core.OutcomeInterrupted, func(p *core.SettlePlan) { p.Files[0].Epoch = 1 })
			return w
		}},
		{"InterruptedAndDispatched", oracle.Refinement, func(t *testing.T) *world {
			w := interrupted(t)
			w.Enqueuing([]core.Job{{Tenant: "acme", Run: "run", ID: "run:file:0", Epoch: w.files[0].Epoch, Files: []int{0}, Template: "summarise"}})
			return w
		}},
		{"FileOfAnOlderEpochDispatched", oracle.Refinement, func(t *testing.T) *world {
			w := interrupted(t)
			w.Enqueuing([]core.Job{{Tenant: "acme", Run: "run", ID: "run", Epoch: w.files[1].Epoch, Files: []int{0, 1}, Template: "summarise"}})
			return w
		}},
		{"ReasonNotRestored", oracle.Refinement, func(t *testing.T) *world {
			w := interrupted(t)
			w.retry(func(*core.RetryPlan) {})
			w.compensate(func(p *core.CompensatePlan) { p.Files[1].Failure = core.Failure{} })
			return w
		}},
		{"FaultClosesWhatIsProcessed", oracle.I7, func(t *testing.T) *world {
			w := claimed(t)
			w.interrupt(func(*core.InterruptPlan) {})
			return w
		}},
		{"ClosedByAFaultOfOneFile", oracle.I7, func(t *testing.T) *world {
			w := initiated(t)
			w.interrupt(func(p *core.InterruptPlan) { p.Run.Failure.Code = core.FailurePanic })
			return w
		}},
		{"LossNotTold", oracle.Fenced, func(t *testing.T) *world {
			w := interrupted(t)
			w.Looked(w.jobs, w.jobs[:1])
			return w
		}},
		{"LossToldOfWhatIsHeld", oracle.Fenced, func(t *testing.T) *world {
			w := claimed(t)
			w.Looked(w.jobs, w.jobs[:1])
			return w
		}},
		{"ChargedAboveWhatWasAccepted", oracle.Accepted, func(t *testing.T) *world {
			w := settled(t, core.OutcomeTransient)
			most := core.Credits(5)
			w.Asked(0, oracle.Request{Use: oracle.UseContinue, Tenant: "acme", Run: "run", MaxPrice: &most})
			w.retried(func(*core.RetryPlan) {})
			return w
		}},
		{"RefusedForAPriceThatWasAccepted", oracle.Explained, func(t *testing.T) *world {
			w := settled(t, core.OutcomeTransient)
			most := core.Credits(6)
			w.Asked(0, oracle.Request{Use: oracle.UseContinue, Tenant: "acme", Run: "run", MaxPrice: &most})
			w.Answered(oracle.Answer{Use: oracle.UseContinue, Tenant: "acme", SeenMin: now, SeenMax: now, Err: &core.Error{Code: core.CodePriceChanged, Price: 6}, Effects: w.Effects(0)})
			return w
		}},
		{"InitiationRefusedForAPriceThatWasAccepted", oracle.Explained, func(t *testing.T) *world {
			w := newWorld(t)
			most := core.Credits(6)
			w.Asked(0, oracle.Request{Use: oracle.UseInitiate, Tenant: "acme", Template: "summarise", Files: 2, MaxPrice: &most})
			w.Answered(oracle.Answer{Use: oracle.UseInitiate, Tenant: "acme", Err: &core.Error{Code: core.CodePriceChanged, Price: 6}, Effects: w.Effects(0)})
			return w
		}},
		{"AnotherVersionInARetry", oracle.Version, func(t *testing.T) *world {
			w := interrupted(t)
			w.edit("translate")
			w.retry(func(p *core.RetryPlan) { p.Run.TemplateVersion++ })
			return w
		}},
		{"InstructionsOfNow", oracle.Version, func(t *testing.T) *world {
			w := claimed(t)
			w.edit("translate")
			w.Instructed(w.jobs[0], &w.template)
			return w
		}},
		{"InstructionsOverwritten", oracle.Version, func(t *testing.T) *world {
			w := newWorld(t)
			w.template.Instructions = "translate"
			w.commit(oracle.UseTemplate, func(c *oracle.Commit) { c.Templates = []core.Template{w.template} })
			return w
		}},
		{"TenantWithoutItsAllowance", oracle.Refilled, func(t *testing.T) *world {
			w := newWorld(t)
			w.Committed(&oracle.Commit{Tenant: "new", Use: oracle.UseTenant, SeenMin: now, SeenMax: now, Tenants: []core.Tenant{{ID: "new", MonthlyAllowance: 5, CreatedAt: now}}})
			return w
		}},
		{"TenantNeverRefilled", oracle.Refilled, func(t *testing.T) *world {
			w := newWorld(t)
			for _, id := range []core.TenantID{"one", "two"} {
				w.Committed(&oracle.Commit{Tenant: id, Use: oracle.UseSetUp, SeenMin: now, SeenMax: now, Tenants: []core.Tenant{{ID: id, MonthlyAllowance: 5, CreatedAt: now}}})
			}
			w.Refilled(w.Commits(), period, "one")
			return w
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := c.do(t)
			require.NotNil(t, w.Violation())
			require.Equal(t, c.rule.String(), w.Violation().Rule.String(), w.Violation().Text)
		})
	}
}

// edit gives the template other instructions.
func (w *world) edit(to string) {
	var err error
	w.template, err = w.template.Change(core.TemplateChange{Instructions: &to}, now)
	require.NoError(w.t, err)
	w.commit(oracle.UseTemplate, func(c *oracle.Commit) { c.Templates = []core.Template{w.template} })
}

// A refill that fails for one tenant alone, or that began before a tenant was created,
// is no violation.
func TestRefilledBeside(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	before := w.Commits()
	w.Committed(&oracle.Commit{Tenant: "one", Use: oracle.UseSetUp, SeenMin: now, SeenMax: now, Tenants: []core.Tenant{{ID: "one", MonthlyAllowance: 5, CreatedAt: now}}})
	w.Refilled(w.Commits(), period, "one")
	w.Refilled(before, period, "")
	require.Nil(t, w.Violation())
}
