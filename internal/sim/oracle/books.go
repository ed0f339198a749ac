package oracle

import (
	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/internal/testkit/model"
)

// tenant is what is committed of a tenant's credits and templates.
type tenant struct {
	id        core.TenantID
	account   model.Account
	templates []template
	answers   model.Answers // the first definite one of each key
	bought    []core.Key    // keys of purchases
	refunded  []core.Key    // keys of refunds by hand
	suspended bool
	allowance core.Credits
	changed   int // the commit that wrote to its credits or templates last
	since     int // the commit that created it
}

// template remembers every price that a template had, and from which commit on:
// it is read without a lock, so a transaction may use any that it could have seen.
type template struct {
	id       core.TemplateID
	prices   []price
	versions []version
	deleted  bool
	batch    bool
}

type price struct {
	from    int // the commit that set it
	credits core.Credits
}

// could reports whether a transaction that began at a commit can have seen the price.
func (t *template) could(credits core.Credits, began int) bool {
	for i := len(t.prices) - 1; i >= 0; i-- {
		if t.prices[i].credits == credits {
			return true
		}
		if t.prices[i].from <= began {
			return false
		}
	}
	return false
}

func (t *tenant) reset(id core.TenantID) {
	t.id, t.templates = id, t.templates[:0]
	t.account.Reset()
	t.allowance, t.changed = 0, 0
	t.answers, t.bought, t.refunded, t.suspended = t.answers[:0], t.bought[:0], t.refunded[:0], false
}

func (t *tenant) template(id core.TemplateID) *template {
	for i := range t.templates {
		if t.templates[i].id == id {
			return &t.templates[i]
		}
	}
	return nil
}

// newTemplate gives the next template, reusing its memory.
func (t *tenant) newTemplate() *template {
	n := len(t.templates)
	if n == cap(t.templates) {
		t.templates = append(t.templates, template{})
	} else {
		t.templates = t.templates[:n+1]
		t.templates[n] = template{prices: t.templates[n].prices[:0], versions: t.templates[n].versions[:0]}
	}
	return &t.templates[n]
}

// price is what a file costs now.
func (t *template) price() core.Credits { return t.prices[len(t.prices)-1].credits }

func (o *Oracle) saveTemplates(t *tenant, c *Commit) {
	for i := range c.Tenants {
		t.allowance, t.suspended = c.Tenants[i].MonthlyAllowance, c.Tenants[i].Suspended()
	}
	if len(c.Tenants)+len(c.Templates)+len(c.Entries) > 0 {
		t.changed = o.commits
	}
	for i := range c.Templates {
		row := &c.Templates[i]
		known := t.template(row.ID)
		if known == nil {
			known = t.newTemplate()
			known.id, known.batch = row.ID, row.Mode == core.ModeBatch
		}
		known.deleted = row.Deleted()
		o.versioned(known, row)
		if n := len(known.prices); n == 0 || known.prices[n-1].credits != row.CreditsPerRun {
			known.prices = append(known.prices, price{o.commits, row.CreditsPerRun})
		}
	}
}

// post takes one ledger entry to the model, and checks what it must be of and for.
func (o *Oracle) post(t *tenant, c *Commit, e *core.Entry) {
	if e.Tenant != t.id {
		o.fail(I10, "entry %s of tenant %s was posted for %s", e.Key, t.id, e.Tenant)
	}
	t.account.Post(o.judge, e)
	switch e.Kind {
	case core.EntryAllowance:
		o.granted(t, c, t.account.Month(e.Period), e)
	case core.EntryPurchase:
		o.bought(t, c)
	case core.EntryCharge:
		if p := core.PeriodOf(e.At); p != e.Period || e.At.Before(c.SeenMin) || e.At.After(c.SeenMax) {
			o.fail(I3, "charge %s of %s is for %s", e.Key, e.At.UTC().Format("2006-01-02 15:04:05"), e.Period)
		}
		if e.Amount.Monthly > 0 && e.Amount.Purchased > 0 {
			o.met(ChargeSplitOverBoth)
		}
		if r := o.run(e.Run); r != nil {
			r.charged.Monthly += e.Amount.Monthly
			r.charged.Purchased += e.Amount.Purchased
		} else {
			o.fail(I10, "charge %s is for a run that tenant %s does not have", e.Key, t.id)
		}
	case core.EntryRefund:
		if e.Period.Before(core.PeriodOf(c.SeenMax)) {
			o.met(RefundAfterMonthEnd)
		}
		if r := o.run(e.Run); r != nil {
			r.charged.Monthly -= e.Amount.Monthly
			r.charged.Purchased -= e.Amount.Purchased
		}
		if e.Reason != "" {
			o.refundedByHand(t, c, e)
		}
	}
}

// ReadBalance checks a balance that was read outside any writes of its own
// transaction: it must be what the entries add up to.
func (o *Oracle) ReadBalance(id core.TenantID, b core.Balance) {
	t := o.tenant(id)
	if t == nil {
		return
	}
	if left := t.account.Left(b.Period); b.Monthly != left || b.Purchased != t.account.Purchased {
		o.fail(I1, "tenant %s has %d monthly of %s and %d purchased, its entries add up to %d and %d",
			id, b.Monthly, b.Period, b.Purchased, left, t.account.Purchased)
	}
}
