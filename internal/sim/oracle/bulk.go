package oracle

import "github.com/redrive/redrive/core"

// BulkWrite is what a transaction wrote of a part of a bulk continue.
type BulkWrite struct {
	Part core.BulkPart
	Runs []core.BulkRun
}

// Bulk adds what was written of a part.
func (c *Commit) Bulk(p core.BulkPart, runs []core.BulkRun) {
	c.Bulks = append(c.Bulks, BulkWrite{Part: p, Runs: append([]core.BulkRun(nil), runs...)})
}

// bulkRun is what was committed of a run of a bulk continue last.
type bulkRun struct {
	tenant core.TenantID
	bulk   core.BulkID
	row    core.BulkRun
}

// bulkCommitted checks what a transaction wrote of bulk continues: a run is continued at
// most once by each, and the record says so in the same transaction.
func (o *Oracle) bulkCommitted(c *Commit) {
	for i := range c.Made {
		o.BulkMade(c.Made[i])
	}
	for i := range c.Bulks {
		for _, r := range c.Bulks[i].Runs {
			o.bulkRunCommitted(c, &c.Bulks[i].Part, r)
		}
		o.bulkTotals(&c.Bulks[i].Part)
	}
	for i := range c.Marks {
		for j := range o.bulkRuns {
			if b := &o.bulkRuns[j]; b.row.Run == c.Marks[i].Run && b.row.State == core.BulkRunContinued && b.row.Attempt == c.Marks[i].Number {
				o.fail(BulkOnce, "attempt %d of run %s was undone, and bulk continue %s has it as continued", b.row.Attempt, b.row.Run, b.bulk)
			}
		}
	}
	if c.Use != UseBulk {
		return
	}
	for i := range c.Attempts {
		a := &c.Attempts[i]
		if !recorded(c, a) {
			o.fail(BulkOnce, "attempt %d of run %s was begun by a bulk continue, which has no record of it", a.Number, a.Run)
		}
	}
}

func recorded(c *Commit, a *core.Attempt) bool {
	for i := range c.Bulks {
		for _, r := range c.Bulks[i].Runs {
			if r.Run == a.Run && r.State == core.BulkRunContinued && r.Attempt == a.Number && r.Price == a.Charge.Amount.Total() {
				return true
			}
		}
	}
	return false
}

func (o *Oracle) bulkRunCommitted(c *Commit, p *core.BulkPart, r core.BulkRun) {
	var was *bulkRun
	for i := range o.bulkRuns {
		if b := &o.bulkRuns[i]; b.tenant == c.Tenant && b.bulk == p.Bulk && b.row.Run == r.Run {
			was = b
		}
	}
	if was == nil {
		o.bulkRuns = append(o.bulkRuns, bulkRun{c.Tenant, p.Bulk, r})
		if r.State != core.BulkRunWaiting {
			o.fail(BulkOnce, "run %s enters bulk continue %s as %s", r.Run, p.Bulk, r.State)
		}
		return
	}
	old := was.row
	was.row = r
	begun, undone := false, false
	for i := range c.Attempts {
		begun = begun || c.Attempts[i].Run == r.Run && c.Attempts[i].Number == r.Attempt
	}
	for i := range c.Marks {
		undone = undone || c.Marks[i].Run == r.Run && c.Marks[i].Number == old.Attempt
	}
	switch {
	case old.State == core.BulkRunWaiting && r.State == core.BulkRunContinued && begun:
		o.met(BulkContinued)
	case old.State == core.BulkRunWaiting && r.State == core.BulkRunRefused && len(c.Attempts) == 0:
		o.met(BulkRefused)
	case old.State == core.BulkRunContinued && r.State == core.BulkRunWaiting && undone:
		o.met(BulkUndone)
	case old.State == core.BulkRunContinued && r.State == core.BulkRunContinued && old.Open && !r.Open && old.Attempt == r.Attempt:
	default:
		o.fail(BulkOnce, "run %s of bulk continue %s is %s of attempt %d, and becomes %s of attempt %d", r.Run, p.Bulk, old.State, old.Attempt, r.State, r.Attempt)
	}
}

// bulkTotals compares a part's totals with its runs.
func (o *Oracle) bulkTotals(p *core.BulkPart) {
	var t core.BulkTotals
	for i := range o.bulkRuns {
		b := &o.bulkRuns[i]
		if b.tenant != p.Tenant || b.bulk != p.Bulk {
			continue
		}
		switch b.row.State {
		case core.BulkRunWaiting:
			t.Waiting++
		case core.BulkRunRefused:
			t.Refused++
		case core.BulkRunContinued:
			t.Continued++
			t.Price += b.row.Price
			if b.row.Open {
				t.Open++
			}
		}
	}
	if g := p.Totals; t.Waiting != g.Waiting || t.Continued != g.Continued || t.Refused != g.Refused || t.Open != g.Open || t.Price != g.Price {
		o.fail(BulkOnce, "the totals of bulk continue %s are %+v, its runs add up to %+v", p.Bulk, g, t)
	}
}

// BulkMade is told of each bulk continue that is made.
func (o *Oracle) BulkMade(b core.Bulk) { o.bulks = append(o.bulks, b) }

// BulkSaved looks at a bulk continue that was saved: when it is finished, each of its runs
// has an outcome.
func (o *Oracle) BulkSaved(b core.Bulk) {
	if b.Status != core.BulkFinished {
		return
	}
	o.met(BulkEnded)
	for i := range o.bulkRuns {
		if r := &o.bulkRuns[i]; r.bulk == b.ID && !b.LeftOut(r.tenant) && (r.row.State == core.BulkRunWaiting || r.row.Open) {
			o.fail(BulkOnce, "bulk continue %s is finished, and its run %s is %s", b.ID, r.row.Run, r.row.State)
		}
	}
}

// bulkSpent checks that a bulk continue takes no more than it may.
func (o *Oracle) bulkSpent() {
	for _, b := range o.bulks {
		if b.Terms.MaxPrice == nil {
			continue
		}
		var spent core.Credits
		for i := range o.bulkRuns {
			if r := &o.bulkRuns[i]; r.bulk == b.ID && r.row.State == core.BulkRunContinued {
				spent += r.row.Price
			}
		}
		if spent > *b.Terms.MaxPrice {
			o.fail(Accepted, "bulk continue %s took %d credits, and may take %d", b.ID, spent, *b.Terms.MaxPrice)
		}
	}
}
