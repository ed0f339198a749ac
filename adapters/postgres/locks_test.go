package postgres_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/postgres"
	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/internal/testkit/pgtest"
	"github.com/redrive/redrive/ports"
)

const (
	lockRunRow    = `SELECT FROM runs WHERE tenant_id = 'acme' AND run_id = $1 FOR UPDATE`
	lockCreditRow = `SELECT FROM credits WHERE tenant_id = 'acme' FOR UPDATE`
)

// The lock order is the run first and the tenant second, everywhere. Somebody
// who keeps to it holds the run; an operation that wants both waits for the run,
// and must not hold the tenant meanwhile: then the other one could never get it,
// and Postgres would have to kill one of them.
func TestLockOrder(t *testing.T) {
	t.Parallel()
	type operation func(w *world, run core.Run) error
	for name, c := range map[string]struct {
		op operation
		// compensates: the operation's second transaction is looked at, the one
		// that follows a failed enqueueing.
		compensates bool
		deadlocks   bool
	}{
		"RetryFailed": {op: func(w *world, run core.Run) error {
			_, err := w.RetryFailed(context.Background(), customer, run.ID, app.RetryRequest{})
			return err
		}},
		"Compensate": {compensates: true, op: func(w *world, run core.Run) error {
			_, err := w.RetryFailed(context.Background(), customer, run.ID, app.RetryRequest{})
			if errors.Is(err, core.ErrEnqueueFailed) {
				return nil
			}
			return err
		}},
		// What the others would be if they took the tenant's lock first: this
		// shows that the test would notice.
		"BrokenOnPurpose": {deadlocks: true, op: func(w *world, run core.Run) error {
			return w.store.InTx(context.Background(), "acme", func(tx ports.Tx) error {
				if _, err := tx.Ledger().BalanceForUpdate(context.Background(), core.PeriodOf(run.CreatedAt)); err != nil {
					return err
				}
				_, err := ports.LockRun(context.Background(), tx, run.ID)
				return err
			})
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, postgres.Config{MaxTries: 1}, noExecution)
			run := w.Settled(t, 3, allFail)
			ctx := bounded(t)

			other, err := w.pool.Begin(ctx)
			require.NoError(t, err)
			defer func() { _ = other.Rollback(context.Background()) }() // over already unless the test failed
			holdRun := func() error {
				_, err := other.Exec(ctx, lockRunRow, run.ID)
				return err
			}
			if c.compensates {
				w.Queue.FailWith(func() error { return errors.Join(errQueueDown, holdRun()) })
			} else {
				require.NoError(t, holdRun())
			}
			done := make(chan error, 1)
			go func() { done <- c.op(w, run) }()
			waitUntilBlockedBy(t, w.pool, other.Conn().PgConn().PID())

			_, err = other.Exec(ctx, lockCreditRow)
			var refused *pgconn.PgError
			deadlock := errors.As(err, &refused) && refused.Code == "40P01"
			require.NoError(t, other.Rollback(ctx))
			opErr := <-done
			if c.deadlocks {
				require.True(t, deadlock || errors.Is(opErr, ports.ErrDeadlock), "one of the two is chosen as the victim: %v, %v", err, opErr)
				return
			}
			require.NoError(t, err, "whoever keeps to the order gets the tenant's lock at once")
			require.NoError(t, opErr)
			w.requireInvariants(t)
		})
	}
}

// waitUntilBlockedBy waits until somebody waits for a lock of that session.
func waitUntilBlockedBy(t *testing.T, pool *pgxpool.Pool, pid uint32) {
	t.Helper()
	require.Eventually(t, func() bool {
		var blocked bool
		err := pool.QueryRow(context.Background(), `SELECT EXISTS (SELECT FROM pg_stat_activity WHERE $1 = ANY(pg_blocking_pids(pid)))`, int(pid)).Scan(&blocked)
		return err == nil && blocked
	}, testTimeout, 2*time.Millisecond)
}

// holding begins a transaction that holds a lock until the returned function ends it.
func holding(t *testing.T, pool *pgxpool.Pool, sql string, args ...any) (tx pgx.Tx, release func()) {
	t.Helper()
	tx, err := pool.Begin(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { _ = tx.Rollback(context.Background()) }) // over already unless the test failed
	_, err = tx.Exec(t.Context(), sql, args...)
	require.NoError(t, err)
	return tx, func() { require.NoError(t, tx.Commit(t.Context())) }
}

func TestLockTimeout(t *testing.T) {
	t.Parallel()
	w := newWorld(t, postgres.Config{}, noExecution)
	run := w.Settled(t, 1, allFail)
	hasty, err := postgres.New(w.pool, postgres.Config{LockTimeout: 20 * time.Millisecond})
	require.NoError(t, err)
	ctx := bounded(t)
	_, release := holding(t, w.pool, lockRunRow, run.ID)
	tries := 0
	lockRun := func() error {
		return hasty.InTx(ctx, "acme", func(tx ports.Tx) error {
			tries++
			_, err := ports.LockRun(ctx, tx, run.ID)
			return err
		})
	}
	require.ErrorIs(t, lockRun(), ports.ErrLockTimeout)
	require.Equal(t, 1, tries, "who did not get a lock in time is told so")
	release()
	require.NoError(t, lockRun())
}

func TestStatementTimeout(t *testing.T) {
	t.Parallel()
	w := newWorld(t, postgres.Config{}, noExecution)
	run := w.Settled(t, 1, allFail)
	hasty, err := postgres.New(w.pool, postgres.Config{StatementTimeout: 50 * time.Millisecond})
	require.NoError(t, err)
	_, release := holding(t, w.pool, lockRunRow, run.ID)
	defer release()
	err = hasty.InTx(bounded(t), "acme", func(tx ports.Tx) error {
		_, err := ports.LockRun(context.Background(), tx, run.ID)
		return err
	})
	var pg *pgconn.PgError
	require.ErrorAs(t, err, &pg)
	require.Equal(t, "57014", pg.Code)
	require.ErrorIs(t, err, ports.ErrUnavailable, "it may be tried again")
}

// The settings end with the transaction: a pooled connection goes back as it came.
func TestTimeoutsAreLocal(t *testing.T) {
	t.Parallel()
	store, pool := pgtest.Open(t, postgres.Config{MaxConns: 1, LockTimeout: time.Second, StatementTimeout: 2 * time.Second, IdleTimeout: 3 * time.Second})
	const sql = `SELECT concat_ws(' ', current_setting('lock_timeout'), current_setting('statement_timeout'),
		current_setting('idle_in_transaction_session_timeout'), current_setting('transaction_isolation'))`
	require.NoError(t, store.InTx(bounded(t), "acme", func(ports.Tx) error { return nil }))
	require.NoError(t, store.View(bounded(t), "acme", func(ports.Tx) error { return nil }))
	require.Equal(t, []string{"0 0 0 read committed"}, names(t, pool, sql))
}

// Whoever waits for the tenant's credits and then has them reads all of them as
// they are then: also the month's, which is in another table than the lock.
func TestBalanceAfterWaiting(t *testing.T) {
	t.Parallel()
	w := newWorld(t, postgres.Config{}, noExecution)
	ctx := bounded(t)
	march := core.Period{Year: 2026, Month: time.March}
	other, release := holding(t, w.pool, lockCreditRow)
	got := make(chan core.Balance, 1)
	done := make(chan error, 1)
	go func() {
		done <- w.store.InTx(ctx, "acme", func(tx ports.Tx) error {
			b, err := tx.Ledger().BalanceForUpdate(ctx, march)
			got <- b
			return err
		})
	}()
	waitUntilBlockedBy(t, w.pool, other.Conn().PgConn().PID())
	_, err := other.Exec(ctx, `UPDATE allowances SET monthly_left = 3 WHERE tenant_id = 'acme'`)
	require.NoError(t, err)
	_, err = other.Exec(ctx, `UPDATE credits SET purchased = 4 WHERE tenant_id = 'acme'`)
	require.NoError(t, err)
	release()
	require.NoError(t, <-done)
	require.Equal(t, core.Balance{Period: march, Split: core.Split{Monthly: 3, Purchased: 4}}, <-got)
}

// Two transactions that do deadlock: one gives way and is run again, and both
// have their effect.
func TestDeadlockIsRunAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, postgres.Config{}, noExecution)
	a, b := w.Settled(t, 1, allFail), w.Settled(t, 1, allFail)
	ctx := bounded(t)
	var tries atomic.Int32
	arrived := make(chan struct{}, 2)
	both := make(chan struct{})
	go func() {
		<-arrived
		<-arrived
		close(both)
	}()
	errs := together(2, func(i int) error {
		first, second := a.ID, b.ID
		if i == 1 {
			first, second = second, first
		}
		met := false
		return w.store.InTx(ctx, "acme", func(tx ports.Tx) error {
			tries.Add(1)
			if _, err := ports.LockRun(ctx, tx, first); err != nil {
				return err
			}
			if !met {
				met = true
				arrived <- struct{}{}
				<-both
			}
			run, err := ports.LockRun(ctx, tx, second)
			if err != nil {
				return errors.New("fn hides what went wrong") // it is run again all the same
			}
			run.Redispatches++
			return tx.Runs().Save(ctx, ports.RunRows{Run: run})
		})
	})
	require.Equal(t, []error{nil, nil}, errs)
	require.GreaterOrEqual(t, tries.Load(), int32(3))
	require.Equal(t, 2, w.Read(t, a.ID).Redispatches+w.Read(t, b.ID).Redispatches)
}

// A transaction that is a victim each time is given up after MaxTries, or when
// ctx ends.
func TestGivingWayIsBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t, postgres.Config{MaxTries: 3}, noExecution)
	ctx, cancel := context.WithCancel(bounded(t))
	tries := 0
	giveWay := func(ports.Tx) error { tries++; return ports.ErrSerialization }
	require.ErrorIs(t, w.store.InTx(ctx, "acme", giveWay), ports.ErrSerialization)
	require.Equal(t, 3, tries)

	tries = 0
	err := w.store.InTx(ctx, "acme", func(tx ports.Tx) error { cancel(); return giveWay(tx) })
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, 1, tries)
}

// A serialization failure that Postgres reports.
func TestSerializationFailureIsRunAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, postgres.Config{}, noExecution)
	ctx := bounded(t)
	_, err := w.pool.Exec(ctx, `
		CREATE SEQUENCE saves;
		CREATE FUNCTION fail_twice() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
			IF nextval('saves') <= 2 THEN RAISE 'not now' USING ERRCODE = 'serialization_failure'; END IF;
			RETURN NEW;
		END $$;
		CREATE TRIGGER fail_twice BEFORE UPDATE ON tenants FOR EACH ROW EXECUTE FUNCTION fail_twice()`)
	require.NoError(t, err)
	tries := 0
	require.NoError(t, w.store.InTx(ctx, "acme", func(tx ports.Tx) error {
		tries++
		return tx.Tenants().Save(ctx, core.Tenant{ID: "acme", Name: "renamed"})
	}))
	require.Equal(t, 3, tries)
}
