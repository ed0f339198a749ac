package oracle_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/internal/sim/oracle"
)

var (
	now    = time.Date(2026, time.November, 10, 12, 0, 0, 0, time.UTC)
	period = core.PeriodOf(now)
	ada    = core.Actor{Subject: "ada", Tenant: "acme", Role: core.RoleCustomerAdmin}
	files  = []core.NewFile{{Name: "a", Ref: "a"}, {Name: "b", Ref: "b"}}
)

const lease = time.Minute

// world is an oracle that has been told of commits, and the rows as committed.
type world struct {
	*oracle.Oracle
	t        *testing.T
	run      core.Run
	files    []core.File
	jobs     []core.Job
	attempt  core.Attempt
	balance  core.Balance
	template core.Template
	seq      int64
	together oracle.Actors        // of the commits
	told     func(*oracle.Commit) // tampers with what the commits tell of the run; nil: nothing
}

// newWorld has a tenant with 10 monthly and 100 purchased credits and a template
// at 3 credits a file.
func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{
		Oracle: oracle.New(), t: t, balance: core.Balance{Period: period},
		template: core.Template{ID: "summarise", Tenant: "acme", Name: "summarise", CreditsPerRun: 3, Version: 1, Mode: core.ModePerFile, Status: core.TemplatePublished},
	}
	w.MaxRedeliveries = 1
	allowance, err := core.NewAllowance("acme", "allowance", period, 10, core.System, now)
	require.NoError(t, err)
	purchase, err := core.NewPurchase("acme", "purchase", 100, core.System, now)
	require.NoError(t, err)
	w.commit(oracle.UseGrant, func(c *oracle.Commit) {
		c.Templates = []core.Template{w.template}
		c.Entries = w.entries(allowance, purchase)
	})
	require.Nil(t, w.Violation())
	return w
}

// entries numbers entries and takes them to the balance.
func (w *world) entries(list ...core.Entry) []core.Entry {
	for i := range list {
		w.seq++
		list[i].Seq = w.seq
		if list[i].Period == period {
			after, err := w.balance.Apply(list[i])
			require.NoError(w.t, err)
			w.balance = after
		}
	}
	return list
}

func (w *world) commit(use oracle.Use, fill func(c *oracle.Commit)) {
	c := &oracle.Commit{Tenant: "acme", Use: use, Began: w.Commits(), SeenMin: now, SeenMax: now, Together: w.together}
	fill(c)
	if w.told != nil {
		w.told(c)
	}
	w.Committed(c)
}

// touch is a commit of the run's row and some files.
func (w *world) touch(use oracle.Use, run core.Run, files []core.File) {
	w.commit(use, func(c *oracle.Commit) { w.rows(c, run, files) })
}

// rows also tells the end of an attempt, as every use case does that closes a run.
func (w *world) rows(c *oracle.Commit, run core.Run, files []core.File) {
	c.Runs = append(c.Runs, run)
	if w.run.Status == core.RunRunning && run.Status != core.RunRunning {
		c.Told = append(c.Told, core.ClosingEvent(run, len(c.Marks) > 0, now))
	}
	w.run = run
	for _, f := range files {
		c.Files = append(c.Files, oracle.FileWrite{Run: run.ID, File: f})
		w.files[f.Index] = f
	}
}

// initiated has a run of two files in attempt 0.
func initiated(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	w.initiate(func(*core.RunPlan) {})
	require.Nil(t, w.Violation())
	return w
}

func (w *world) initiate(tamper func(*core.RunPlan)) {
	plan, err := core.PlanRun(core.NewRun{ID: "run", Files: files, By: ada}, w.template, w.balance, now)
	require.NoError(w.t, err)
	tamper(&plan)
	w.Asked(0, oracle.Request{Use: oracle.UseInitiate, Tenant: "acme"})
	w.run, w.files, w.jobs, w.attempt = plan.Run, plan.Files, plan.Jobs, plan.Attempt
	w.commit(oracle.UseInitiate, func(c *oracle.Commit) {
		c.Inserted = []oracle.NewRun{{Run: plan.Run, Files: append([]core.File(nil), plan.Files...)}}
		c.Attempts = []core.Attempt{plan.Attempt}
		c.Entries = w.entries(plan.Charge...)
	})
}

// claimed has both files in processing.
func claimed(t *testing.T) *world {
	t.Helper()
	w := initiated(t)
	w.claim()
	require.Nil(t, w.Violation())
	return w
}

func (w *world) claim() {
	plan, err := core.Claim(w.run, w.files, w.jobs, now, lease)
	require.NoError(w.t, err)
	w.touch(oracle.UseWork, plan.Run, plan.Files)
}

// settled has a closed run with both files in a status.
func settled(t *testing.T, outcome core.Outcome) *world {
	t.Helper()
	w := claimed(t)
	w.settle(outcome, func(*core.SettlePlan) {})
	require.Nil(t, w.Violation())
	return w
}

func (w *world) settle(outcome core.Outcome, tamper func(*core.SettlePlan)) {
	var list []core.Settlement
	for _, job := range w.jobs {
		result := core.FileResult{Index: job.Files[0], Outcome: outcome}
		if outcome != core.OutcomeCompleted {
			result.Failure.Code = "simulated"
		}
		w.Executed(0, job, job.Files[0], 1, outcome, result.Failure.Code)
		list = append(list, core.Settlement{Job: job, Results: []core.FileResult{result}})
	}
	plan, err := core.Settle(w.run, w.files, list, now)
	require.NoError(w.t, err)
	tamper(&plan)
	w.touch(oracle.UseWork, plan.Run, plan.Files)
}

func (w *world) retry(tamper func(*core.RetryPlan)) {
	w.ask()
	w.retried(tamper)
}

// retried is a Continue that was asked for.
func (w *world) retried(tamper func(*core.RetryPlan)) {
	plan, err := core.PlanRetry(w.run, w.files, w.balance, w.template, core.RetryTerms{By: ada}, now)
	require.NoError(w.t, err)
	tamper(&plan)
	w.commit(oracle.UseContinue, func(c *oracle.Commit) {
		w.rows(c, plan.Run, plan.Files)
		c.Told = append(c.Told, core.ContinuedEvent(plan.Run, plan.Attempt))
		c.Attempts = []core.Attempt{plan.Attempt}
		c.Entries = w.entries(plan.Charge...)
	})
	w.attempt, w.jobs = plan.Attempt, plan.Jobs
}

// ask begins a Continue of the run.
func (w *world) ask() {
	w.Asked(0, oracle.Request{Use: oracle.UseContinue, Tenant: "acme", Run: "run"})
}

func (w *world) compensate(tamper func(*core.CompensatePlan)) {
	plan, err := core.Compensate(w.run, w.attempt, w.files, core.System, now)
	require.NoError(w.t, err)
	tamper(&plan)
	w.commit(oracle.UseContinue, func(c *oracle.Commit) {
		c.Marks = []oracle.Mark{{Run: "run", Number: w.attempt.Number}}
		w.rows(c, plan.Run, plan.Files)
		c.Entries = w.entries(plan.Refund...)
	})
}
