package memory

import (
	"context"
	"errors"
	"time"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// errOver: a Tx was used after its transaction ended.
var errOver = errors.New("memory: transaction is over")

// tx is one transaction: what it holds and what it wrote. What it wrote is seen
// by nobody else before the commit.
type tx struct {
	store    *Store
	tenant   core.TenantID
	readOnly bool  // a View: the store's mutex is held
	over     bool  // it has ended
	broken   error // a lock could not be had: it can only be rolled back, as in Postgres

	held     []lockKey // guarded by locks.mu
	waitsFor *rowLock  // guarded by locks.mu

	newTenant   *core.Tenant
	savedTenant *core.Tenant
	templates   map[core.TemplateID]core.Template
	answers     map[core.Key]core.Answer
	posted      *ledgerWrites
	runs        map[core.RunID]*runWrites
}

// runWrites is what a transaction wrote of one run.
type runWrites struct {
	run         *core.Run
	inserted    bool
	newFiles    []core.File // of a run that this transaction inserted
	files       map[int]core.File
	attempts    []core.Attempt
	compensated map[core.AttemptNumber]time.Time
	amendments  []core.Amendment
}

// ledgerWrites is what a transaction posted, with the balances after it.
type ledgerWrites struct {
	purchased core.Credits
	monthly   map[core.Period]core.Credits
	entries   []core.Entry
}

func (t *tx) Runs() ports.Runs             { return runs{t} }
func (t *tx) Files() ports.RunFiles        { return runFiles{t} }
func (t *tx) Groups() ports.Groups         { return groups{t} }
func (t *tx) Attempts() ports.Attempts     { return attempts{t} }
func (t *tx) Amendments() ports.Amendments { return amendments{t} }
func (t *tx) Tenants() ports.Tenants       { return tenants{t} }
func (t *tx) Templates() ports.Templates   { return templates{t} }
func (t *tx) Ledger() ports.Ledger         { return ledger{t} }
func (t *tx) Books() ports.Books           { return books{t} }
func (t *tx) Answers() ports.Answers       { return answers{t} }

// usable is asked before every statement.
func (t *tx) usable(ctx context.Context) error {
	switch {
	case t.over:
		return errOver
	case t.broken != nil:
		return t.broken
	}
	return ctx.Err()
}

// lock waits for a row. A transaction that could not have one is broken.
func (t *tx) lock(ctx context.Context, kind lockKind, id string) error {
	if err := t.usable(ctx); err != nil {
		return err
	}
	if t.readOnly {
		return ports.ErrReadOnly
	}
	if err := t.store.locks.acquire(ctx, t, lockKey{t.tenant, kind, id}); err != nil {
		t.broken = err
		return err
	}
	return nil
}

// read runs fn on what is committed of the tenant; st is nil if there is no
// such tenant.
func (t *tx) read(ctx context.Context, fn func(st *tenantState) error) error {
	if err := t.usable(ctx); err != nil {
		return err
	}
	if !t.readOnly { // a View holds the mutex already
		t.store.mu.RLock()
		defer t.store.mu.RUnlock()
	}
	return fn(t.store.tenants[t.tenant])
}

// exists fails with ports.ErrNotFound if the tenant is neither committed nor
// written by this transaction.
func (t *tx) exists(st *tenantState) error {
	if st == nil && t.newTenant == nil {
		return ports.ErrNotFound
	}
	return nil
}

// readRun runs fn on what is committed of a run and on what this transaction
// wrote of it; one of the two may be nil, and if both would be, it fails with
// ports.ErrNotFound.
func (t *tx) readRun(ctx context.Context, id core.RunID, fn func(r *runState, w *runWrites) error) error {
	return t.read(ctx, func(st *tenantState) error {
		var r *runState
		if st != nil {
			r = st.runs[id]
		}
		w := t.runs[id]
		if r == nil && w == nil {
			return ports.ErrNotFound
		}
		return fn(r, w)
	})
}

// writesOf gives the place for what the transaction writes of a run.
func (t *tx) writesOf(id core.RunID) *runWrites {
	w := t.runs[id]
	if w == nil {
		w = &runWrites{}
		if t.runs == nil {
			t.runs = map[core.RunID]*runWrites{}
		}
		t.runs[id] = w
	}
	return w
}

// ignoreNotFound: a list of what belongs to an unknown run is empty, as a
// query's would be.
func ignoreNotFound(err error) error {
	if errors.Is(err, ports.ErrNotFound) {
		return nil
	}
	return err
}
