package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// tx is one transaction of one tenant.
type tx struct {
	session
	citus    bool                       // the tables are on Citus
	tenant   core.TenantID              // stands in every WHERE
	readOnly bool                       // a View
	failed   error                      // the first failure: Postgres accepts nothing after it
	timeout  time.Duration              // how long an answer may take
	locked   map[core.RunID]*lockedRows // what Lock read, and Save has not written since
	account  *account                   // what is known under the lock of the tenant's credits; nil without it
	outbox   Outbox                     // nil: it sends nothing
	sent     []core.Job                 // by the transaction, if it is committed
	told     []core.WebhookEvent        // goes with the next statement, or before the commit
}

func (t *tx) Runs() ports.Runs                         { return runs{t} }
func (t *tx) Files() ports.RunFiles                    { return files{t} }
func (t *tx) FileViews() ports.FileViews               { return fileViews{t} }
func (t *tx) Starts() ports.Starts                     { return starts{t} }
func (t *tx) Attempts() ports.Attempts                 { return attempts{t} }
func (t *tx) Amendments() ports.Amendments             { return amendments{t} }
func (t *tx) Tenants() ports.Tenants                   { return tenants{t} }
func (t *tx) Templates() ports.Templates               { return templates{t} }
func (t *tx) TemplateVersions() ports.TemplateVersions { return templateVersions{t} }
func (t *tx) Ledger() ports.Ledger                     { return ledger{t} }
func (t *tx) Answers() ports.Answers                   { return answers{t} }
func (t *tx) BulkParts() ports.BulkParts               { return bulkParts{t} }
func (t *tx) APIKeys() ports.APIKeys                   { return apiKeys{t} }
func (t *tx) AuditLog() ports.AuditLog                 { return auditLog{t} }
func (t *tx) Replies() ports.Replies                   { return replies{t} }
func (t *tx) WebhookEvents() ports.WebhookEvents       { return webhookEvents{t} }
func (t *tx) WebhookEndpoints() ports.WebhookEndpoints { return webhookEndpoints{t} }
func (t *tx) WebhookDeliveries() ports.WebhookDeliveries {
	return webhookDeliveries{t}
}

// fail translates the error of a statement and remembers it, since the
// transaction can only be rolled back after it. That a query found nothing is
// not a failure.
func (t *tx) fail(err error) error {
	if err == nil {
		return nil
	}
	translated := translate(err)
	if errors.Is(err, pgx.ErrNoRows) {
		return translated
	}
	if t.failed == nil {
		t.failed = translated
	}
	return translated
}

// writable is asked before whatever locks or writes, so that a View stays usable
// after it was refused.
func (t *tx) writable() error {
	if t.readOnly {
		return ports.ErrReadOnly
	}
	return nil
}

// exec runs a statement that writes and gives the number of rows it wrote.
func (t *tx) exec(ctx context.Context, sql string, args ...any) (int64, error) {
	if err := t.writable(); err != nil {
		return 0, err
	}
	var tag pgconn.CommandTag
	batch := &pgx.Batch{}
	batch.Queue(sql, args...).Exec(func(answer pgconn.CommandTag) error {
		tag = answer
		return nil
	})
	err := t.batch(ctx, batch)
	return tag.RowsAffected(), err
}

// overwrite runs an UPDATE of one row. ports.ErrNotFound if it is not there.
func (t *tx) overwrite(ctx context.Context, sql string, args ...any) error {
	n, err := t.exec(ctx, sql, args...)
	if err == nil && n == 0 {
		return ports.ErrNotFound
	}
	return err
}

// insert runs an INSERT … ON CONFLICT DO NOTHING, which leaves the transaction
// usable. ports.ErrExists if the row was there.
func (t *tx) insert(ctx context.Context, sql string, args ...any) error {
	n, err := t.exec(ctx, sql, args...)
	if err == nil && n == 0 {
		return ports.ErrExists
	}
	return err
}

// one reads one row. ports.ErrNotFound if there is none.
func one[T any](ctx context.Context, t *tx, scan pgx.RowToFunc[T], sql string, args ...any) (T, error) {
	var none T
	list, err := all(ctx, t, scan, sql, args...)
	switch {
	case err != nil:
		return none, err
	case len(list) == 0:
		return none, ports.ErrNotFound
	case len(list) > 1:
		return none, t.fail(pgx.ErrTooManyRows)
	}
	return list[0], nil
}

// oneLocked is one for a query that locks what it reads.
func oneLocked[T any](ctx context.Context, t *tx, scan pgx.RowToFunc[T], sql string, args ...any) (T, error) {
	if err := t.writable(); err != nil {
		var none T
		return none, err
	}
	return one(ctx, t, scan, sql, args...)
}

// all reads every row.
func all[T any](ctx context.Context, t *tx, scan pgx.RowToFunc[T], sql string, args ...any) ([]T, error) {
	var list []T
	if len(args) > 0 {
		if _, own := args[0].(pgx.QueryExecMode); own {
			err := t.do(ctx, func(ctx context.Context) error {
				if err := t.planAnew(ctx); err != nil {
					return err
				}
				rows, err := t.query(ctx, sql, args...)
				if err == nil {
					list, err = pgx.CollectRows(rows, scan)
				}
				return err
			})
			return list, err
		}
	}
	batch := &pgx.Batch{}
	batch.Queue(sql, args...).Query(collect(&list, scan))
	err := t.batch(ctx, batch)
	return list, err
}

// planAnew lets the rest of a transaction that writes plan statements for their arguments.
func (t *tx) planAnew(ctx context.Context) error {
	if t.readOnly {
		return nil // they are in any case
	}
	var b pgx.Batch
	b.Queue("SELECT set_config('" + planCache + "', 'auto', true)")
	return t.send(ctx, &b)
}

// batch runs queued queries in one round trip.
func (t *tx) batch(ctx context.Context, b *pgx.Batch) error {
	if len(t.told) > 0 {
		var told pgx.Batch
		t.queueTold(&told)
		b.QueuedQueries = append(told.QueuedQueries, b.QueuedQueries...)
	}
	return t.do(ctx, func(ctx context.Context) error { return t.send(ctx, b) })
}

// do asks Postgres something. After a failure it does not, also if the transaction was
// not even begun.
func (t *tx) do(ctx context.Context, ask func(context.Context) error) error {
	if t.failed != nil {
		return t.failed
	}
	_, err := answered(ctx, t.timeout, func(ctx context.Context) (struct{}, error) { return struct{}{}, ask(ctx) })
	return t.fail(err)
}

// answered bounds the wait for an answer, which is Postgres's to give in time: a
// silent network reports no error, and would otherwise hold the caller
// for as long as TCP hopes. The caller's own end is told as it is.
func answered[T any](ctx context.Context, timeout time.Duration, ask func(context.Context) (T, error)) (T, error) {
	bounded, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	answer, err := ask(bounded)
	if err != nil && bounded.Err() != nil && ctx.Err() == nil {
		return answer, fmt.Errorf("%w: no answer within %s", ports.ErrUnavailable, timeout)
	}
	return answer, err
}
