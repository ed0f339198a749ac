package memory

import (
	"context"
	"errors"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/internal/locktable"
	"github.com/redrive/redrive/ports"
)

// errOver: a Tx was used after its transaction ended.
var errOver = errors.New("memory: transaction is over")

// tx is one transaction: what it holds and what it wrote. What it wrote is seen
// by no other transaction before the commit. Its state is that of another transaction once it
// has ended, which is found out by the serial.
type tx struct {
	*txState
	own uint64 // serial
}

type txState struct {
	serial   uint64 // of the transaction that it is of; 0: of none
	store    *Store
	tenant   core.TenantID
	readOnly bool  // a View: the store's mutex is held
	imports  bool  // it brings a tenant, which is closed to others
	broken   error // a lock could not be had: it can only be rolled back, as in Postgres

	locks locktable.Holder
	state *tenantState // what is committed of the tenant, once it was found
	run   *runState    // the one that was found last
	runID core.RunID
	wrote *writes // to be read; a write asks writes() first
}

func (t *tx) Runs() ports.Runs                         { return runs{t} }
func (t *tx) Files() ports.RunFiles                    { return runFiles{t} }
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

// usable is asked before every statement.
func (t *tx) usable(ctx context.Context) error {
	switch {
	case t.own != t.serial:
		return errOver
	case t.broken != nil:
		return t.broken
	}
	return ctx.Err()
}

// writable is asked before every statement that locks or writes.
func (t *tx) writable(ctx context.Context) error {
	if err := t.usable(ctx); err != nil {
		return err
	}
	if t.readOnly {
		return ports.ErrReadOnly
	}
	return nil
}

// What transactions lock here.
const (
	lockTenant   = locktable.Tenant
	lockCredits  = locktable.Credits
	lockTemplate = locktable.Template
	lockAnswer   = locktable.Answer
	lockAPIKey   = locktable.APIKey
	lockRun      = locktable.Run
	lockFiles    = locktable.Files
	lockAttempts = locktable.Attempts
	lockBulk     = locktable.Bulk
	lockWebhook  = locktable.Webhook
)

// tryLock takes a row's lock if no other transaction holds it.
func (t *tx) tryLock(kind locktable.Kind, id string) bool {
	return t.store.locks.TryAcquire(&t.locks, locktable.Key{Tenant: t.tenant, Kind: kind, ID: id})
}

// lock waits for a row. A transaction that did not acquire it is broken.
func (t *tx) lock(ctx context.Context, kind locktable.Kind, id string) error {
	if err := t.writable(ctx); err != nil {
		return err
	}
	if err := t.store.locks.Acquire(ctx, &t.locks, locktable.Key{Tenant: t.tenant, Kind: kind, ID: id}); err != nil {
		t.broken = err
		return err
	}
	return nil
}

// read gives what is committed of the tenant, nil if there is no such tenant. If
// it does not fail, the caller calls done when it has read.
func (t *tx) read(ctx context.Context) (*tenantState, error) {
	if err := t.usable(ctx); err != nil {
		return nil, err
	}
	if !t.readOnly { // a View holds the mutex already
		t.store.mu.RLock()
	}
	if t.state == nil {
		t.state = t.store.tenants[t.tenant]
	}
	return t.state, nil
}

func (t *tx) done() {
	if !t.readOnly {
		t.store.mu.RUnlock()
	}
}

// exists fails with ports.ErrNotFound if the tenant is neither committed nor
// written by this transaction.
func (t *tx) exists(ctx context.Context) error {
	st, err := t.read(ctx)
	if err != nil {
		return err
	}
	defer t.done()
	if st == nil && !t.wrote.newTenant {
		return ports.ErrNotFound
	}
	return nil
}

// readRun gives what is committed of a run and what this transaction wrote of it;
// one of the two may be nil, and if both would be, it fails with
// ports.ErrNotFound. If it does not fail, the caller calls done when it has read.
func (t *tx) readRun(ctx context.Context, id core.RunID) (r *runState, w *runWrites, err error) {
	st, err := t.read(ctx)
	if err != nil {
		return nil, nil, err
	}
	if st != nil {
		r = t.committed(st, id)
	}
	if w = t.written(id); r == nil && w == nil {
		t.done()
		return nil, nil, ports.ErrNotFound
	}
	return r, w, nil
}

// committed gives what is committed of a run, or nil. Most transactions are about
// one run, and a run that is there stays there.
func (t *tx) committed(st *tenantState, id core.RunID) *runState {
	if t.run != nil && t.runID == id {
		return t.run
	}
	r := st.runs[id]
	if r != nil {
		t.run, t.runID = r, id
	}
	return r
}

// runExists fails with ports.ErrNotFound if there is no such run.
func (t *tx) runExists(ctx context.Context, id core.RunID) error {
	_, _, err := t.readRun(ctx, id)
	if err == nil {
		t.done()
	}
	return err
}

// written gives what the transaction wrote of a run, or nil.
func (t *tx) written(id core.RunID) *runWrites { return t.wrote.find(id) }

// writesOf gives the place for what the transaction writes of a run.
func (t *tx) writesOf(id core.RunID) *runWrites { return t.writes().ofRun(id) }

// ignoreNotFound: a list of what belongs to an unknown run is empty, as a
// query's would be.
func ignoreNotFound(err error) error {
	if errors.Is(err, ports.ErrNotFound) {
		return nil
	}
	return err
}
