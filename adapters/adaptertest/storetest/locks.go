package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// lockable is a row (or, for credits, all rows of an account) that can be
// locked, with a number in it that the tests count with.
type lockable struct {
	name string
	row  string // that another of lockables locks too; empty if it is the only one
	// lock takes the lock and gives the number as it is once the lock is acquired.
	lock func(ctx context.Context, tx ports.Tx, w *world) (int, error)
	// peek gives the number without a lock.
	peek func(ctx context.Context, tx ports.Tx, w *world) (int, error)
	// add writes the number that was read, increased by more. Credits know no
	// writing over: there more is posted, whatever was read.
	add func(ctx context.Context, tx ports.Tx, w *world, read, more int) error
}

var lockables = []lockable{runLock("run", func(w *world) core.RunID { return w.running.ID }), templateLock, creditsLock, startsLock}

func runLock(name string, id func(*world) core.RunID) lockable {
	return lockable{
		name: name,
		lock: func(ctx context.Context, tx ports.Tx, w *world) (int, error) {
			run, err := ports.LockRun(ctx, tx, id(w))
			return run.Redispatches, err
		},
		peek: func(ctx context.Context, tx ports.Tx, w *world) (int, error) {
			run, err := tx.Runs().Get(ctx, id(w))
			return run.Redispatches, err
		},
		add: func(ctx context.Context, tx ports.Tx, w *world, read, more int) error {
			run := w.running
			if id(w) == w.closed.ID {
				run = w.closed
			}
			run.Redispatches = read + more
			return tx.Runs().Save(ctx, ports.RunRows{Run: run})
		},
	}
}

var templateLock = lockable{
	name: "template",
	lock: func(ctx context.Context, tx ports.Tx, w *world) (int, error) {
		template, err := tx.Templates().GetForUpdate(ctx, w.template.ID)
		return int(template.CreditsPerRun), err
	},
	peek: func(ctx context.Context, tx ports.Tx, w *world) (int, error) {
		template, err := tx.Templates().Get(ctx, w.template.ID)
		return int(template.CreditsPerRun), err
	},
	add: func(ctx context.Context, tx ports.Tx, w *world, read, more int) error {
		template := w.template
		template.CreditsPerRun = core.Credits(read + more)
		return tx.Templates().Save(ctx, template)
	},
}

var creditsLock = lockable{
	name: "credits",
	row:  "credits",
	lock: func(ctx context.Context, tx ports.Tx, _ *world) (int, error) {
		b, err := tx.Ledger().BalanceForUpdate(ctx, march)
		return int(b.Purchased), err
	},
	peek: func(ctx context.Context, tx ports.Tx, _ *world) (int, error) {
		b, err := tx.Ledger().Balance(ctx, march)
		return int(b.Purchased), err
	},
	add: func(ctx context.Context, tx ports.Tx, w *world, _, more int) error {
		key := core.Key(fmt.Sprintf("client/lock/%d", postings.Add(1)))
		_, err := tx.Ledger().Post(ctx, purchase(w.tenant.ID, key, core.Credits(more)))
		return err
	},
}

// startsLock is creditsLock as starts take it.
var startsLock = lockable{
	name: "credits of starts",
	row:  "credits",
	lock: func(ctx context.Context, tx ports.Tx, _ *world) (int, error) {
		found, err := tx.Starts().Read(ctx, ports.StartReads{Period: march})
		return int(found.Balance.Purchased), err
	},
	peek: creditsLock.peek,
	add:  creditsLock.add,
}

// postings makes a key for each posting of creditsLock.
var postings atomic.Int64

func testLocks(t *testing.T, newStore Factory, _ Options) {
	for _, l := range lockables {
		t.Run("WaitsAndReadsAfresh/"+l.name, func(t *testing.T) { testWaits(t, newStore, l, l.lock) })
		t.Run("WriteLocks/"+l.name, func(t *testing.T) {
			// The holder writes without having locked: the write is the lock.
			testWaits(t, newStore, l, l.peek)
		})
		t.Run("NoUpdateIsLost/"+l.name, func(t *testing.T) { testNoUpdateLost(t, newStore, l) })
		t.Run("Reentrant/"+l.name, func(t *testing.T) {
			t.Parallel()
			s := newStore(t)
			w := build(t, s, "acme")
			commit(t, s, "acme", func(ctx context.Context, tx ports.Tx) error {
				for range 3 {
					n, err := l.lock(ctx, tx, w)
					require.NoError(t, err)
					require.NoError(t, l.add(ctx, tx, w, n, 1))
					same(t, n+1)(l.lock(ctx, tx, w)) // and sees its own write
				}
				return nil
			})
		})
	}
	t.Run("SecondWriterWaits", func(t *testing.T) { testSecondWriterWaits(t, newStore) })
	t.Run("SameKeyInsertedAtOnce", func(t *testing.T) { testSameInsertAtOnce(t, newStore) })
	t.Run("OtherRowsAreFree", func(t *testing.T) { testOtherRowsFree(t, newStore) })
	t.Run("BalanceOfEveryPeriod", func(t *testing.T) {
		t.Parallel()
		s := newStore(t)
		build(t, s, "acme")
		var released atomic.Bool
		var waiter <-chan error
		other := bounded(t)
		commit(t, s, "acme", func(ctx context.Context, tx ports.Tx) error {
			if _, err := tx.Ledger().BalanceForUpdate(ctx, march); err != nil {
				return err
			}
			waiter = async(func() error {
				return s.InTx(other, "acme", func(tx ports.Tx) error {
					_, err := tx.Ledger().BalanceForUpdate(other, april.Next())
					if !released.Load() {
						return errors.New("the lock of one period is not a lock of the tenant's credits")
					}
					return err
				})
			})
			time.Sleep(grace)
			released.Store(true)
			return nil
		})
		require.NoError(t, await(t, "the waiter", waiter))
	})
	t.Run("SuspendedMeanwhile", func(t *testing.T) { testSuspendedMeanwhile(t, newStore) })
}

// testSuspendedMeanwhile: who waits for the tenant's credits while it is suspended, or
// reopened, is told so when it has their lock.
func testSuspendedMeanwhile(t *testing.T, newStore Factory) {
	t.Parallel()
	s := newStore(t)
	tenant, _ := bare(t, s, "acme")
	other := bounded(t)
	for _, suspended := range []bool{true, false} {
		is := tenant
		if suspended {
			is.SuspendedAt, is.SuspendedReason = at(70), "unpaid"
		}
		var waiter <-chan error
		var told core.Balance
		commit(t, s, "acme", func(ctx context.Context, tx ports.Tx) error {
			before, err := tx.Ledger().BalanceForUpdate(ctx, march)
			if err != nil {
				return err
			}
			require.Equal(t, !suspended, before.Suspended)
			waiter = async(func() error {
				return s.InTx(other, "acme", func(tx ports.Tx) (err error) {
					if _, err = tx.Ledger().Balance(other, march); err != nil { // whatever it read before
						return err
					}
					told, err = tx.Ledger().BalanceForUpdate(other, march)
					return err
				})
			})
			time.Sleep(grace)
			require.NoError(t, tx.Tenants().Save(ctx, is))
			for _, read := range []func(context.Context, core.Period) (core.Balance, error){tx.Ledger().Balance, tx.Ledger().BalanceForUpdate} {
				own, err := read(ctx, march)
				require.NoError(t, err)
				require.Equal(t, suspended, own.Suspended, "it sees its own write")
			}
			return nil
		})
		require.NoError(t, await(t, "the waiter", waiter))
		require.Equal(t, suspended, told.Suspended)
		commit(t, s, "acme", func(ctx context.Context, tx ports.Tx) error {
			same(t, is)(tx.Tenants().Get(ctx))
			balance, err := tx.Ledger().Balance(ctx, march)
			require.Equal(t, suspended, balance.Suspended)
			return err
		})
	}
}

// testWaits: the second to lock waits until the first has committed, or rolled
// back, and then reads what is there now, whatever it read before.
func testWaits(t *testing.T, newStore Factory, l lockable, hold func(context.Context, ports.Tx, *world) (int, error)) {
	t.Parallel()
	for _, rollback := range []bool{false, true} {
		s := newStore(t)
		w := build(t, s, "acme")
		ctx := bounded(t)
		var before int
		view(t, s, "acme", func(ctx context.Context, tx ports.Tx) (err error) { before, err = l.peek(ctx, tx, w); return err })

		var released atomic.Bool
		var seen int
		var waiter <-chan error
		about := make(chan struct{})
		err := s.InTx(ctx, "acme", func(tx ports.Tx) error {
			if _, err := hold(ctx, tx, w); err != nil {
				return err
			}
			if err := l.add(ctx, tx, w, before, 1000); err != nil {
				return err
			}
			waiter = async(func() error {
				return s.InTx(ctx, "acme", func(tx ports.Tx) error {
					if n, err := l.peek(ctx, tx, w); err != nil || n != before {
						close(about)
						return fmt.Errorf("a plain read sees %d before the commit, not %d: %w", n, before, err)
					}
					close(about)
					var err error
					seen, err = l.lock(ctx, tx, w)
					if !released.Load() {
						return errors.New("the lock was acquired while another transaction held it")
					}
					return err
				})
			})
			<-about
			time.Sleep(grace) // enough for a waiter that does not wait
			released.Store(true)
			if rollback {
				return errRollback
			}
			return nil
		})
		want := before + 1000
		if rollback {
			require.ErrorIs(t, err, errRollback)
			want = before
		} else {
			require.NoError(t, err)
		}
		require.NoError(t, await(t, "the waiter", waiter))
		equal(t, want, seen, "what is read once the lock is acquired (rolled back: %v)", rollback)
	}
}

// testNoUpdateLost: many that lock, read, wait a little and write, each adding 1.
func testNoUpdateLost(t *testing.T, newStore Factory, l lockable) {
	t.Parallel()
	s := newStore(t)
	w := build(t, s, "acme")
	ctx := bounded(t)
	var before int
	view(t, s, "acme", func(ctx context.Context, tx ports.Tx) (err error) { before, err = l.peek(ctx, tx, w); return err })
	const goroutines, each = 12, 4
	for _, err := range together(t, goroutines, func(int) error {
		for range each {
			_, err := insist(ctx, s, "acme", func(tx ports.Tx) error {
				if _, err := l.peek(ctx, tx, w); err != nil { // a read before the lock must not be what counts
					return err
				}
				n, err := l.lock(ctx, tx, w)
				if err != nil {
					return err
				}
				time.Sleep(50 * time.Microsecond)
				return l.add(ctx, tx, w, n, 1)
			})
			if err != nil {
				return err
			}
		}
		return nil
	}) {
		require.NoError(t, err)
	}
	view(t, s, "acme", func(ctx context.Context, tx ports.Tx) error {
		same(t, before+goroutines*each)(l.peek(ctx, tx, w))
		return nil
	})
}

// testSecondWriterWaits: a write of a row locks it until the end, for every
// method that changes a row; the last to commit is the last to have written.
func testSecondWriterWaits(t *testing.T, newStore Factory) {
	for _, write := range writings {
		if write.insert || write.quiet || write.removes {
			continue
		}
		t.Run(write.name, func(t *testing.T) {
			t.Parallel()
			s := newStore(t)
			w := build(t, s, "acme")
			ctx := bounded(t)
			var released atomic.Bool
			var waiter <-chan error
			commit(t, s, "acme", func(_ context.Context, tx ports.Tx) error {
				require.NoError(t, write.call(ctx, tx, w))
				waiter = async(func() error {
					return s.InTx(ctx, "acme", func(tx ports.Tx) error {
						err := write.call(ctx, tx, w)
						if !released.Load() {
							return errors.New("a row was written that another transaction had written and not committed")
						}
						return err
					})
				})
				time.Sleep(grace)
				released.Store(true)
				return nil
			})
			require.NoError(t, await(t, "the second writer", waiter))
		})
	}
}

// testSameInsertAtOnce: of two transactions that insert the same the second
// waits: if the first commits it finds ErrExists, else it succeeds.
func testSameInsertAtOnce(t *testing.T, newStore Factory) {
	inserts := append([]writing{{name: "Tenants.Insert", insert: true, call: func(ctx context.Context, tx ports.Tx, w *world) error {
		return tx.Tenants().Insert(ctx, w.tenant)
	}}}, writings...)
	for _, write := range inserts {
		if !write.insert || write.name == "Amendments.Insert" { // amendments have no identity
			continue
		}
		for _, rollback := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/rollback=%v", write.name, rollback), func(t *testing.T) {
				t.Parallel()
				s := newStore(t)
				w := newWorld("acme")
				if write.name != "Tenants.Insert" {
					w = build(t, s, "acme")
				}
				ctx := bounded(t)
				var released atomic.Bool
				var waiter <-chan error
				err := s.InTx(ctx, "acme", func(tx ports.Tx) error {
					if err := write.call(ctx, tx, w); err != nil {
						return err
					}
					waiter = async(func() error {
						return s.InTx(ctx, "acme", func(tx ports.Tx) error {
							err := write.call(ctx, tx, w)
							if !released.Load() {
								return fmt.Errorf("did not wait for the transaction that inserts the same (%w)", err)
							}
							return err
						})
					})
					time.Sleep(grace)
					released.Store(true)
					if rollback {
						return errRollback
					}
					return nil
				})
				second := await(t, "the second to insert", waiter)
				if rollback {
					require.ErrorIs(t, err, errRollback)
					require.NoError(t, second)
				} else {
					require.NoError(t, err)
					require.ErrorIs(t, second, ports.ErrExists)
				}
				require.True(t, released.Load())
			})
		}
	}
}

// testOtherRowsFree: a lock keeps others from that row and from nothing else.
func testOtherRowsFree(t *testing.T, newStore Factory) {
	t.Parallel()
	s := newStore(t)
	w := build(t, s, "acme")
	build(t, s, "beta")
	all := append([]lockable{runLock("another run", func(w *world) core.RunID { return w.closed.ID })}, lockables...)
	for _, held := range all {
		for _, wanted := range all {
			if held.name == wanted.name || held.row != "" && held.row == wanted.row {
				continue
			}
			commit(t, s, "acme", func(ctx context.Context, tx ports.Tx) error {
				if _, err := held.lock(ctx, tx, w); err != nil {
					return err
				}
				other := bounded(t)
				return await(t, wanted.name+" beside "+held.name, async(func() error {
					return s.InTx(other, "acme", func(tx ports.Tx) error { _, err := wanted.lock(other, tx, w); return err })
				}))
			})
		}
		// Of another tenant, everything is.
		commit(t, s, "acme", func(ctx context.Context, tx ports.Tx) error {
			if _, err := held.lock(ctx, tx, w); err != nil {
				return err
			}
			other := bounded(t)
			return await(t, "another tenant beside "+held.name, async(func() error {
				return s.InTx(other, "beta", func(tx ports.Tx) error {
					for _, l := range all {
						if _, err := l.lock(other, tx, newWorld("beta")); err != nil {
							return err
						}
					}
					return nil
				})
			}))
		})
	}
}
