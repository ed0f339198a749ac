package oracle_test

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/internal/sim/oracle"
)

// What the rules of core do is right: no rule fails on it.
func TestSoundHistory(t *testing.T) {
	t.Parallel()
	w := settled(t, core.OutcomeTransient)
	w.retry(func(*core.RetryPlan) {})
	w.compensate(func(*core.CompensatePlan) {})
	w.retry(func(*core.RetryPlan) {})
	w.claim()
	w.settle(core.OutcomeCompleted, func(*core.SettlePlan) {})
	require.Nil(t, w.Violation())
	require.Equal(t, core.RunCompleted, w.Row("run").Status)
	var met oracle.Situations
	w.Situations(&met)
	require.EqualValues(t, 1, met[oracle.CompensatedContinue])
	require.Zero(t, met[oracle.ContinueFree])
}

// Every rule fails on a history that breaks it.
func TestRulesFail(t *testing.T) {
	t.Parallel()
	failed := func(t *testing.T) *world { t.Helper(); return settled(t, core.OutcomeTransient) }
	entry := func(kind core.EntryKind, amount core.Split) core.Entry {
		return core.Entry{Tenant: "acme", Key: "more", Seq: 3, Kind: kind, Period: period, Amount: amount, At: now}
	}
	for _, c := range []struct {
		name string
		rule oracle.Rule
		do   func(t *testing.T) *world
	}{
		{"BalanceBelowZero", oracle.I1, func(t *testing.T) *world {
			w := initiated(t) // 4 and 100 are left
			e := entry(core.EntryCharge, core.Split{Monthly: 4, Purchased: 101})
			e.Run, e.Attempt, e.Seq = "run", 1, w.seq+1
			w.commit(oracle.UseOther, func(c *oracle.Commit) { c.Entries = []core.Entry{e} })
			return w
		}},
		{"KeyTwice", oracle.I1, func(t *testing.T) *world {
			w := newWorld(t)
			e := entry(core.EntryPurchase, core.Split{Purchased: 5})
			e.Key = "purchase"
			w.commit(oracle.UseGrant, func(c *oracle.Commit) { c.Entries = []core.Entry{e} })
			return w
		}},
		{"BalanceNotTheEntries", oracle.I1, func(t *testing.T) *world {
			w := newWorld(t)
			w.ReadBalance("acme", core.Balance{Period: period, Split: core.Split{Monthly: 10, Purchased: 99}})
			return w
		}},
		{"ConsumedIsNotCharged", oracle.I2, func(t *testing.T) *world {
			w := failed(t)
			w.retry(func(p *core.RetryPlan) { p.Run.CreditsConsumed++ })
			return w
		}},
		{"PendingFilesCharged", oracle.I3, func(t *testing.T) *world {
			w := initiated(t)
			plan, err := core.PlanCancel(w.run, nil, now)
			require.NoError(t, err)
			w.touch(oracle.UseCancel, plan.Run, plan.Files)
			w.retry(func(p *core.RetryPlan) {
				p.Charge = []core.Entry{{
					Tenant: "acme", Key: "charge/run/1", Kind: core.EntryCharge, Period: period, Amount: core.Split{Monthly: 4, Purchased: 2},
					Run: "run", Attempt: 1, At: now,
				}}
			})
			return w
		}},
		{"PurchasedBeforeMonthly", oracle.I3, func(t *testing.T) *world {
			w := newWorld(t)
			w.initiate(func(p *core.RunPlan) {
				split := core.Split{Purchased: 6}
				p.Charge[0].Amount, p.Attempt.Charge.Amount = split, split
				p.Run.CreditsFromMonthly, p.Run.CreditsFromPurchased = 0, 6
			})
			return w
		}},
		{"PriceOfNoTime", oracle.I3, func(t *testing.T) *world {
			w := newWorld(t)
			w.template.CreditsPerRun = 4
			w.initiate(func(*core.RunPlan) {})
			return w
		}},
		{"RefundOfOnePart", oracle.I4, func(t *testing.T) *world {
			w := failed(t)
			w.retry(func(*core.RetryPlan) {})
			w.compensate(func(p *core.CompensatePlan) { p.Refund[0].Amount.Purchased-- })
			return w
		}},
		{"RefundToAnotherMonth", oracle.I4, func(t *testing.T) *world {
			w := failed(t)
			w.retry(func(*core.RetryPlan) {})
			w.compensate(func(p *core.CompensatePlan) { p.Refund[0].Period = period.Next() })
			return w
		}},
		{"CompensatedWithoutRefund", oracle.I4, func(t *testing.T) *world {
			w := failed(t)
			w.retry(func(*core.RetryPlan) {})
			w.compensate(func(p *core.CompensatePlan) { p.Refund = nil })
			return w
		}},
		{"RefundedTwice", oracle.I4, func(t *testing.T) *world {
			w := initiated(t)
			var again core.Entry
			w.compensate(func(p *core.CompensatePlan) { again = p.Refund[0] })
			again.Key, again.Seq = "once more", w.seq+1
			w.commit(oracle.UseRecover, func(c *oracle.Commit) { c.Entries = []core.Entry{again} })
			return w
		}},
		{"PaidByTheWrongAttempt", oracle.I5, func(t *testing.T) *world {
			w := failed(t)
			w.retry(func(p *core.RetryPlan) { p.Files[0].PaidBy = 0 })
			return w
		}},
		{"RetryNotCounted", oracle.I6, func(t *testing.T) *world {
			w := failed(t)
			w.retry(func(p *core.RetryPlan) { p.Files[0].RetryAttempt = 0 })
			return w
		}},
		{"RetryNotGivenBack", oracle.I6, func(t *testing.T) *world {
			w := failed(t)
			w.retry(func(*core.RetryPlan) {})
			w.compensate(func(p *core.CompensatePlan) { p.Files[0].RetryAttempt = 1 })
			return w
		}},
		{"DoesNotClose", oracle.I7, func(t *testing.T) *world {
			w := claimed(t)
			w.settle(core.OutcomeCompleted, func(p *core.SettlePlan) { p.Run.Status = core.RunRunning })
			return w
		}},
		{"ClosesEarly", oracle.I7, func(t *testing.T) *world {
			w := claimed(t)
			run := w.run
			run.Status = core.RunFailed
			w.touch(oracle.UseWork, run, nil)
			return w
		}},
		{"ClaimedWhenClosed", oracle.I7, func(t *testing.T) *world {
			w := initiated(t)
			before := w.run
			plan, err := core.PlanCancel(w.run, nil, now)
			require.NoError(t, err)
			w.touch(oracle.UseCancel, plan.Run, plan.Files)
			claim, err := core.Claim(before, w.files, w.jobs, now, lease)
			require.NoError(t, err)
			w.touch(oracle.UseWork, plan.Run, claim.Files)
			return w
		}},
		{"ResultOfNoExecution", oracle.I8, func(t *testing.T) *world {
			w := claimed(t)
			w.settle(core.OutcomeTransient, func(p *core.SettlePlan) { p.Files[0].Status = core.FileCompleted })
			return w
		}},
		{"FinalFileChanges", oracle.I8, func(t *testing.T) *world {
			w := settled(t, core.OutcomePermanent)
			f := w.files[0]
			f.Status = core.FileCompleted
			w.touch(oracle.UseWork, w.run, []core.File{f})
			return w
		}},
		{"WorkerNotFenced", oracle.I8, func(t *testing.T) *world {
			w := claimed(t)
			f := w.files[0]
			f.Status, f.LeaseUntil, f.Redeliveries = core.FilePending, time.Time{}, 1
			w.touch(oracle.UseRecover, w.run, []core.File{f})
			return w
		}},
		{"EpochNotRaised", oracle.I8, func(t *testing.T) *world {
			w := initiated(t)
			w.compensate(func(p *core.CompensatePlan) {
				p.Run.Epoch--
				for i := range p.Files {
					p.Files[i].Epoch--
				}
			})
			return w
		}},
		{"ContinuedWhileRunning", oracle.I9, func(t *testing.T) *world {
			w := failed(t)
			before, were := w.run, append([]core.File(nil), w.files...)
			w.retry(func(*core.RetryPlan) {})
			w.run, w.files = before, were
			w.retry(func(p *core.RetryPlan) { p.Attempt.Number, p.Run.Attempt = 2, 2 })
			return w
		}},
		{"TwoWinners", oracle.I9, func(t *testing.T) *world {
			w := failed(t)
			w.retry(func(*core.RetryPlan) {})
			for range 2 {
				w.Answered(oracle.Answer{Use: oracle.UseContinue, Tenant: "acme", Run: w.run, Effects: w.Effects(0)})
			}
			return w
		}},
		{"AnotherTenantsRun", oracle.I10, func(t *testing.T) *world {
			w := initiated(t)
			w.Committed(&oracle.Commit{Tenant: "bolt", Use: oracle.UseWork, SeenMin: now, SeenMax: now, Runs: []core.Run{w.run}})
			return w
		}},
		{"RunOfNobody", oracle.I10, func(t *testing.T) *world {
			w := initiated(t)
			run := w.run
			run.ID = "unknown"
			w.commit(oracle.UseWork, func(c *oracle.Commit) { c.Runs = []core.Run{run} })
			return w
		}},
		{"WorkAndRefund", oracle.I12, func(t *testing.T) *world {
			w := initiated(t)
			before, were := w.run, append([]core.File(nil), w.files...)
			w.claim()
			w.run, w.files = before, were
			w.compensate(func(*core.CompensatePlan) {})
			return w
		}},
		{"RefundOfWhatWasEnqueued", oracle.I12, func(t *testing.T) *world {
			w := initiated(t)
			w.Enqueued(w.jobs, oracle.UseInitiate)
			w.compensate(func(*core.CompensatePlan) {})
			return w
		}},
		{"TallyWrong", oracle.Refinement, func(t *testing.T) *world {
			w := claimed(t)
			w.settle(core.OutcomeCompleted, func(p *core.SettlePlan) { p.Run.Tally.Failed++ })
			return w
		}},
		{"LiveLeaseTaken", oracle.Refinement, func(t *testing.T) *world {
			w := claimed(t)
			f, run := w.files[0], w.run
			run.Epoch++
			f.Status, f.Epoch, f.LeaseUntil, f.Redeliveries = core.FilePending, run.Epoch, now.Add(lease), 1
			w.touch(oracle.UseRecover, run, []core.File{f})
			return w
		}},
		{"RefusalWithEffect", oracle.Refusal, func(t *testing.T) *world {
			w := initiated(t)
			w.Answered(oracle.Answer{Use: oracle.UseContinue, Tenant: "acme", Err: &core.Error{Code: core.CodeRunAlreadyRunning}, Effects: w.Effects(0) - 1})
			return w
		}},
		{"RefusalForgotten", oracle.Idempotency, func(t *testing.T) *world {
			w := initiated(t)
			for _, err := range []error{&core.Error{Code: core.CodeInsufficientCredits}, nil} {
				w.Answered(oracle.Answer{Use: oracle.UseInitiate, Tenant: "acme", Run: w.run, Key: "key", Err: err, Effects: w.Effects(0)})
			}
			return w
		}},
		{"SuccessTwice", oracle.Idempotency, func(t *testing.T) *world {
			w := initiated(t)
			for _, id := range []core.RunID{"run", "other"} {
				w.run.ID = id
				w.Answered(oracle.Answer{Use: oracle.UseInitiate, Tenant: "acme", Run: w.run, Key: "key", Effects: w.Effects(0)})
			}
			return w
		}},
		{"AckBeforeClaim", oracle.AckAfterClaim, func(t *testing.T) *world {
			w := initiated(t)
			w.Acking(w.jobs[0])
			return w
		}},
		{"EnqueueBeforeCommit", oracle.EnqueueAfterCommit, func(t *testing.T) *world {
			w := newWorld(t)
			w.Enqueuing([]core.Job{{Tenant: "acme", Run: "run", ID: "run:file:0", Epoch: 1, Files: []int{0}}})
			return w
		}},
		{"EnqueueOfALaterEpoch", oracle.EnqueueAfterCommit, func(t *testing.T) *world {
			w := initiated(t)
			job := w.jobs[0]
			job.Epoch++
			w.Enqueuing([]core.Job{job})
			return w
		}},
		{"ResultOfAnotherWorker", oracle.Fenced, func(t *testing.T) *world {
			w := claimed(t)
			w.Executed(0, w.jobs[0], 0, 1, core.OutcomeCompleted, "")
			plan, err := core.Settle(w.run, w.files, []core.Settlement{{Job: w.jobs[0], Results: []core.FileResult{{Index: 0, Outcome: core.OutcomeCompleted}}}}, now)
			require.NoError(t, err)
			w.commit(oracle.UseWork, func(c *oracle.Commit) {
				c.Actor = 1
				w.rows(c, plan.Run, plan.Files)
			})
			return w
		}},
		{"RenewalByAnotherWorker", oracle.Fenced, func(t *testing.T) *world {
			w := claimed(t)
			f := w.files[0]
			f.LeaseUntil = f.LeaseUntil.Add(lease)
			w.commit(oracle.UseWork, func(c *oracle.Commit) {
				c.Actor = 1
				w.rows(c, w.run, []core.File{f})
			})
			return w
		}},
		{"ExecutedUnclaimed", oracle.ExecuteOnce, func(t *testing.T) *world {
			w := initiated(t)
			w.Executed(0, w.jobs[0], 0, 1, core.OutcomeCompleted, "")
			return w
		}},
		{"ExecutedTwice", oracle.ExecuteOnce, func(t *testing.T) *world {
			w := claimed(t)
			for range 2 {
				w.Executed(0, w.jobs[0], 0, 1, core.OutcomeTransient, "")
			}
			return w
		}},
		{"ExecutedAfterItEnded", oracle.ExecuteOnce, func(t *testing.T) *world {
			w := claimed(t)
			w.Executed(0, w.jobs[0], 0, 1, core.OutcomeCompleted, "")
			w.Executed(0, w.jobs[0], 0, 2, core.OutcomeCompleted, "")
			return w
		}},
		{"ConfirmedByNobody", oracle.Dispatched, func(t *testing.T) *world {
			w := initiated(t)
			run, changed := core.ConfirmDispatch(w.run, 0)
			require.True(t, changed)
			w.touch(oracle.UseInitiate, run, nil)
			return w
		}},
		{"MonthGrantedTwice", oracle.GrantOnce, func(t *testing.T) *world {
			w := newWorld(t)
			w.commit(oracle.UseRefill, func(c *oracle.Commit) { c.Tenants = []core.Tenant{{ID: "acme", MonthlyAllowance: 10}} })
			for _, key := range []core.Key{"november", "november again"} {
				e := entry(core.EntryAllowance, core.Split{Monthly: 10})
				e.Key = key
				w.commit(oracle.UseRefill, func(c *oracle.Commit) { c.Entries = w.entries(e) })
			}
			return w
		}},
		{"PurchasePostedTwice", oracle.GrantOnce, func(t *testing.T) *world {
			w := newWorld(t)
			for _, key := range []core.Key{"client/key", "client/key again"} {
				w.Asked(0, oracle.Request{Use: oracle.UseGrant, Tenant: "acme", Key: "key"})
				e := entry(core.EntryPurchase, core.Split{Purchased: 5})
				e.Key = key
				w.commit(oracle.UseGrant, func(c *oracle.Commit) { c.Entries = w.entries(e) })
			}
			return w
		}},
		{"TwoRunsForOneRequest", oracle.OneAttempt, func(t *testing.T) *world {
			w := initiated(t)
			a := w.attempt
			a.Number = 1
			w.commit(oracle.UseInitiate, func(c *oracle.Commit) { c.Attempts = []core.Attempt{a} })
			return w
		}},
		{"ClosedOnceMore", oracle.I7, func(t *testing.T) *world {
			w := failed(t)
			run := w.run
			run.ClosedAt = now.Add(time.Second)
			w.touch(oracle.UseWork, run, nil)
			return w
		}},
		{"RecoveryOfAClosedRun", oracle.Refinement, func(t *testing.T) *world {
			w := failed(t)
			run := w.run
			run.RecoverAt = now
			w.touch(oracle.UseRecover, run, nil)
			return w
		}},
		{"ClosedWhileProcessing", oracle.I7, func(t *testing.T) *world {
			w := claimed(t)
			plan, err := core.PlanCancel(w.run, nil, now)
			require.NoError(t, err)
			w.touch(oracle.UseCancel, plan.Run, nil)
			return w
		}},
		{"RefusedForNoReason", oracle.Explained, func(t *testing.T) *world {
			w := failed(t)
			w.ask()
			w.Answered(oracle.Answer{Use: oracle.UseContinue, Tenant: "acme", SeenMin: now, SeenMax: now, Err: &core.Error{Code: core.CodeInsufficientCredits}, Effects: w.Effects(0)})
			return w
		}},
		{"RefusedForADeletedTemplate", oracle.Explained, func(t *testing.T) *world {
			w := failed(t)
			w.ask()
			w.Answered(oracle.Answer{Use: oracle.UseContinue, Tenant: "acme", SeenMin: now, SeenMax: now, Err: &core.Error{Code: core.CodeTemplateDeleted}, Effects: w.Effects(0)})
			return w
		}},
		{"ErrorOfNothing", oracle.Explained, func(t *testing.T) *world {
			w := failed(t)
			w.ask()
			w.Answered(oracle.Answer{Use: oracle.UseContinue, Tenant: "acme", SeenMin: now, SeenMax: now, Err: errors.New("constraint violated")})
			return w
		}},
		{"ErrorHidesTheQueues", oracle.Explained, func(t *testing.T) *world {
			w := failed(t)
			w.ask()
			w.NotEnqueued(0)
			w.Answered(oracle.Answer{Use: oracle.UseContinue, Tenant: "acme", SeenMin: now, SeenMax: now, Failed: true, Err: errors.New("store unavailable")})
			return w
		}},
		{"AnsweredAnotherRun", oracle.Idempotency, func(t *testing.T) *world {
			w := failed(t)
			w.Asked(0, oracle.Request{Use: oracle.UseContinue, Tenant: "acme", Run: "other", Key: "key"})
			w.Answered(oracle.Answer{Use: oracle.UseContinue, Tenant: "acme", Key: "key", Run: w.run, Effects: w.Effects(0)})
			return w
		}},
		{"AnsweredWhatWasUndone", oracle.Idempotency, func(t *testing.T) *world {
			w := failed(t)
			w.retry(func(*core.RetryPlan) {})
			answered := w.run
			w.compensate(func(*core.CompensatePlan) {})
			w.Asked(0, oracle.Request{Use: oracle.UseContinue, Tenant: "acme", Run: "run", Key: "key"})
			w.Answered(oracle.Answer{Use: oracle.UseContinue, Tenant: "acme", Key: "key", Run: answered, Effects: w.Effects(0)})
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
