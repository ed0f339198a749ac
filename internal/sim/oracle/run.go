package oracle

import (
	"github.com/redrive/redrive/core"
)

// run is one run: what is committed of it, and what the model says.
type run struct {
	row      core.Run
	files    []core.File
	attempts []attempt
	charged  core.Split // charges less refunds, by the ledger
	execs    [][]execution
	claims   [][]claim
	changed  int // the commit that wrote it last

	model model
}

// execution is what an executor answered for a file under an epoch.
type execution struct {
	epoch   core.Epoch
	outcome core.Outcome
	code    string // of its failure
	try     int
}

// claim is who claimed a file under an epoch.
type claim struct {
	epoch core.Epoch
	actor uint8
}

// model is the run by the model's own rules.
type model struct {
	status                        core.RunStatus
	reason                        core.CloseReason
	fault                         string // code of the first interruption of the attempt
	version                       int    // of the template
	jobs, completed, failed, size int
	maxRetries                    int
	credits                       core.Split
	files                         []file
}

// file is one file by the model's own rules.
type file struct {
	status   core.FileStatus
	retries  int
	free     int    // of the retries, those that found it pending
	failure  string // its code; a pending file that has one waits for a Continue
	epoch    core.Epoch
	paidBy   core.AttemptNumber
	owed     bool       // charged for, and no result recorded since
	unpaid   bool       // its charge was refunded
	recorded core.Epoch // of the last result
	holder   uint8      // the actor that claimed it last
	expired  int        // leases that ran out in this attempt
}

// attempt is what the model remembers of a dispatch.
type attempt struct {
	epoch       core.Epoch
	price       core.Credits
	charge      core.Split
	claimed     bool // a job of it got to a worker
	enqueued    bool // the queue confirmed all of it to whoever began it
	taken       bool // the queue confirmed what somebody sent of it
	compensated bool
	undone      int // the commit that compensated it
	closes      int
	won         bool // a Continue was told that it is its own
	before      model
}

func (m *model) copyTo(to *model) {
	files := append(to.files[:0], m.files...)
	*to = *m
	to.files = files
}

// newRun takes a spare run, or makes one.
func (o *Oracle) newRun(row core.Run, files []core.File) *run {
	var r *run
	if n := len(o.spare); n > 0 {
		r, o.spare = o.spare[n-1], o.spare[:n-1]
	} else {
		r = &run{}
	}
	r.row, r.charged = row, core.Split{}
	r.files = append(r.files[:0], files...)
	r.attempts = r.attempts[:0]
	for len(r.execs) < len(files) {
		r.execs, r.claims = append(r.execs, nil), append(r.claims, nil)
	}
	for i := range r.execs {
		r.execs[i], r.claims[i] = r.execs[i][:0], r.claims[i][:0]
	}
	r.model.files = r.model.files[:0]
	return r
}

func (r *run) begin(a attempt) *attempt {
	n := len(r.attempts)
	if n < cap(r.attempts) {
		r.attempts = r.attempts[:n+1]
		before := r.attempts[n].before.files
		r.attempts[n] = a
		r.attempts[n].before.files = before
	} else {
		r.attempts = append(r.attempts, a)
	}
	return &r.attempts[n]
}

func (r *run) batch() bool { return r.row.Mode == core.ModeBatch }

// jobsOf is how many jobs process that many files.
func (r *run) jobsOf(files int) int {
	if r.batch() {
		return min(files, 1)
	}
	return files
}

// closing is the status of a run whose attempt is complete.
func (m *model) closing() core.RunStatus {
	completed := 0
	for i := range m.files {
		switch m.files[i].status {
		case core.FileCompleted:
			completed++
		case core.FilePending, core.FileProcessing:
			return core.RunInterrupted
		case core.FileFailed, core.FileError:
		}
	}
	switch completed {
	case len(m.files):
		return core.RunCompleted
	case 0:
		return core.RunFailed
	default:
		return core.RunCompletedWithErrors
	}
}

// initiated is an initiation: all files pending and charged for.
func (o *Oracle) initiated(t *tenant, c *Commit, n *NewRun) {
	row := &n.Run
	if row.Tenant != t.id {
		o.fail(I10, "run %s of tenant %s was written in a transaction of %s", row.ID, row.Tenant, t.id)
	}
	if o.run(row.ID) != nil {
		o.fail(Refinement, "run %s was inserted twice", row.ID)
		return
	}
	r := o.newRun(*row, n.Files)
	r.model.maxRetries, r.changed = row.MaxRetryCount, o.commits
	o.runs = append(o.runs, r)
	if c.Use == UseSetUp {
		o.given(c, r)
		return
	}
	template := t.template(row.Template)
	if template == nil || len(c.Attempts) != 1 {
		o.fail(Refinement, "run %s was initiated with %d attempts on template %q", row.ID, len(c.Attempts), row.Template)
		return
	}
	a := &c.Attempts[0]
	o.priced(template, c, a)
	o.initiatedWith(template, c, row)
	m := &r.model
	m.status, m.size = core.RunRunning, r.jobsOf(len(n.Files))
	m.reason, m.fault, m.version = core.ReasonNone, "", row.TemplateVersion
	m.jobs, m.completed, m.failed = m.size, 0, 0
	m.credits = core.Split{}
	for range n.Files {
		m.files = append(m.files, file{status: core.FilePending, epoch: row.Epoch, owed: a.Price > 0})
	}
	mine := r.begin(attempt{epoch: row.Epoch, price: a.Price})
	mine.charge = o.chargeOf(c, r, 0, a.Price*core.Credits(len(n.Files)))
	m.credits = mine.charge
	o.accepted(c, row.ID, mine.charge)
}

// given is a run that a world begins with: what it has gone through is taken as it is.
func (o *Oracle) given(c *Commit, r *run) {
	row, m := &r.row, &r.model
	m.status, m.size, m.jobs, m.completed, m.failed = row.Status, row.TotalJobs, row.AttemptJobs, row.CompletedJobs, row.FailedJobs
	m.credits = core.Split{Monthly: row.CreditsFromMonthly, Purchased: row.CreditsFromPurchased}
	m.reason, m.fault, m.version = row.Reason, row.Failure.Code, row.TemplateVersion
	for i := range c.Attempts {
		if a := &c.Attempts[i]; a.Run == row.ID {
			r.begin(attempt{epoch: a.Epoch, price: a.Price, charge: a.Charge.Amount, claimed: true, enqueued: true, closes: 1})
		}
	}
	for i := range r.files {
		f := &r.files[i]
		now := file{status: f.Status, retries: f.RetryAttempt, free: f.FreeRetries, failure: f.Failure.Code, epoch: f.Epoch, paidBy: f.PaidBy, expired: f.Redeliveries}
		if f.Status == core.FilePending {
			now.owed = r.attempts[f.PaidBy].price > 0
		} else {
			now.recorded = f.Epoch
		}
		m.files = append(m.files, now)
	}
}

// priced checks that an attempt's price is one that the template had meanwhile.
func (o *Oracle) priced(t *template, c *Commit, a *core.Attempt) {
	if !t.could(a.Price, c.Began) {
		o.fail(I3, "attempt %d of run %s was priced at %d a file, which template %s did not cost then", a.Number, a.Run, a.Price, t.id)
	}
}

// chargeOf finds the charge of an attempt among what is committed with it, which
// must be of exactly this price, or none if it is 0.
func (o *Oracle) chargeOf(c *Commit, r *run, n core.AttemptNumber, total core.Credits) core.Split {
	var split core.Split
	found := 0
	for i := range c.Entries {
		if e := &c.Entries[i]; e.Kind == core.EntryCharge && e.Run == r.row.ID {
			if e.Attempt != n {
				o.fail(I3, "attempt %d of run %s was committed with a charge of attempt %d", n, r.row.ID, e.Attempt)
			}
			found++
			split = e.Amount
		}
	}
	want := 1
	if total == 0 {
		want = 0
	}
	if got := split.Monthly + split.Purchased; found != want || got != total {
		o.fail(I3, "attempt %d of run %s costs %d, but was committed with %d charges of %d", n, r.row.ID, total, found, got)
	}
	return split
}

// changed takes what a transaction wrote of a run that was there before through
// the model.
func (o *Oracle) changed(t *tenant, c *Commit, r *run) {
	next := &r.row
	for i := range c.Runs {
		if c.Runs[i].ID == r.row.ID {
			next = &c.Runs[i]
		}
	}
	switch added, marked := o.recordsOf(c, r); {
	case added != nil && marked != nil:
		o.fail(Refinement, "run %s: an attempt was begun and undone in one transaction", r.row.ID)
	case added != nil:
		o.continued(t, c, r, added, next)
	case marked != nil:
		o.compensated(c, r, marked, next)
	default:
		o.moved(c, r, next)
	}
	if next != &r.row {
		r.row = *next
	}
	r.changed = o.commits
	for i := range c.Files {
		if w := &c.Files[i]; w.Run == r.row.ID && w.File.Index < len(r.files) {
			r.files[w.File.Index] = w.File
		}
	}
}

func (o *Oracle) recordsOf(c *Commit, r *run) (added *core.Attempt, marked *Mark) {
	for i := range c.Attempts {
		if c.Attempts[i].Run == r.row.ID {
			if added != nil {
				o.fail(Refinement, "run %s: two attempts were begun in one transaction", r.row.ID)
			}
			added = &c.Attempts[i]
		}
	}
	for i := range c.Marks {
		if c.Marks[i].Run == r.row.ID {
			marked = &c.Marks[i]
		}
	}
	return added, marked
}

// continued is a Continue: failed files are charged for, pending ones are free.
func (o *Oracle) continued(t *tenant, c *Commit, r *run, a *core.Attempt, next *core.Run) {
	m := &r.model
	n := core.AttemptNumber(len(r.attempts))
	if a.Number != n {
		o.fail(Refinement, "run %s: attempt %d was begun, it is number %d", r.row.ID, a.Number, n)
	}
	if !m.status.Closed() || m.status == core.RunCompleted {
		o.fail(I9, "run %s was continued while %s", r.row.ID, m.status)
	}
	mine := r.begin(attempt{epoch: next.Epoch, price: a.Price})
	m.copyTo(&mine.before)
	failed, pending, interrupted := 0, 0, false
	for i := range m.files {
		f := &m.files[i]
		switch f.status {
		case core.FileFailed:
			failed++
			f.paidBy, f.owed, f.unpaid = n, a.Price > 0, false
			if f.retries-f.free >= r.row.MaxRetryCount {
				o.fail(I6, "run %s was continued, but file %d has used its %d retries", r.row.ID, i, f.retries-f.free)
			}
		case core.FilePending:
			pending++
			f.free++
			interrupted = interrupted || f.failure != ""
		case core.FileProcessing:
			o.fail(Refinement, "run %s was continued while file %d was being processed", r.row.ID, i)
		case core.FileCompleted, core.FileError:
			continue
		}
		f.status, f.epoch, f.retries, f.expired, f.failure = core.FilePending, next.Epoch, f.retries+1, 0, ""
	}
	if failed+pending == 0 {
		o.fail(Refinement, "run %s was continued with nothing to retry", r.row.ID)
	}
	template := t.template(r.row.Template)
	o.priced(template, c, a)
	mine.charge = o.chargeOf(c, r, n, a.Price*core.Credits(failed))
	m.credits.Monthly += mine.charge.Monthly
	m.credits.Purchased += mine.charge.Purchased
	o.accepted(c, r.row.ID, mine.charge)
	m.status, m.jobs, m.completed, m.failed = core.RunRunning, r.jobsOf(failed+pending), 0, 0
	m.reason, m.fault = core.ReasonNone, ""
	if next.Epoch <= r.row.Epoch {
		o.fail(I8, "run %s was continued under epoch %d, which was given out before", r.row.ID, next.Epoch)
	}
	o.metContinue(r, template, failed, pending, a.Price)
	if interrupted {
		o.met(ContinueInterrupted)
	}
}

func (o *Oracle) metContinue(r *run, t *template, failed, pending int, price core.Credits) {
	switch {
	case failed == 0:
		o.met(ContinueFree)
	case pending > 0:
		o.met(ContinueMixed)
	}
	if r.batch() {
		o.met(ContinueBatch)
	}
	if t.deleted {
		o.met(ContinueAfterDelete)
	}
	if price != r.attempts[0].price {
		o.met(ContinueAfterReprice)
	}
}
