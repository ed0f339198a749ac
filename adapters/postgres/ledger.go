package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

type ledger struct{ t *tx }

// account is what a transaction knows of its tenant's credits from the moment
// that it has their lock. No other transaction can change them until it ends.
type account struct {
	purchased core.Credits
	suspended bool
	lastSeq   int64
	monthly   map[core.Period]core.Credits // of the periods that were asked for
	rows      map[core.Period]core.Credits // of those periods that have a row: what it says
	low       core.LowCredits
}

func (a *account) balance(p core.Period) core.Balance {
	return core.Balance{Period: p, Split: core.Split{Monthly: a.monthly[p], Purchased: a.purchased}, Suspended: a.suspended}
}

// Balance gives a period without entries 0 credits.
func (l ledger) Balance(ctx context.Context, p core.Period) (core.Balance, error) {
	const sql = `
SELECT $2, coalesce(a.monthly_left, 0), c.purchased, t.suspended_at IS NOT NULL
  FROM credits c JOIN tenants t ON t.tenant_id = c.tenant_id LEFT JOIN allowances a ON a.tenant_id = c.tenant_id AND a.period = $2
 WHERE c.tenant_id = $1`
	return one(ctx, l.t, scanSpendable, sql, l.t.tenant, p.String())
}

func (l ledger) BalanceForUpdate(ctx context.Context, p core.Period) (core.Balance, error) {
	a, err := l.lock(ctx, p)
	if err != nil {
		return core.Balance{}, err
	}
	return a.balance(p), nil
}

// lock locks the tenant's credits and reads one period. These are two
// statements, in one round trip: a single one that joined the tables would,
// after it had waited, give the locked row as it is now and the others as they were
// when the statement began, the tenant open although it was suspended meanwhile.
func (l ledger) lock(ctx context.Context, p core.Period) (*account, error) {
	if err := l.t.writable(); err != nil {
		return nil, err
	}
	batch := &pgx.Batch{}
	account := l.queueLock(batch, p)
	if batch.Len() == 0 {
		return account()
	}
	if err := l.t.batch(ctx, batch); err != nil {
		return nil, err
	}
	return account()
}

// queueLock queues what lock sends, which is nothing if the period is known. What it gives is
// called once that was answered.
func (l ledger) queueLock(batch *pgx.Batch, p core.Period) func() (*account, error) {
	if a := l.t.account; a != nil {
		if _, known := a.monthly[p]; known {
			return func() (*account, error) { return a, nil }
		}
	}
	var held []account
	var left []month
	batch.Queue(`SELECT purchased, last_seq, low_credits, low_told FROM credits WHERE tenant_id = $1 FOR UPDATE`, l.t.tenant).
		Query(collect(&held, scanAccount))
	batch.Queue(`
SELECT a.monthly_left, t.suspended_at IS NOT NULL
  FROM tenants t LEFT JOIN allowances a ON a.tenant_id = t.tenant_id AND a.period = $2
 WHERE t.tenant_id = $1`, l.t.tenant, p.String()).
		Query(collect(&left, scanMonth))
	return func() (*account, error) {
		if len(held) == 0 {
			return nil, ports.ErrNotFound
		}
		return l.remember(&held[0], p, left), nil
	}
}

// remember keeps what was read under the lock.
func (l ledger) remember(held *account, p core.Period, left []month) *account {
	if l.t.account == nil {
		l.t.account = &account{
			purchased: held.purchased, lastSeq: held.lastSeq, low: held.low,
			monthly: map[core.Period]core.Credits{}, rows: map[core.Period]core.Credits{},
		}
	}
	a := l.t.account
	a.monthly[p] = 0
	if len(left) > 0 {
		a.suspended = left[0].suspended
		if row := left[0].left; row.Valid {
			a.monthly[p], a.rows[p] = core.Credits(row.Int64), core.Credits(row.Int64)
		}
	}
	return a
}

const entryColumns = `tenant_id, seq, key, kind, period, monthly, purchased, run_id, attempt, charge_key,
 actor_subject, actor_tenant, actor_role, at, reason`

const (
	insertEntry = `
INSERT INTO ledger (` + entryColumns + `) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)`
	saveAllowance = `
INSERT INTO allowances (tenant_id, period, monthly_left) VALUES ($1, $2, $3)
ON CONFLICT (tenant_id, period) DO UPDATE SET monthly_left = excluded.monthly_left`
)

// Post decides by the rule of core on what it knows under the lock, and writes
// entry and balances with one statement: all of them, or none if the entry's key
// or charge was used before.
func (l ledger) Post(ctx context.Context, e core.Entry) (core.Entry, error) {
	const sql = `
WITH entry AS (
    INSERT INTO ledger (` + entryColumns + `) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
    ON CONFLICT DO NOTHING RETURNING tenant_id, seq, period
), account AS (
    UPDATE credits c SET purchased = $16, last_seq = entry.seq
      FROM entry WHERE c.tenant_id = $1 AND c.tenant_id = entry.tenant_id
), month AS (
    INSERT INTO allowances (tenant_id, period, monthly_left) SELECT tenant_id, period, $17 FROM entry
    ON CONFLICT (tenant_id, period) DO UPDATE SET monthly_left = excluded.monthly_left
)
SELECT FROM entry`
	a, err := l.lock(ctx, e.Period)
	if err != nil {
		return core.Entry{}, err
	}
	after, err := a.balance(e.Period).Apply(e)
	if err != nil {
		// A repeat is told that it is one, not that credits do not suffice for it.
		if used, lookErr := l.used(ctx, e); lookErr != nil || used {
			return core.Entry{}, existsOr(lookErr)
		}
		return core.Entry{}, err
	}
	if e.Reason != "" {
		// Its trigger comes before the key, and would take a repeat for too much.
		if used, err := l.used(ctx, e); err != nil || used {
			return core.Entry{}, existsOr(err)
		}
	}
	e.Tenant, e.Seq = l.t.tenant, a.lastSeq+1
	var n int64
	if l.t.citus {
		n, err = l.postSingly(ctx, e, after)
	} else {
		n, err = l.t.exec(ctx, sql, append(entryArgs(e), after.Purchased, after.Monthly)...)
	}
	if err != nil {
		return core.Entry{}, err
	}
	if n == 0 {
		used, err := l.used(ctx, e)
		if err != nil || used {
			return core.Entry{}, existsOr(err)
		}
		return core.Entry{}, l.t.fail(fmt.Errorf("ledger of tenant %s: entry %d is there, but the last one is said to be %d", e.Tenant, e.Seq, a.lastSeq))
	}
	a.purchased, a.lastSeq = after.Purchased, e.Seq
	a.monthly[e.Period], a.rows[e.Period] = after.Monthly, after.Monthly
	return e, nil
}

// postSingly is the statement of Post, on Citus one after the other. It gives the number of
// entries written.
func (l ledger) postSingly(ctx context.Context, e core.Entry, after core.Balance) (int64, error) {
	n, err := l.t.exec(ctx, insertEntry+` ON CONFLICT DO NOTHING`, entryArgs(e)...)
	if err != nil || n == 0 {
		return n, err
	}
	batch := &pgx.Batch{}
	batch.Queue(`UPDATE credits SET purchased = $2, last_seq = $3 WHERE tenant_id = $1`, l.t.tenant, after.Purchased, e.Seq)
	batch.Queue(saveAllowance, l.t.tenant, e.Period.String(), after.Monthly)
	return n, l.t.batch(ctx, batch)
}

// used reports whether the entry's key was used, or its charge refunded, before.
func (l ledger) used(ctx context.Context, e core.Entry) (bool, error) {
	const sql = `
SELECT EXISTS (SELECT FROM ledger WHERE tenant_id = $1 AND key = $2)
    OR EXISTS (SELECT FROM ledger WHERE tenant_id = $1 AND charge_key = $3)`
	charge := nullText(e.Charge)
	if e.Reason != "" {
		charge.Valid = false // there may be others of its charge
	}
	return one(ctx, l.t, pgx.RowTo[bool], sql, l.t.tenant, e.Key, charge)
}

func existsOr(err error) error {
	if err != nil {
		return err
	}
	return ports.ErrExists
}

func (l ledger) Entry(ctx context.Context, key core.Key) (core.Entry, error) {
	const sql = `SELECT ` + entryColumns + ` FROM ledger WHERE tenant_id = $1 AND key = $2`
	return one(ctx, l.t, scanEntry, sql, l.t.tenant, findable(key))
}

func (l ledger) RefundsOf(ctx context.Context, charge core.Key) ([]core.Entry, error) {
	const sql = `SELECT ` + entryColumns + ` FROM ledger WHERE tenant_id = $1 AND charge_key = $2 ORDER BY seq`
	return all(ctx, l.t, scanEntry, sql, l.t.tenant, findable(charge))
}

func (l ledger) Entries(ctx context.Context, after int64, limit int) ([]core.Entry, error) {
	const sql = `SELECT ` + entryColumns + ` FROM ledger WHERE tenant_id = $1 AND seq > $2 ORDER BY seq LIMIT $3`
	return all(ctx, l.t, scanEntry, sql, l.t.tenant, after, max(limit, 0))
}

// Balances reads allowances, which has a row for every period of an entry.
func (l ledger) Balances(ctx context.Context) ([]core.Balance, error) {
	const sql = `
SELECT a.period, a.monthly_left, c.purchased
  FROM allowances a JOIN credits c ON c.tenant_id = a.tenant_id
 WHERE a.tenant_id = $1 ORDER BY a.period`
	return all(ctx, l.t, scanBalance, sql, l.t.tenant)
}
