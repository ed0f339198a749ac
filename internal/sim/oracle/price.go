package oracle

import (
	"github.com/redrive/redrive/core"
)

// accepted checks that an attempt charges no more than its caller accepts.
func (o *Oracle) accepted(c *Commit, r *run, charge core.Split) {
	if c.Use != UseInitiate && c.Use != UseContinue {
		return
	}
	by, most := r.known[len(r.known)-1].by, core.Credits(0)
	if by == 0 {
		by = 1 << c.Actor
	}
	for actor := range uint8(maxActors) {
		if !by.has(actor) {
			continue
		}
		q := &o.requests[actor]
		if q.MaxPrice == nil {
			return
		}
		most = max(most, *q.MaxPrice)
	}
	if price := charge.Monthly + charge.Purchased; price > most {
		o.fail(Accepted, "run %s was charged %d, and at most %d were accepted", r.row.ID, price, most)
	}
}

// priceChanged checks the reason of an initiation that was refused for its price, if
// nothing has changed since it was asked.
func (o *Oracle) priceChanged(q *request, a *Answer) {
	t := o.tenant(q.Tenant)
	if t == nil || t.changed > q.commits {
		return
	}
	price := t.template(q.Template).price() * core.Credits(q.Files)
	if q.MaxPrice == nil || price <= *q.MaxPrice || a.Price != price {
		o.fail(Explained, "an initiation was refused because it costs %d, by the model it costs %d", a.Price, price)
	}
}

// Price is what a file of a template costs now.
func (o *Oracle) Price(tenant core.TenantID, id core.TemplateID) core.Credits {
	if t := o.tenant(tenant); t != nil && t.template(id) != nil {
		return t.template(id).price()
	}
	return 0
}
