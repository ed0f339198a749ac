package oracle

import (
	"github.com/redrive/redrive/core"
)

// tenant is what is committed of a tenant's credits and templates.
type tenant struct {
	id        core.TenantID
	seq       int64
	purchased core.Credits
	monthly   []month
	entries   []entry
	templates []template
	answers   []remembered
	bought    []core.Key // keys of purchases
	allowance core.Credits
	changed   int // the commit that wrote to its credits or templates last
	since     int // the commit that created it
}

// entry is a posted entry; a tenant has few, so they are looked through.
type entry struct {
	core.Entry
	refunded bool
}

func (t *tenant) entry(key core.Key) *entry {
	for i := range t.entries {
		if t.entries[i].Key == key {
			return &t.entries[i]
		}
	}
	return nil
}

type month struct {
	period  core.Period
	left    core.Credits
	granted bool // by the refill
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
	t.id, t.seq, t.purchased, t.monthly, t.templates = id, 0, 0, t.monthly[:0], t.templates[:0]
	t.allowance, t.changed = 0, 0
	t.entries = t.entries[:0]
	t.answers, t.bought = t.answers[:0], t.bought[:0]
}

// month finds a period's bucket.
func (t *tenant) month(p core.Period) *month {
	for i := range t.monthly {
		if t.monthly[i].period == p {
			return &t.monthly[i]
		}
	}
	t.monthly = append(t.monthly, month{period: p})
	return &t.monthly[len(t.monthly)-1]
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
		t.allowance = c.Tenants[i].MonthlyAllowance
	}
	if len(c.Templates)+len(c.Entries) > 0 {
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

// post checks and applies one ledger entry: I1, I3's burn order, I4.
func (o *Oracle) post(t *tenant, c *Commit, e *core.Entry) {
	t.seq++
	bucket := t.month(e.Period)
	switch {
	case e.Tenant != t.id:
		o.fail(I10, "entry %s of tenant %s was posted for %s", e.Key, t.id, e.Tenant)
	case e.Seq != t.seq:
		o.fail(I1, "entry %s has seq %d, it is number %d", e.Key, e.Seq, t.seq)
	case t.entry(e.Key) != nil:
		o.fail(I1, "key %s was used twice", e.Key)
	case e.Amount.Monthly < 0 || e.Amount.Purchased < 0:
		o.fail(I1, "entry %s has a negative amount", e.Key)
	}
	switch e.Kind {
	case core.EntryAllowance:
		bucket.left += e.Amount.Monthly
		o.granted(t, c, bucket, e)
		if e.Amount.Purchased != 0 {
			o.fail(I1, "allowance %s adds purchased credits", e.Key)
		}
	case core.EntryPurchase:
		t.purchased += e.Amount.Purchased
		o.bought(t, c)
		if e.Amount.Monthly != 0 {
			o.fail(I1, "purchase %s adds allowance", e.Key)
		}
	case core.EntryCharge:
		o.charge(t, c, bucket, e)
	case core.EntryRefund:
		o.refund(t, c, bucket, e)
	default:
		o.fail(I1, "entry %s is of no known kind", e.Key)
	}
	t.entries = append(t.entries, entry{Entry: *e})
	if bucket.left < 0 || t.purchased < 0 {
		o.fail(I1, "after entry %s tenant %s has %d monthly of %s and %d purchased", e.Key, t.id, bucket.left, e.Period, t.purchased)
	}
}

func (o *Oracle) charge(t *tenant, c *Commit, bucket *month, e *core.Entry) {
	total := e.Amount.Monthly + e.Amount.Purchased
	monthly := min(total, bucket.left)
	if e.Amount.Monthly != monthly {
		o.fail(I3, "charge %s of %d took %d of the %d monthly credits left, not %d", e.Key, total, e.Amount.Monthly, bucket.left, monthly)
	}
	if p := core.PeriodOf(e.At); p != e.Period || e.At.Before(c.SeenMin) || e.At.After(c.SeenMax) {
		o.fail(I3, "charge %s of %s is for %s", e.Key, e.At.UTC().Format("2006-01-02 15:04:05"), e.Period)
	}
	if e.Amount.Monthly > 0 && e.Amount.Purchased > 0 {
		o.met(ChargeSplitOverBoth)
	}
	bucket.left -= e.Amount.Monthly
	t.purchased -= e.Amount.Purchased
	if r := o.run(e.Run); r != nil {
		r.charged.Monthly += e.Amount.Monthly
		r.charged.Purchased += e.Amount.Purchased
	} else {
		o.fail(I10, "charge %s is for a run that tenant %s does not have", e.Key, t.id)
	}
}

func (o *Oracle) refund(t *tenant, c *Commit, bucket *month, e *core.Entry) {
	charge := t.entry(e.Charge)
	switch {
	case charge == nil || charge.Kind != core.EntryCharge:
		o.fail(I4, "refund %s is of no charge", e.Key)
	case charge.refunded:
		o.fail(I4, "charge %s was refunded twice", e.Charge)
	case e.Amount != charge.Amount || e.Period != charge.Period || e.Run != charge.Run || e.Attempt != charge.Attempt:
		o.fail(I4, "charge %s took %+v of %s, its refund gives %+v to %s", e.Charge, charge.Amount, charge.Period, e.Amount, e.Period)
	}
	if charge != nil {
		charge.refunded = true
	}
	bucket.left += e.Amount.Monthly
	t.purchased += e.Amount.Purchased
	if e.Period.Before(core.PeriodOf(c.SeenMax)) {
		o.met(RefundAfterMonthEnd)
	}
	if r := o.run(e.Run); r != nil {
		r.charged.Monthly -= e.Amount.Monthly
		r.charged.Purchased -= e.Amount.Purchased
	}
}

// ReadBalance checks a balance that was read outside any writes of its own
// transaction: it must be what the entries add up to.
func (o *Oracle) ReadBalance(id core.TenantID, b core.Balance) {
	t := o.tenant(id)
	if t == nil {
		return
	}
	if left := t.month(b.Period).left; b.Monthly != left || b.Purchased != t.purchased {
		o.fail(I1, "tenant %s has %d monthly of %s and %d purchased, its entries add up to %d and %d",
			id, b.Monthly, b.Period, b.Purchased, left, t.purchased)
	}
}
