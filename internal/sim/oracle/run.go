package oracle

import (
	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/internal/testkit/model"
)

// run is one run: what is committed of it, what the model says, and what the oracle
// was told of it besides.
type run struct {
	row     core.Run
	files   []core.File
	model   model.Run
	known   []known    // of each attempt
	charged core.Split // charges less refunds, by the ledger
	execs   [][]execution
	claims  [][]claim
	changed int // the commit that wrote it last
}

// known is what the oracle was told of an attempt.
type known struct {
	enqueued bool   // the queue confirmed all of it to the actor that began it
	taken    bool   // the queue confirmed what some actor sent of it
	undone   int    // the commit that compensated it
	won      bool   // a Continue was told that it is its own
	by       Actors // whose it can be, until one is answered with it
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

// holder is the actor that claimed a file last.
func (r *run) holder(index int) uint8 {
	if claims := r.claims[index]; len(claims) > 0 {
		return claims[len(claims)-1].actor
	}
	return 0
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
	r.known = r.known[:0]
	for len(r.execs) < len(files) {
		r.execs, r.claims = append(r.execs, nil), append(r.claims, nil)
	}
	for i := range r.execs {
		r.execs[i], r.claims[i] = r.execs[i][:0], r.claims[i][:0]
	}
	r.model.Reset(row.ID, row.Mode == core.ModeBatch)
	return r
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
	r.changed = o.commits
	o.runs = append(o.runs, r)
	if c.Use == UseSetUp {
		for i := range c.Attempts {
			if a := &c.Attempts[i]; a.Run == row.ID {
				r.model.TakeAttempt(a)
				r.known = append(r.known, known{enqueued: true})
			}
		}
		r.model.Take(row, n.Files)
		return
	}
	template := t.template(row.Template)
	a, _ := o.recordsOf(c, r)
	if template == nil || a == nil {
		o.fail(Refinement, "run %s was initiated without an attempt, or on template %q", row.ID, row.Template)
		return
	}
	o.priced(template, c, a)
	o.initiatedWith(template, c, row)
	charge := chargeOf(c, r, 0)
	r.model.Initiate(o.judge, len(n.Files), row.MaxRetryCount, row.TemplateVersion, model.Start{Price: a.Price, Charge: charge, Epoch: row.Epoch})
	r.known = append(r.known, known{by: o.attributed(c, r, true)})
	o.begunWhile(t, r)
	o.begunAs(c, r, a, row)
	o.accepted(c, r, charge)
}

// priced checks that an attempt's price is one that the template had meanwhile.
func (o *Oracle) priced(t *template, c *Commit, a *core.Attempt) {
	if !t.could(a.Price, c.Began) {
		o.fail(I3, "attempt %d of run %s was priced at %d a file, which template %s did not cost then", a.Number, a.Run, a.Price, t.id)
	}
}

// chargeOf finds the charge of an attempt among what is committed with it.
func chargeOf(c *Commit, r *run, n core.AttemptNumber) core.Split {
	for i := range c.Entries {
		if e := &c.Entries[i]; e.Kind == core.EntryCharge && e.Run == r.row.ID && e.Attempt == n {
			return e.Amount
		}
	}
	return core.Split{}
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
	added, marked := o.recordsOf(c, r)
	if c.Use != UseSetUp {
		o.told(c, r, added != nil, next)
	}
	switch {
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
	r.model.Epoch = r.row.Epoch
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
	n := r.model.Number() + 1
	if a.Number != n {
		o.fail(Refinement, "run %s: attempt %d was begun, it is number %d", r.row.ID, a.Number, n)
	}
	template := t.template(r.row.Template)
	o.priced(template, c, a)
	charge := chargeOf(c, r, n)
	q := r.model.Continue(o.judge, model.Start{Price: a.Price, Charge: charge, Epoch: next.Epoch})
	r.known = append(r.known, known{by: o.attributed(c, r, false)})
	o.begunWhile(t, r)
	o.begunAs(c, r, a, next)
	o.accepted(c, r, charge)
	o.metContinue(r, template, &q, a.Price)
}

func (o *Oracle) metContinue(r *run, t *template, q *model.Quote, price core.Credits) {
	switch {
	case q.Failed == 0:
		o.met(ContinueFree)
	case q.Pending > 0:
		o.met(ContinueMixed)
	}
	if r.model.Batch {
		o.met(ContinueBatch)
	}
	if t.deleted {
		o.met(ContinueAfterDelete)
	}
	if price != r.model.Attempts[0].Price {
		o.met(ContinueAfterReprice)
	}
	if q.Interrupted {
		o.met(ContinueInterrupted)
	}
}
