package sqlite

import (
	"context"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/internal/locktable"
	"github.com/redrive/redrive/ports"
)

type ledger struct{ t *tx }

// account is what a transaction knows of its tenant's credits from the moment that it has
// their lock. No other transaction can change them until it ends.
type account struct {
	purchased core.Credits
	suspended bool
	lastSeq   int64
	monthly   map[core.Period]core.Credits // of the periods that were asked for
	keys      map[core.Key]bool            // that the transaction has posted under
	refunded  map[core.Key]bool            // charges that it has refunded
	low       core.LowCredits
}

func (a *account) balance(p core.Period) core.Balance {
	return core.Balance{Period: p, Split: core.Split{Monthly: a.monthly[p], Purchased: a.purchased}, Suspended: a.suspended}
}

// Balance gives a period without entries 0 credits.
func (l ledger) Balance(ctx context.Context, p core.Period) (core.Balance, error) {
	const sql = `
SELECT ?2, coalesce(a.monthly_left, 0), c.purchased, t.suspended_at IS NOT NULL
  FROM credits c JOIN tenants t ON t.tenant_id = c.tenant_id LEFT JOIN allowances a ON a.tenant_id = c.tenant_id AND a.period = ?2
 WHERE c.tenant_id = ?1`
	return one(ctx, l.t, ofCredits|ofTenants, scanSpendable, sql, l.t.tenant, p.String())
}

func (l ledger) BalanceForUpdate(ctx context.Context, p core.Period) (core.Balance, error) {
	a, err := l.lock(ctx, p)
	if err != nil {
		return core.Balance{}, err
	}
	return a.balance(p), nil
}

// lock locks the tenant's credits and reads one period.
func (l ledger) lock(ctx context.Context, p core.Period) (*account, error) {
	const held = `
SELECT c.purchased, c.last_seq, coalesce(a.monthly_left, 0), t.suspended_at IS NOT NULL, c.low_credits, c.low_told
  FROM credits c JOIN tenants t ON t.tenant_id = c.tenant_id LEFT JOIN allowances a ON a.tenant_id = c.tenant_id AND a.period = ?2
 WHERE c.tenant_id = ?1`
	if err := l.t.lock(ctx, locktable.Credits, ""); err != nil {
		return nil, err
	}
	if l.t.account != nil {
		return l.t.account, l.another(ctx, p)
	}
	a, err := one(ctx, l.t, ofCredits|ofTenants, func(r *row) *account {
		return &account{
			purchased: core.Credits(r.number()), lastSeq: r.number(), monthly: map[core.Period]core.Credits{p: core.Credits(r.number())}, suspended: r.number() != 0,
			low:  scanLowCredits(r),
			keys: map[core.Key]bool{}, refunded: map[core.Key]bool{},
		}
	}, held, l.t.tenant, p.String())
	if err != nil {
		return nil, err
	}
	l.t.account = a
	l.t.isThere(rowKey{kind: locktable.Tenant}) // its credits are
	return a, nil
}

// another reads one more period. What the transaction itself has posted is in its account,
// and to a period that it did not ask for before it has posted nothing.
func (l ledger) another(ctx context.Context, p core.Period) error {
	if _, known := l.t.account.monthly[p]; known {
		return nil
	}
	left, err := all(ctx, l.t, 0, func(r *row) core.Credits { return core.Credits(r.number()) },
		`SELECT monthly_left FROM allowances WHERE tenant_id = ? AND period = ?`, l.t.tenant, p.String())
	if err != nil {
		return err
	}
	l.t.account.monthly[p] = 0
	if len(left) > 0 {
		l.t.account.monthly[p] = left[0]
	}
	return nil
}

const (
	entryColumns = `tenant_id, seq, key, kind, period, monthly, purchased, run_id, attempt, charge_key,
 actor_subject, actor_tenant, actor_role, at`
	insertEntry   = `INSERT INTO ledger (` + entryColumns + `) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`
	saveCredits   = `UPDATE credits SET purchased = ?2, last_seq = ?3 WHERE tenant_id = ?1`
	saveAllowance = `
INSERT INTO allowances (tenant_id, period, monthly_left) VALUES (?, ?, ?)
ON CONFLICT (tenant_id, period) DO UPDATE SET monthly_left = excluded.monthly_left`
)

func (l ledger) Post(ctx context.Context, e core.Entry) (core.Entry, error) {
	posted, err := l.post(ctx, e)
	if err != nil {
		return core.Entry{}, err
	}
	return posted, l.saveBalances([]core.Entry{posted})
}

// post decides by the rule of core on what is known under the lock, and writes the entry.
// The balances are written by saveBalances.
func (l ledger) post(ctx context.Context, e core.Entry) (core.Entry, error) {
	a, err := l.lock(ctx, e.Period)
	if err != nil {
		return core.Entry{}, err
	}
	// A repeat is told that it is one, not that credits do not suffice for it.
	if err := mustNot(l.used(ctx, a, &e)); err != nil {
		return core.Entry{}, err
	}
	after, err := a.balance(e.Period).Apply(e)
	if err != nil {
		return core.Entry{}, err
	}
	e.Tenant, e.Seq = l.t.tenant, a.lastSeq+1
	if err := l.t.write(ofLedger, 1, ports.ErrExists, insertEntry, entryArgs(&e)...); err != nil {
		return core.Entry{}, err
	}
	a.purchased, a.lastSeq, a.monthly[e.Period] = after.Purchased, e.Seq, after.Monthly
	a.keys[e.Key] = true
	if e.Charge != "" {
		a.refunded[e.Charge] = true
	}
	return e, nil
}

// saveBalances writes the balances as the last of these entries leaves them.
func (l ledger) saveBalances(posted []core.Entry) error {
	if len(posted) == 0 {
		return nil
	}
	a := l.t.account
	if err := l.t.write(ofCredits, 1, ports.ErrNotFound, saveCredits, l.t.tenant, a.purchased, a.lastSeq); err != nil {
		return err
	}
	saved := make(map[core.Period]bool, 1)
	for i := range posted {
		p := posted[i].Period
		if saved[p] {
			continue
		}
		saved[p] = true
		if err := l.t.write(ofCredits, 1, ports.ErrNotFound, saveAllowance, l.t.tenant, p.String(), a.monthly[p]); err != nil {
			return err
		}
	}
	return nil
}

// used reports whether the entry's key was used, or its charge refunded, before.
func (l ledger) used(ctx context.Context, a *account, e *core.Entry) (bool, error) {
	const (
		byKey    = `SELECT 1 FROM ledger WHERE tenant_id = ?1 AND key = ?2`
		byCharge = byKey + ` UNION ALL SELECT 1 FROM ledger WHERE tenant_id = ?1 AND charge_key = ?3`
	)
	if a.keys[e.Key] || e.Charge != "" && a.refunded[e.Charge] {
		return true, nil
	}
	sql, values := byKey, []any{l.t.tenant, e.Key}
	if e.Charge != "" {
		sql, values = byCharge, append(values, e.Charge)
	}
	found, err := all(ctx, l.t, 0, func(r *row) int64 { return r.number() }, sql, values...)
	return len(found) > 0, err
}

func (l ledger) Entry(ctx context.Context, key core.Key) (core.Entry, error) {
	const sql = `SELECT ` + entryColumns + ` FROM ledger WHERE tenant_id = ? AND key = ?`
	return one(ctx, l.t, ofLedger, scanEntry, sql, l.t.tenant, findable(key))
}

func (l ledger) Entries(ctx context.Context, after int64, limit int) ([]core.Entry, error) {
	const sql = `SELECT ` + entryColumns + ` FROM ledger WHERE tenant_id = ? AND seq > ? ORDER BY seq LIMIT ?`
	return all(ctx, l.t, ofLedger, scanEntry, sql, l.t.tenant, after, max(limit, 0))
}

// Balances reads allowances, which has a row for every period of an entry.
func (l ledger) Balances(ctx context.Context) ([]core.Balance, error) {
	const sql = `
SELECT a.period, a.monthly_left, c.purchased
  FROM allowances a JOIN credits c ON c.tenant_id = a.tenant_id
 WHERE a.tenant_id = ? ORDER BY a.period`
	return all(ctx, l.t, ofCredits, scanBalance, sql, l.t.tenant)
}
