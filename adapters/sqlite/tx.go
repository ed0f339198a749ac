package sqlite

import (
	"context"
	"errors"
	"fmt"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/internal/locktable"
	"github.com/redrive/redrive/ports"
)

// errOver: a Tx was used after its transaction ended.
var errOver = errors.New("sqlite: transaction is over")

// tables is a set of tables, as far as reads have to know what was written.
type tables uint32

const (
	ofTenants tables = 1 << iota
	ofCredits
	ofTemplates
	ofVersions
	ofRuns
	ofFiles
	ofAttempts
	ofAmendments
	ofLedger
	ofAnswers
	ofBulks
	ofAPIKeys
	ofAudit
	ofReplies
	ofWebhooks
)

// tx is one transaction of one tenant. What it writes is kept here, as statements, until
// it is committed: see doc.go.
type tx struct {
	store    *Store
	tenant   core.TenantID // stands in every WHERE
	snapshot *conn         // of a View, else nil
	over     bool
	failed   error // the first failure: it can only be rolled back after it

	locks      locktable.Holder
	statements []statement
	wrote      tables                     // that the statements write
	there      map[rowKey]bool            // rows that are there for certain: they were found, or written by the transaction
	files      map[core.RunID][]int       // files that are there for certain, ascending
	locked     map[core.RunID]*lockedRows // what Lock read, and Save has not written since
	account    *account                   // what is known under the lock of the tenant's credits; nil without it
}

// rowKey names a row. A row that is there stays there.
type rowKey struct {
	kind locktable.Kind
	id   string
	n    int // of an attempt or a version
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

// fail remembers an error, since the transaction can only be rolled back after it.
func (t *tx) fail(err error) error {
	if err != nil && t.failed == nil {
		t.failed = err
	}
	return err
}

// usable is asked before every statement.
func (t *tx) usable(ctx context.Context) error {
	switch {
	case t.over:
		return errOver
	case t.failed != nil:
		return t.failed
	}
	return t.fail(ctx.Err())
}

// writable is asked before whatever locks or writes, so that a View stays usable
// after it was refused.
func (t *tx) writable(ctx context.Context) error {
	if t.snapshot != nil {
		return ports.ErrReadOnly
	}
	return t.usable(ctx)
}

// tryLock takes a row's lock if no other transaction holds it.
func (t *tx) tryLock(kind locktable.Kind, id string) bool {
	return t.store.locks.TryAcquire(&t.locks, locktable.Key{Tenant: t.tenant, Kind: kind, ID: id})
}

// lock waits for a row of the tenant.
func (t *tx) lock(ctx context.Context, kind locktable.Kind, id string) error {
	return t.acquire(ctx, locktable.Key{Tenant: t.tenant, Kind: kind, ID: id})
}

func (t *tx) acquire(ctx context.Context, key locktable.Key) error {
	if err := t.writable(ctx); err != nil {
		return err
	}
	if t.store.locks.TryAcquire(&t.locks, key) {
		return nil
	}
	bounded, cancel := context.WithTimeout(ctx, t.store.opts.lockTimeout)
	defer cancel()
	err := t.store.locks.Acquire(bounded, &t.locks, key)
	if err != nil && bounded.Err() != nil && ctx.Err() == nil {
		err = fmt.Errorf("%w: after %s", ports.ErrLockTimeout, t.store.opts.lockTimeout)
	}
	return t.fail(err)
}

// write keeps a statement for the commit. It has to write so many rows; otherwise the
// transaction fails with that error.
func (t *tx) write(of tables, rows int64, otherwise error, sql string, values ...any) error {
	args, err := bind(values)
	if err != nil {
		return t.fail(err)
	}
	t.statements = append(t.statements, statement{sql: sql, args: args, rows: rows, otherwise: otherwise})
	t.wrote |= of
	return nil
}

// read looks at what was committed last, with what the transaction itself has written of
// these tables. For that its statements are carried out where they would be committed,
// and undone: such a read is dear, and the use cases read before they write.
func (t *tx) read(ctx context.Context, of tables, fn func(*conn) error) error {
	if t.wrote&of == 0 {
		return t.committed(ctx, fn)
	}
	if err := t.usable(ctx); err != nil {
		return err
	}
	return t.fail(t.store.writer.do(ctx, &job{statements: t.statements, read: fn}))
}

// committed looks at what was committed last, or at a View's snapshot.
func (t *tx) committed(ctx context.Context, fn func(*conn) error) error {
	if err := t.usable(ctx); err != nil {
		return err
	}
	if t.snapshot != nil {
		return t.fail(translate(fn(t.snapshot)))
	}
	return t.fail(t.store.readers.with(ctx, fn))
}

// one reads one row. ports.ErrNotFound if there is none.
func one[T any](ctx context.Context, t *tx, of tables, scan func(*row) T, sql string, values ...any) (T, error) {
	found, err := all(ctx, t, of, scan, sql, values...)
	if err == nil && len(found) == 0 {
		err = ports.ErrNotFound
	}
	if err != nil {
		var none T
		return none, err
	}
	return found[0], nil
}

// all reads every row.
func all[T any](ctx context.Context, t *tx, of tables, scan func(*row) T, sql string, values ...any) ([]T, error) {
	args, err := bind(values)
	if err != nil {
		return nil, t.fail(err)
	}
	var found []T
	err = t.read(ctx, of, func(c *conn) error {
		return c.query(sql, args, func(r *row) { found = append(found, scan(r)) })
	})
	if err != nil {
		return nil, err
	}
	return found, nil
}

// exists reports whether a row is there, whose lock the transaction holds or which never
// goes away.
func (t *tx) exists(ctx context.Context, key rowKey, sql string, values ...any) (bool, error) {
	if t.there[key] {
		return true, t.usable(ctx)
	}
	args, err := bind(values)
	if err != nil {
		return false, t.fail(err)
	}
	found := false
	err = t.committed(ctx, func(c *conn) error {
		return c.query(sql, args, func(*row) { found = true })
	})
	if found && err == nil {
		t.isThere(key)
	}
	return found, err
}

func (t *tx) isThere(key rowKey) {
	if t.there == nil {
		t.there = make(map[rowKey]bool)
	}
	t.there[key] = true
}

// must turns the answer of exists into ports.ErrNotFound.
func must(found bool, err error) error {
	if err == nil && !found {
		return ports.ErrNotFound
	}
	return err
}

// mustNot turns the answer of exists into ports.ErrExists.
func mustNot(found bool, err error) error {
	if err == nil && found {
		return ports.ErrExists
	}
	return err
}

// breaks says that the transaction can only be rolled back after this error.
func (t *tx) breaks(err error) error {
	if errors.Is(err, errOver) || errors.Is(err, ports.ErrReadOnly) {
		return err
	}
	return t.fail(err)
}
