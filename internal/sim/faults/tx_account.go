package faults

import (
	"context"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/internal/sim/oracle"
	"github.com/redrive/redrive/internal/sim/trace"
)

type txTenants struct{ *tx }

func (t txTenants) Insert(ctx context.Context, row core.Tenant) error {
	return t.write(t.before(trace.TenantInsert, ""), func() error { return t.inner.Tenants().Insert(ctx, row) },
		func(c *oracle.Commit) { c.Tenants = append(c.Tenants, row) })
}

func (t txTenants) Get(ctx context.Context) (core.Tenant, error) {
	return read(t.tx, trace.TenantGet, "", func() (core.Tenant, error) { return t.inner.Tenants().Get(ctx) })
}

func (t txTenants) Save(ctx context.Context, row core.Tenant) error {
	return t.write(t.before(trace.TenantSave, ""), func() error { return t.inner.Tenants().Save(ctx, row) },
		func(c *oracle.Commit) { c.Tenants = append(c.Tenants, row) })
}

type txTemplates struct{ *tx }

func (t txTemplates) Insert(ctx context.Context, row core.Template) error {
	return t.write(t.before(trace.TemplateInsert, ""), func() error { return t.inner.Templates().Insert(ctx, row) },
		func(c *oracle.Commit) { c.Templates = append(c.Templates, row) })
}

func (t txTemplates) Get(ctx context.Context, id core.TemplateID) (core.Template, error) {
	return read(t.tx, trace.TemplateGet, "", func() (core.Template, error) {
		row, err := t.inner.Templates().Get(ctx, id)
		return row, t.own(err, row.Tenant, "template")
	})
}

func (t txTemplates) GetForUpdate(ctx context.Context, id core.TemplateID) (core.Template, error) {
	if err := t.lock(trace.TemplateLock, ""); err != nil {
		return core.Template{}, err
	}
	row, err := t.inner.Templates().GetForUpdate(ctx, id)
	t.locked(err)
	return row, err
}

func (t txTemplates) Save(ctx context.Context, row core.Template) error {
	return t.write(t.before(trace.TemplateSave, ""), func() error { return t.inner.Templates().Save(ctx, row) },
		func(c *oracle.Commit) { c.Templates = append(c.Templates, row) })
}

func (t txTemplates) List(ctx context.Context) ([]core.Template, error) {
	return read(t.tx, trace.TemplateList, "", func() ([]core.Template, error) { return t.inner.Templates().List(ctx) })
}

type txTemplateVersions struct{ *tx }

func (t txTemplateVersions) Insert(ctx context.Context, v core.TemplateVersion) error {
	return t.write(t.before(trace.TemplateSave, ""), func() error { return t.inner.TemplateVersions().Insert(ctx, v) },
		func(*oracle.Commit) {}) // the run's number of it is what is judged
}

func (t txTemplateVersions) Get(ctx context.Context, id core.TemplateID, number int) (core.TemplateVersion, error) {
	return read(t.tx, trace.TemplateGet, "", func() (core.TemplateVersion, error) {
		v, err := t.inner.TemplateVersions().Get(ctx, id, number)
		return v, t.own(err, v.Tenant, "template version")
	})
}

func (t txTemplateVersions) List(ctx context.Context, id core.TemplateID, below, limit int) ([]core.TemplateVersion, error) {
	return read(t.tx, trace.TemplateList, "", func() ([]core.TemplateVersion, error) {
		return t.inner.TemplateVersions().List(ctx, id, below, limit)
	})
}

type txLedger struct{ *tx }

func (t txLedger) Balance(ctx context.Context, p core.Period) (core.Balance, error) {
	return read(t.tx, trace.BalanceRead, "", func() (core.Balance, error) {
		b, err := t.inner.Ledger().Balance(ctx, p)
		t.readBalance(b, err)
		return b, err
	})
}

func (t txLedger) BalanceForUpdate(ctx context.Context, p core.Period) (core.Balance, error) {
	if err := t.lock(trace.CreditsLock, t.first); err != nil {
		return core.Balance{}, err
	}
	b, err := t.inner.Ledger().BalanceForUpdate(ctx, p)
	t.locked(err)
	t.credits = t.credits || err == nil
	t.readBalance(b, err)
	return b, err
}

// readBalance: what is read must be what the committed entries add up to, unless
// the transaction has posted some itself.
func (t *tx) readBalance(b core.Balance, err error) {
	if err == nil && len(t.commit.Entries) == 0 {
		t.env.Oracle.Step = t.env.Sched.Steps
		t.env.Oracle.ReadBalance(t.tenant, b)
	}
}

func (t txLedger) Post(ctx context.Context, e core.Entry) (posted core.Entry, err error) {
	refused := t.under(t.credits, trace.Post, e.Run)
	if refused == nil && e.Kind == core.EntryRefund && t.env.fault(RefundFault, e.Run) != 0 {
		t.broken = errNetwork
		refused = t.broken
	}
	err = t.write(refused, func() error {
		posted, err = t.inner.Ledger().Post(ctx, e)
		return err
	}, func(c *oracle.Commit) {
		t.credits = true
		c.Entries = append(c.Entries, posted)
	})
	return posted, err
}

func (t txLedger) Entry(ctx context.Context, key core.Key) (core.Entry, error) {
	return read(t.tx, trace.BooksRead, "", func() (core.Entry, error) {
		e, err := t.inner.Ledger().Entry(ctx, key)
		if a := t.env.actor(); err == nil && a != nil && a.use == oracle.UseRefill && t.credits {
			t.env.Oracle.Met(oracle.RefillRaced)
		}
		return e, t.own(err, e.Tenant, "ledger entry")
	})
}

func (t txLedger) RefundsOf(ctx context.Context, charge core.Key) ([]core.Entry, error) {
	return read(t.tx, trace.BooksRead, "", func() ([]core.Entry, error) { return t.inner.Ledger().RefundsOf(ctx, charge) })
}

func (t txLedger) Entries(ctx context.Context, after int64, limit int) ([]core.Entry, error) {
	return read(t.tx, trace.BooksRead, "", func() ([]core.Entry, error) { return t.inner.Ledger().Entries(ctx, after, limit) })
}

func (t txLedger) Balances(ctx context.Context) ([]core.Balance, error) {
	return read(t.tx, trace.BooksRead, "", func() ([]core.Balance, error) { return t.inner.Ledger().Balances(ctx) })
}

type txAnswers struct{ *tx }

func (t txAnswers) Get(ctx context.Context, key core.Key) (core.Answer, error) {
	return read(t.tx, trace.AnswerGet, t.first, func() (core.Answer, error) {
		a, err := t.inner.Answers().Get(ctx, key)
		return a, t.own(err, a.Tenant, "remembered answer")
	})
}

func (t txAnswers) Insert(ctx context.Context, a core.Answer) error {
	return t.write(t.lock(trace.AnswerInsert, t.first), func() error { return t.inner.Answers().Insert(ctx, a) },
		func(c *oracle.Commit) { c.Answers = append(c.Answers, a) })
}

func (t txAnswers) Save(ctx context.Context, a core.Answer) error {
	return t.write(t.lock(trace.AnswerSave, t.first), func() error { return t.inner.Answers().Save(ctx, a) },
		func(c *oracle.Commit) { c.Answers = append(c.Answers, a) })
}
