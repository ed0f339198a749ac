package world

import (
	"github.com/redrive/redrive/adapters/memory"
	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/internal/sim/oracle"
	"github.com/redrive/redrive/internal/sim/trace"
)

// setUp makes what is there before anybody acts, without faults or steps. The rows
// are those that the use cases would write, one commit a tenant: thousands of worlds
// a second begin with this.
func (w *World) setUp() error {
	for n := range w.sc.Tenants {
		if err := w.setUpTenant(n); err != nil {
			return err
		}
	}
	w.oracle.Begin()
	return nil
}

func (w *World) setUpTenant(n int) error {
	c, t, now := &w.contents, &w.sc.Tenants[n], w.sc.Start
	period := core.PeriodOf(now)
	*c = memory.Contents{
		Tenant:    core.Tenant{ID: t.ID, Name: string(t.ID), MonthlyAllowance: t.Allowance, CreatedAt: now},
		Templates: c.Templates[:0], Entries: c.Entries[:0], Runs: c.Runs[:0], Versions: c.Versions[:0],
		Balance: core.Balance{Period: period},
	}
	for i := range w.sc.Templates {
		if w.sc.Templates[i].Tenant == n {
			c.Templates = append(c.Templates, w.template(i))
			if w.sc.edits(i) { // else nothing reads it
				c.Versions = append(c.Versions, w.template(i).VersionBy(core.System, now))
			}
		}
	}
	if bought := t.Purchased + w.sc.cost(n); bought > 0 {
		if err := w.setUpEntry(core.NewPurchase(t.ID, "client/set-up", bought, core.System, now)); err != nil {
			return err
		}
	}
	if t.Allowance > 0 && !w.sc.Unfilled {
		if err := w.setUpEntry(core.NewAllowance(t.ID, core.AllowanceKey(period), period, t.Allowance, core.System, now)); err != nil {
			return err
		}
	}
	if err := w.history(n); err != nil {
		return err
	}
	w.memory.Load(c)
	w.setUpCommitted()
	return nil
}

// setUpEntry posts an entry, unless err says why there is none.
func (w *World) setUpEntry(e core.Entry, err error) error {
	c := &w.contents
	if err != nil {
		return err
	}
	if c.Balance, err = c.Balance.Apply(e); err != nil {
		return err
	}
	e.Seq = int64(len(c.Entries) + 1)
	c.Entries = append(c.Entries, e)
	return nil
}

// setUpCommitted tells the oracle what was loaded.
func (w *World) setUpCommitted() {
	from, c := &w.contents, &w.commit
	c.Reset()
	c.Together = 0
	c.Tenant, c.Actor, c.Use, c.Began = from.Tenant.ID, trace.NoActor, oracle.UseSetUp, w.oracle.Commits()
	c.SeenMin, c.SeenMax = w.sc.Start, w.sc.Start
	c.Tenants = append(c.Tenants, from.Tenant)
	c.Templates = append(c.Templates, from.Templates...)
	c.Entries = append(c.Entries, from.Entries...)
	about := core.RunID("")
	for i := range from.Runs {
		r := &from.Runs[i]
		if about == "" {
			about = r.Run.ID
		}
		c.Inserted = append(c.Inserted, oracle.NewRun{Run: r.Run, Files: r.Files})
		c.Attempts = append(c.Attempts, r.Attempts...)
	}
	w.env.Committed(c, about)
}
