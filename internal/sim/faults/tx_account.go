package faults

import (
	"context"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/internal/sim/oracle"
	"github.com/redrive/redrive/internal/sim/trace"
	"github.com/redrive/redrive/ports"
)

type txTenants struct{ *tx }

func (t txTenants) Insert(ctx context.Context, row core.Tenant) error {
	if err := t.before(trace.TenantInsert, ""); err != nil {
		return err
	}
	err := t.inner.Tenants().Insert(ctx, row)
	t.locked(err)
	if err == nil {
		t.commit.Tenants = append(t.commit.Tenants, row)
	}
	return err
}

func (t txTenants) Get(ctx context.Context) (core.Tenant, error) {
	if err := t.before(trace.TenantGet, ""); err != nil {
		return core.Tenant{}, err
	}
	return t.inner.Tenants().Get(ctx)
}

func (t txTenants) Save(ctx context.Context, row core.Tenant) error {
	if err := t.before(trace.TenantSave, ""); err != nil {
		return err
	}
	err := t.inner.Tenants().Save(ctx, row)
	t.locked(err)
	if err == nil {
		t.commit.Tenants = append(t.commit.Tenants, row)
	}
	return err
}

type txTemplates struct{ *tx }

func (t txTemplates) Insert(ctx context.Context, row core.Template) error {
	if err := t.before(trace.TemplateInsert, ""); err != nil {
		return err
	}
	err := t.inner.Templates().Insert(ctx, row)
	t.locked(err)
	if err == nil {
		t.commit.Templates = append(t.commit.Templates, row)
	}
	return err
}

func (t txTemplates) Get(ctx context.Context, id core.TemplateID) (core.Template, error) {
	if err := t.before(trace.TemplateGet, ""); err != nil {
		return core.Template{}, err
	}
	row, err := t.inner.Templates().Get(ctx, id)
	if err == nil {
		t.ofTenant(row.Tenant, "template")
	}
	return row, err
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
	if err := t.before(trace.TemplateSave, ""); err != nil {
		return err
	}
	err := t.inner.Templates().Save(ctx, row)
	t.locked(err)
	if err == nil {
		t.commit.Templates = append(t.commit.Templates, row)
	}
	return err
}

func (t txTemplates) List(ctx context.Context) ([]core.Template, error) {
	if err := t.before(trace.TemplateList, ""); err != nil {
		return nil, err
	}
	return t.inner.Templates().List(ctx)
}

type txLedger struct{ *tx }

func (t txLedger) Balance(ctx context.Context, p core.Period) (core.Balance, error) {
	if err := t.before(trace.BalanceRead, ""); err != nil {
		return core.Balance{}, err
	}
	b, err := t.inner.Ledger().Balance(ctx, p)
	t.readBalance(b, err)
	return b, err
}

func (t txLedger) BalanceForUpdate(ctx context.Context, p core.Period) (core.Balance, error) {
	if err := t.lock(trace.CreditsLock, t.first); err != nil {
		return core.Balance{}, err
	}
	b, err := t.inner.Ledger().BalanceForUpdate(ctx, p)
	t.locked(err)
	if err == nil {
		t.credits = true
	}
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

func (t txLedger) Post(ctx context.Context, e core.Entry) (core.Entry, error) {
	if err := t.under(t.credits, trace.Post, e.Run); err != nil {
		return core.Entry{}, err
	}
	if e.Kind == core.EntryRefund && t.env.fault(RefundFault, e.Run) != 0 {
		t.broken = errNetwork
		return core.Entry{}, t.broken
	}
	posted, err := t.inner.Ledger().Post(ctx, e)
	t.locked(err)
	if err == nil {
		t.credits = true
		t.commit.Entries = append(t.commit.Entries, posted)
	}
	return posted, err
}

func (t txLedger) Entry(ctx context.Context, key core.Key) (core.Entry, error) {
	if err := t.before(trace.BooksRead, ""); err != nil {
		return core.Entry{}, err
	}
	e, err := t.inner.Ledger().Entry(ctx, key)
	if err == nil {
		if a := t.env.actor(); a != nil && a.use == oracle.UseRefill && t.credits {
			t.env.Oracle.Met(oracle.RefillRaced)
		}
		t.ofTenant(e.Tenant, "ledger entry")
	}
	return e, err
}

func (t txLedger) Entries(ctx context.Context, after int64, limit int) ([]core.Entry, error) {
	if err := t.before(trace.BooksRead, ""); err != nil {
		return nil, err
	}
	return t.inner.Ledger().Entries(ctx, after, limit)
}

func (t txLedger) Balances(ctx context.Context) ([]core.Balance, error) {
	if err := t.before(trace.BooksRead, ""); err != nil {
		return nil, err
	}
	return t.inner.Ledger().Balances(ctx)
}

type txAnswers struct{ *tx }

func (t txAnswers) Get(ctx context.Context, key core.Key) (core.Answer, error) {
	if err := t.before(trace.AnswerGet, t.first); err != nil {
		return core.Answer{}, err
	}
	a, err := t.inner.Answers().Get(ctx, key)
	if err == nil {
		t.ofTenant(a.Tenant, "remembered answer")
	}
	return a, err
}

func (t txAnswers) Insert(ctx context.Context, a core.Answer) error {
	if err := t.lock(trace.AnswerInsert, t.first); err != nil {
		return err
	}
	err := t.inner.Answers().Insert(ctx, a)
	t.locked(err)
	if err == nil {
		t.commit.Answers = append(t.commit.Answers, a)
	}
	return err
}

func (t txAnswers) Save(ctx context.Context, a core.Answer) error {
	if err := t.lock(trace.AnswerSave, t.first); err != nil {
		return err
	}
	err := t.inner.Answers().Save(ctx, a)
	t.locked(err)
	if err == nil {
		t.commit.Answers = append(t.commit.Answers, a)
	}
	return err
}

var (
	_ ports.Runs             = txRuns{}
	_ ports.RunFiles         = txFiles{}
	_ ports.FileViews        = txFileViews{}
	_ ports.Attempts         = txAttempts{}
	_ ports.Amendments       = txAmendments{}
	_ ports.Tenants          = txTenants{}
	_ ports.Templates        = txTemplates{}
	_ ports.TemplateVersions = txTemplateVersions{}
	_ ports.Ledger           = txLedger{}
	_ ports.Answers          = txAnswers{}
)
