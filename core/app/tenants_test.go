package app_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/ports"
)

func (w *world) suspend() {
	w.t.Helper()
	_, err := w.svc.SuspendTenant(w.ctx, platform, acme, "unpaid")
	require.NoError(w.t, err)
}

func (w *world) reopen() {
	w.t.Helper()
	_, err := w.svc.ReopenTenant(w.ctx, platform, acme)
	require.NoError(w.t, err)
}

// A suspended tenant starts nothing and pays nothing; what runs ends; reopened, all goes on.
func TestSuspendTenant(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.purchase(100)
	failed, free := w.closedRun("cf"), w.mixedRun("cp")
	running := w.initiate(3)
	w.suspend()

	w.requireRefused(core.ErrTenantSuspended, func() error { _, err := w.svc.Initiate(w.ctx, admin, w.request(1)); return err })
	w.requireRefused(core.ErrTenantSuspended, func() error { _, err := w.svc.Initiate(w.ctx, platform, w.request(1)); return err })
	for _, id := range []core.RunID{failed.ID, free.ID} { // also what costs nothing
		w.requireRefused(core.ErrTenantSuspended, func() error { _, err := w.svc.RetryFailed(w.ctx, platform, id, app.RetryRequest{}); return err })
		preview, err := w.svc.PreviewRetry(w.ctx, admin, id)
		require.NoError(t, err)
		require.ErrorIs(t, preview.Refusal, core.ErrTenantSuspended)
	}
	w.requireRefused(core.ErrTenantSuspended, func() error {
		_, err := w.svc.BeginUpload(w.ctx, admin, app.UploadRequest{Tenant: acme, Template: template, Files: 1})
		return err
	})
	w.requireRefused(core.ErrTenantSuspended, func() error {
		_, err := w.svc.TryTemplate(w.ctx, platform, acme, template, "a.txt", []byte("text"))
		return err
	})

	w.workAll()
	require.Equal(t, core.RunCompleted, w.run(running.ID).Status, "running work ends")
	_, err := w.svc.Cancel(w.ctx, admin, w.run(running.ID).ID)
	require.ErrorIs(t, err, core.ErrRunNotRunning)
	w.purchase(5)
	balance, err := w.svc.Balance(w.ctx, admin, acme)
	require.NoError(t, err)
	require.True(t, balance.Suspended)

	w.reopen()
	w.continueRun(failed.ID)
	w.continueRun(free.ID)
	w.initiate(1)
	w.requireBooks()
}

// Whoever waits for the tenant's lock while it is being suspended starts nothing, alone or
// in a group: what counts is what the tenant is under the lock.
func TestSuspendedMeanwhile(t *testing.T) {
	t.Parallel()
	t.Run("Alone", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.purchase(100)
		before := w.balance()
		w.suspendUnderTheLock(t, func() error { _, err := w.svc.Initiate(w.ctx, admin, w.request(1)); return err })
		require.Equal(t, before.Split, w.balance().Split)
	})
	t.Run("Together", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.purchase(100)
		first := true
		in := func(ctx context.Context, tenant core.TenantID, fn func(ports.Tx) error) error {
			if first { // the group's transaction is about to begin
				first = false
				if err := w.store.InTx(ctx, tenant, func(tx ports.Tx) error {
					if _, err := tx.Ledger().BalanceForUpdate(ctx, core.PeriodOf(w.clock.Now())); err != nil {
						return err
					}
					owner, err := tx.Tenants().Get(ctx)
					if err != nil {
						return err
					}
					owner, err = owner.Suspend("unpaid", w.clock.Now())
					if err != nil {
						return err
					}
					return tx.Tenants().Save(ctx, owner)
				}); err != nil {
					return err
				}
			}
			return w.store.InTx(ctx, tenant, fn)
		}
		for _, a := range w.crowd(t, in, w.asksFor(1, "a"), w.asksFor(2, "b"), w.asksFor(1, "")) {
			require.ErrorIs(t, a.err, core.ErrTenantSuspended)
		}
		w.requireBooks()
	})
}

// askingTx says when the credits' lock is asked for, before it is.
type askingTx struct {
	ports.Tx
	asked func()
}

func (t askingTx) Ledger() ports.Ledger { return askingLedger{t.Tx.Ledger(), t.asked} }

func (t askingTx) Starts() ports.Starts { return askingStarts{t.Tx.Starts(), t.asked} }

type askingStarts struct {
	ports.Starts
	asked func()
}

func (s askingStarts) Read(ctx context.Context, want ports.StartReads) (ports.StartInputs, error) {
	s.asked()
	return s.Starts.Read(ctx, want)
}

type askingLedger struct {
	ports.Ledger
	asked func()
}

func (l askingLedger) BalanceForUpdate(ctx context.Context, p core.Period) (core.Balance, error) {
	l.asked()
	return l.Ledger.BalanceForUpdate(ctx, p)
}

// suspendUnderTheLock begins start while a transaction that suspends the tenant has its
// lock, and commits that only when start asks for the lock.
func (w *world) suspendUnderTheLock(t *testing.T, start func() error) {
	t.Helper()
	asked := make(chan struct{})
	ask := sync.OnceFunc(func() { close(asked) })
	w.faultyStore.set(func(ctx context.Context, tenant core.TenantID, fn func(ports.Tx) error) error {
		return w.store.InTx(ctx, tenant, func(tx ports.Tx) error { return fn(askingTx{tx, ask}) })
	})
	started := make(chan error, 1)
	require.NoError(t, w.store.InTx(w.ctx, acme, func(tx ports.Tx) error {
		if _, err := tx.Ledger().BalanceForUpdate(w.ctx, core.PeriodOf(w.clock.Now())); err != nil {
			return err
		}
		go func() { started <- start() }()
		<-asked
		owner, err := tx.Tenants().Get(w.ctx)
		if err != nil {
			return err
		}
		if owner, err = owner.Suspend("unpaid", w.clock.Now()); err != nil {
			return err
		}
		return tx.Tenants().Save(w.ctx, owner)
	}))
	require.ErrorIs(t, <-started, core.ErrTenantSuspended)
}

func TestChangeTenant(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	owner, err := w.svc.Tenant(w.ctx, platform, acme)
	require.NoError(t, err)
	require.Zero(t, owner.MonthlyAllowance)
	require.NoError(t, w.svc.Refill(w.ctx))
	before := w.balance()

	// The month was not granted yet, because nothing was to be granted.
	name, allowance := "Acme Ltd", core.Credits(7)
	changed, err := w.svc.ChangeTenant(w.ctx, platform, acme, core.TenantChange{Name: &name, MonthlyAllowance: &allowance})
	require.NoError(t, err)
	require.Equal(t, core.Tenant{ID: acme, Name: name, MonthlyAllowance: 7, CreatedAt: owner.CreatedAt}, changed)
	require.NoError(t, w.svc.Refill(w.ctx))
	require.Equal(t, before.Monthly+7, w.balance().Monthly)
	// What was granted stays; the next month has the new one, also while suspended.
	allowance = 9
	_, err = w.svc.ChangeTenant(w.ctx, platform, acme, core.TenantChange{MonthlyAllowance: &allowance})
	require.NoError(t, err)
	w.suspend()
	require.NoError(t, w.svc.Refill(w.ctx))
	require.Equal(t, before.Monthly+7, w.balance().Monthly)
	w.clock.Advance(31 * 24 * time.Hour)
	require.NoError(t, w.svc.Refill(w.ctx))
	require.Equal(t, core.Credits(9), w.balance().Monthly)

	for _, actor := range []core.Actor{admin, user} {
		w.requireRefused(core.ErrRoleNotAllowed, func() error {
			_, err := w.svc.ChangeTenant(w.ctx, actor, acme, core.TenantChange{Name: &name})
			return err
		})
		w.requireRefused(core.ErrRoleNotAllowed, func() error { _, err := w.svc.SuspendTenant(w.ctx, actor, acme, "why"); return err })
		w.requireRefused(core.ErrRoleNotAllowed, func() error { _, err := w.svc.ReopenTenant(w.ctx, actor, acme); return err })
	}
	w.requireRefused(core.ErrTenantNotFound, func() error { _, err := w.svc.SuspendTenant(w.ctx, platform, "ghost", "why"); return err })
	w.requireRefused(core.ErrInvalidRequest, func() error { _, err := w.svc.SuspendTenant(w.ctx, platform, acme, ""); return err })

	// Each change is recorded once, and a repeat is none.
	w.suspend()
	w.reopen()
	w.reopen()
	log, err := w.svc.AuditLog(w.ctx, platform, app.AuditRequest{Tenant: acme, Page: ports.AuditPage{Limit: 4}})
	require.NoError(t, err)
	var actions []core.AuditAction
	for _, e := range log.Events {
		actions = append(actions, e.Action)
	}
	require.Equal(t, []core.AuditAction{core.AuditTenantReopened, core.AuditTenantSuspended, core.AuditTenantChanged, core.AuditTenantChanged}, actions)
	require.Equal(t, core.AuditFacts{"reason": "unpaid"}, log.Events[1].Facts)
	require.Equal(t, core.AuditFacts{"monthlyAllowanceFrom": "7", "monthlyAllowanceTo": "9"}, log.Events[2].Facts)
}
