package oracle

import (
	"fmt"
	"time"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/internal/testkit/model"
)

// maxActors bounds who can ask for something: numbers from 0.
const maxActors = 64

// Oracle judges one world at a time; Reset reuses it.
type Oracle struct {
	// A world has few tenants and runs: they are faster looked through than looked up.
	tenants   []*tenant // in the order in which they were created
	runs      []*run    // in the order in which they were initiated
	touched   []*run    // by the commit that is looked at
	spare     []*run
	spareT    []*tenant
	commits   int
	effects   [256]int // commits of each actor that had an effect
	requests  [maxActors]request
	violation *Violation
	judge     model.Judge // fails the model's rules
	rows      model.Rows  // of Final
	met_      [SituationCount]bool
	bulks     []core.Bulk
	bulkRuns  []bulkRun

	// MaxRedeliveries is the recovery policy's.
	MaxRedeliveries int
	// Step is the world's step, for the violation.
	Step int
	// Closed is called when a run has closed; nil for none.
	Closed func(core.RunID)
	// Watch is told of every commit after the oracle; nil for none.
	Watch func(*Commit)
	// Taken is called with a file that had been claimed before when it is claimed again; nil for none.
	Taken func(run core.RunID, file int)
	// SameProcess reports whether two actors are in one process; nil: none are.
	SameProcess func(a, b uint8) bool
	// Horizon is the recovery policy's.
	Horizon time.Duration
	// NeedsRecovery says that something happened which only recovery makes good.
	NeedsRecovery bool
	// GaveUp says that recovery has given up on a file: a resume does not make that good.
	GaveUp bool
}

// New makes an Oracle.
func New() *Oracle {
	o := &Oracle{}
	o.judge = func(r model.Rule, format string, args ...any) { o.fail(Rule(r), format, args...) }
	return o
}

// Reset forgets everything.
func (o *Oracle) Reset() {
	o.spare = append(o.spare, o.runs...)
	o.spareT = append(o.spareT, o.tenants...)
	o.tenants, o.runs = o.tenants[:0], o.runs[:0]
	o.commits, o.effects, o.violation, o.met_ = 0, [256]int{}, nil, [SituationCount]bool{}
	o.requests = [maxActors]request{}
	o.bulks, o.bulkRuns = o.bulks[:0], o.bulkRuns[:0]
	o.Step, o.NeedsRecovery, o.GaveUp = 0, false, false
}

// Begin says that the world is set up: what follows is its own doing.
func (o *Oracle) Begin() { o.met_ = [SituationCount]bool{} }

// Violation is the first rule that did not hold, or nil.
func (o *Oracle) Violation() *Violation { return o.violation }

// Fail records a violation that was found elsewhere.
func (o *Oracle) Fail(r Rule, format string, args ...any) { o.fail(r, format, args...) }

func (o *Oracle) fail(r Rule, format string, args ...any) {
	if o.violation == nil {
		o.violation = &Violation{Rule: r, Text: fmt.Sprintf(format, args...), Step: o.Step}
	}
}

// Met records a situation that was seen elsewhere.
func (o *Oracle) Met(s Situation) { o.met_[s] = true }

func (o *Oracle) met(s Situation) { o.met_[s] = true }

// Situations adds what this world has met to a count.
func (o *Oracle) Situations(count *Situations) {
	for i, met := range o.met_ {
		if met {
			count[i]++
		}
	}
}

// Commits counts the commits so far.
func (o *Oracle) Commits() int { return o.commits }

// Effects counts an actor's commits that changed more than remembered answers.
func (o *Oracle) Effects(actor uint8) int { return o.effects[actor] }

// Committed is told of every commit, at once.
func (o *Oracle) Committed(c *Commit) {
	o.commits++
	if c.effects() && (c.Together == 0 || len(c.Attempts) == 0) {
		o.effects[c.Actor]++
	}
	if len(c.Attempts) > 1 && c.Use != UseSetUp {
		o.met(DecidedTogether)
	}
	o.begun(c)
	t := o.tenant(c.Tenant)
	if t == nil {
		t = o.newTenant(c.Tenant)
	}
	o.touch(c)
	o.isolated(c)
	o.saveTemplates(t, c)
	for i := range c.Inserted {
		o.initiated(t, c, &c.Inserted[i])
	}
	for _, r := range o.touched {
		o.changed(t, c, r)
	}
	for i := range c.Entries {
		o.post(t, c, &c.Entries[i])
	}
	o.enrolled(t, c)
	for i := range c.Inserted {
		o.settled(c, o.run(c.Inserted[i].Run.ID))
	}
	for _, r := range o.touched {
		o.settled(c, r)
	}
	if len(c.Made)+len(c.Bulks) > 0 || c.Use == UseBulk || len(o.bulkRuns) > 0 && len(c.Marks) > 0 {
		o.bulkCommitted(c)
		o.bulkSpent()
	}
	if o.Watch != nil {
		o.Watch(c)
	}
}

func (o *Oracle) newTenant(id core.TenantID) *tenant {
	var t *tenant
	if n := len(o.spareT); n > 0 {
		t, o.spareT = o.spareT[n-1], o.spareT[:n-1]
	} else {
		t = &tenant{}
	}
	t.reset(id)
	t.since = o.commits
	o.tenants = append(o.tenants, t)
	return t
}

// tenant finds a tenant; nil if nothing of it was committed.
func (o *Oracle) tenant(id core.TenantID) *tenant {
	for _, t := range o.tenants {
		if t.id == id {
			return t
		}
	}
	return nil
}

// run finds a run; nil if it was not committed.
func (o *Oracle) run(id core.RunID) *run {
	for _, r := range o.runs {
		if r.row.ID == id {
			return r
		}
	}
	return nil
}

// isolated checks that a transaction wrote rows of its own tenant only (I10).
func (o *Oracle) isolated(c *Commit) {
	for _, r := range o.touched {
		if r.row.Tenant != c.Tenant {
			o.fail(I10, "a transaction of tenant %s wrote run %s of tenant %s", c.Tenant, r.row.ID, r.row.Tenant)
		}
	}
}

// touch finds the runs that were there before and were written, each once.
func (o *Oracle) touch(c *Commit) {
	o.touched = o.touched[:0]
	for i := range c.Runs {
		o.touchRun(c, c.Runs[i].ID)
	}
	for i := range c.Files {
		if i == 0 || c.Files[i].Run != c.Files[i-1].Run {
			o.touchRun(c, c.Files[i].Run)
		}
	}
	for i := range c.Attempts {
		o.touchRun(c, c.Attempts[i].Run)
	}
	for i := range c.Marks {
		o.touchRun(c, c.Marks[i].Run)
	}
}

func (o *Oracle) touchRun(c *Commit, id core.RunID) {
	for _, r := range o.touched {
		if r.row.ID == id {
			return
		}
	}
	if r := o.run(id); r != nil {
		o.touched = append(o.touched, r)
		return
	}
	for i := range c.Inserted {
		if c.Inserted[i].Run.ID == id {
			return
		}
	}
	o.fail(I10, "a transaction of tenant %s wrote run %s, which there is not", c.Tenant, id)
}

// RunClosed reports whether there is such a run and it is closed.
func (o *Oracle) RunClosed(id core.RunID) bool {
	r := o.run(id)
	return r != nil && r.row.Status.Closed()
}

// Row gives a run as it is committed; the zero value if there is none.
func (o *Oracle) Row(id core.RunID) core.Run {
	if r := o.run(id); r != nil {
		return r.row
	}
	return core.Run{}
}

// Open names the first run that is still RUNNING.
func (o *Oracle) Open() (core.RunID, bool) {
	for _, r := range o.runs {
		if !r.row.Status.Closed() {
			return r.row.ID, true
		}
	}
	return "", false
}

// Enqueuing is told of jobs on their way to the queue.
func (o *Oracle) Enqueuing(jobs []core.Job) {
	for i := range jobs {
		j := &jobs[i]
		r := o.run(j.Run)
		if r == nil || r.row.Tenant != j.Tenant {
			o.fail(EnqueueAfterCommit, "job %s is enqueued, but its run was not committed", j.ID)
			continue
		}
		if j.Epoch > r.row.Epoch {
			o.fail(EnqueueAfterCommit, "job %s is enqueued with epoch %d, but the latest committed is %d", j.ID, j.Epoch, r.row.Epoch)
		}
		if j.Template != r.row.Template {
			o.fail(Refinement, "job %s is enqueued for template %q, its run has %q", j.ID, j.Template, r.row.Template)
		}
		o.dispatchable(r, j)
	}
}

// Delivered is told of a message that a worker gets.
func (o *Oracle) Delivered(job core.Job) {
	r := o.run(job.Run)
	if r == nil || len(job.Files) == 0 || job.Files[0] >= len(r.files) {
		return
	}
	f := &r.files[job.Files[0]]
	switch {
	case f.Epoch == job.Epoch && f.Status != core.FilePending:
		o.met(DuplicateDelivery)
	case f.Epoch != job.Epoch:
		o.met(StaleDelivery)
		for n := range r.model.Attempts {
			if a := &r.model.Attempts[n]; a.Epoch == job.Epoch && a.Compensated {
				o.met(LateDeliveryOfCompensated)
			}
		}
	}
}

// Acking is told that a worker tells the queue to forget a job. That must not
// happen while the job could still be claimed: if the worker dies, it is lost.
func (o *Oracle) Acking(job core.Job) {
	r := o.run(job.Run)
	if r == nil || r.row.Status.Closed() {
		return
	}
	for _, i := range job.Files {
		if i >= len(r.files) || r.files[i].Status != core.FilePending || r.files[i].Epoch != job.Epoch {
			return
		}
	}
	o.fail(AckAfterClaim, "job %s of epoch %d was acked, but its files are still pending: if the worker dies now, the job is lost", job.ID, job.Epoch)
}
