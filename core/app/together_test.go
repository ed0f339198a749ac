package app_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/ports"
)

type inTx = func(ctx context.Context, tenant core.TenantID, fn func(ports.Tx) error) error

// ask is a request of a crowd.
type ask func(ctx context.Context) (core.Run, error)

type answer struct {
	run core.Run
	err error
}

// crowd has requests wait, in this order, while one that is refused is decided, and gives
// their answers. What they then do in transactions goes through in, if there is one.
func (w *world) crowd(t *testing.T, in inTx, asks ...ask) []answer {
	t.Helper()
	return await(t, w.gather(t, t.Context(), in, asks...))
}

// gather is crowd that does not wait for the answers.
func (w *world) gather(t *testing.T, ctx context.Context, in inTx, asks ...ask) <-chan []answer {
	t.Helper()
	if in == nil {
		in = w.store.InTx
	}
	var led atomic.Bool
	entered, release := make(chan struct{}), make(chan struct{})
	w.faultyStore.set(func(ctx context.Context, tenant core.TenantID, fn func(ports.Tx) error) error {
		if !led.CompareAndSwap(false, true) {
			return in(ctx, tenant, fn)
		}
		close(entered)
		<-release
		return w.store.InTx(ctx, tenant, fn)
	})
	refused := make(chan error, 1)
	request := w.request(1)
	request.Template = "unknown"
	go func() {
		_, err := w.svc.Initiate(ctx, admin, request)
		refused <- err
	}()
	<-entered
	answers := make([]chan answer, len(asks))
	for i, ask := range asks {
		answers[i] = make(chan answer, 1)
		go func() {
			run, err := ask(ctx)
			answers[i] <- answer{run, err}
		}()
		await(t, w.arrived)
	}
	all := make(chan []answer, 1)
	go func() {
		list := make([]answer, len(asks))
		for i := range list {
			list[i] = <-answers[i]
		}
		all <- list
	}()
	close(release)
	require.ErrorIs(t, await(t, refused), core.ErrTemplateNotFound)
	return all
}

func await[T any](t *testing.T, from <-chan T) T {
	t.Helper()
	select {
	case got := <-from:
		return got
	case <-time.After(time.Minute):
		require.FailNow(t, "nothing comes")
		panic("unreachable")
	}
}

// watched is InTx that is told of every write of a group, before it.
func (w *world) watched(write func(starts []ports.Start, answers []core.Answer) error) inTx {
	return func(ctx context.Context, tenant core.TenantID, fn func(ports.Tx) error) error {
		return w.store.InTx(ctx, tenant, func(tx ports.Tx) error { return fn(watchedTx{tx, write}) })
	}
}

type watchedTx struct {
	ports.Tx
	write func(starts []ports.Start, answers []core.Answer) error
}

func (t watchedTx) Starts() ports.Starts { return watchedStarts{t.Tx.Starts(), t.write} }

type watchedStarts struct {
	ports.Starts
	write func(starts []ports.Start, answers []core.Answer) error
}

func (s watchedStarts) Write(ctx context.Context, starts []ports.Start, answers []core.Answer) ([]core.Entry, error) {
	if len(starts) == 1 {
		return s.Starts.Write(ctx, starts, answers) // decided alone
	}
	if err := s.write(starts, answers); err != nil {
		return nil, err
	}
	return s.Starts.Write(ctx, starts, answers)
}

// counted is watched that counts the starts of each group.
func (w *world) counted(groups *[]int) inTx {
	return w.watched(func(starts []ports.Start, _ []core.Answer) error {
		*groups = append(*groups, len(starts))
		return nil
	})
}

func (w *world) asksFor(files int, key core.Key) ask {
	request := w.request(files)
	request.IdempotencyKey = key
	return func(ctx context.Context) (core.Run, error) { return w.svc.Initiate(ctx, admin, request) }
}

func (w *world) continues(id core.RunID, key core.Key) ask {
	return func(ctx context.Context) (core.Run, error) {
		return w.svc.RetryFailed(ctx, admin, id, app.RetryRequest{IdempotencyKey: key})
	}
}

// failed gives a closed run of that many failed files.
func (w *world) failed(n int) core.Run {
	w.t.Helper()
	return w.closedRun("ffffffffff"[:n])
}

func TestTogether(t *testing.T) {
	t.Parallel()
	t.Run("EachSeesWhatTheOnesBeforeItLeave", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		run := w.failed(3) // 30 of 150
		var groups []int
		answers := w.crowd(t, w.counted(&groups),
			w.asksFor(5, ""),         // 50 of 120
			w.asksFor(8, ""),         // 80 of 70
			w.continues(run.ID, ""),  // 30 of 70
			w.asksFor(4, "a"),        // 40 of 40
			w.asksFor(1, "too-much")) // 10 of 0
		require.Equal(t, []int{3}, groups)
		for i, want := range []core.Credits{50, 0, 60, 40, 0} {
			if want > 0 {
				require.NoError(t, answers[i].err)
				require.Equal(t, want, answers[i].run.CreditsConsumed)
				continue
			}
			require.ErrorIs(t, answers[i].err, core.ErrInsufficientCredits)
		}
		refusal, _ := answers[1].err.(*core.Error) //nolint:errorlint // ErrorIs says that it is one
		require.Equal(t, core.Credits(80), refusal.Needed)
		require.Equal(t, core.Credits(70), refusal.Available)
		w.faultyStore.heal()
		w.requireBalance(0, 0)
		w.requireBooks()
		require.Equal(t, 5+3+4, w.queue.Len())
		w.purchase(1000)
		_, err := w.asksFor(1, "too-much")(t.Context())
		require.ErrorIs(t, err, core.ErrInsufficientCredits, "a refusal is remembered")
	})

	t.Run("TheSameKey", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		first := w.asksFor(2, "key")
		answers := w.crowd(t, nil, first, first, w.asksFor(3, "key"))
		require.NoError(t, answers[0].err)
		require.NoError(t, answers[1].err)
		require.Equal(t, answers[0].run, answers[1].run)
		require.ErrorIs(t, answers[2].err, core.ErrIdempotencyKeyReused)
		w.faultyStore.heal()
		w.requireBalance(80, 50)
		w.requireBooks()
		require.Equal(t, 2, w.queue.Len())
	})

	t.Run("TheSameRun", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		run := w.failed(2)
		answers := w.crowd(t, nil, w.continues(run.ID, ""), w.continues(run.ID, ""), w.continues(run.ID, "key"))
		require.NoError(t, answers[0].err)
		require.ErrorIs(t, answers[1].err, core.ErrRunAlreadyRunning)
		require.ErrorIs(t, answers[2].err, core.ErrRunAlreadyRunning)
		w.faultyStore.heal()
		w.requireBalance(60, 50)
		w.requireBooks()
	})

	t.Run("CommitUnknownIsToldToEach", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		run, once := w.failed(2), atomic.Bool{}
		answers := w.crowd(t, func(ctx context.Context, tenant core.TenantID, fn func(ports.Tx) error) error {
			if err := w.store.InTx(ctx, tenant, fn); err != nil || !once.CompareAndSwap(false, true) {
				return err
			}
			return ports.ErrCommitUnknown
		}, w.asksFor(1, "key"), w.continues(run.ID, ""), w.asksFor(99, ""))
		for _, a := range answers {
			require.ErrorIs(t, a.err, ports.ErrCommitUnknown)
		}
		w.faultyStore.heal()
		w.requireBalance(50, 50)
		w.requireBooks()
		require.Zero(t, w.queue.Len(), "recovery dispatches what may be there")
		_, err := w.asksFor(1, "key")(t.Context())
		require.NoError(t, err)
		w.requireBalance(50, 50)
	})

	t.Run("AFaultBeforeTheLockIsToldToEach", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		var begun atomic.Int64
		for _, a := range w.crowd(t, func(context.Context, core.TenantID, func(ports.Tx) error) error {
			begun.Add(1)
			return ports.ErrUnavailable
		}, w.asksFor(1, ""), w.asksFor(1, ""), w.asksFor(1, "")) {
			require.ErrorIs(t, a.err, ports.ErrUnavailable)
		}
		require.Equal(t, int64(1), begun.Load())
	})

	for name, fault := range map[string]func() error{
		"AFault": func() error { return ports.ErrRefused },
		"APanic": func() error { panic("cannot write this") },
	} {
		t.Run(name+"SendsEachAlone", func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			run := w.failed(2)
			for _, a := range w.crowd(t, w.watched(func([]ports.Start, []core.Answer) error { return fault() }),
				w.asksFor(1, "key"), w.continues(run.ID, ""), w.asksFor(2, "")) {
				require.NoError(t, a.err)
			}
			w.faultyStore.heal()
			w.requireBalance(30, 50)
			w.requireBooks()
		})
	}
}

// A request whose context ends while it waits is not begun and takes no other along; one
// that leads a group does not end it.
func TestTogetherCancelled(t *testing.T) {
	t.Parallel()
	t.Run("WhileItWaits", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		gone, cancel := context.WithCancel(t.Context())
		left := make(chan error, 1)
		ask := func(context.Context) (core.Run, error) {
			run, err := w.asksFor(1, "")(gone)
			left <- err
			return run, err
		}
		entered, stay := make(chan struct{}, 10), make(chan struct{})
		all := w.gather(t, t.Context(), func(ctx context.Context, tenant core.TenantID, fn func(ports.Tx) error) error {
			entered <- struct{}{}
			<-stay
			return w.store.InTx(ctx, tenant, fn)
		}, w.asksFor(1, ""))
		await(t, entered) // its group is under way, and cannot be joined
		late := make(chan answer, 2)
		go func() {
			run, err := ask(t.Context())
			late <- answer{run, err}
		}()
		await(t, w.arrived)
		go func() {
			run, err := w.asksFor(1, "")(t.Context())
			late <- answer{run, err}
		}()
		await(t, w.arrived)
		cancel()
		require.ErrorIs(t, await(t, left), context.Canceled)
		close(stay)
		require.NoError(t, await(t, all)[0].err)
		require.ErrorIs(t, await(t, late).err, context.Canceled)
		require.NoError(t, await(t, late).err)
		w.faultyStore.heal()
		w.requireBalance(80, 50)
		w.requireBooks()
	})

	t.Run("WhileItLeads", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		leader, cancel := context.WithCancel(t.Context())
		answers := w.crowd(t, func(ctx context.Context, tenant core.TenantID, fn func(ports.Tx) error) error {
			cancel()
			return w.store.InTx(ctx, tenant, fn)
		}, func(context.Context) (core.Run, error) { return w.asksFor(3, "")(leader) }, w.asksFor(1, ""), w.asksFor(1, ""))
		require.ErrorIs(t, answers[0].err, context.Canceled)
		require.NoError(t, answers[1].err)
		require.NoError(t, answers[2].err)
		w.faultyStore.heal()
		w.requireBalance(80, 50)
		w.requireBooks()
	})

	t.Run("WhenItIsDecided", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		follower, cancel := context.WithCancel(t.Context())
		answers := w.crowd(t, w.watched(func([]ports.Start, []core.Answer) error { cancel(); return nil }),
			w.asksFor(1, ""), func(context.Context) (core.Run, error) { return w.asksFor(1, "")(follower) })
		require.NoError(t, answers[0].err)
		require.NoError(t, answers[1].err, "from then on it is followed up")
		w.faultyStore.heal()
		w.requireBalance(80, 50)
		w.requireBooks()
		require.Equal(t, 2, w.queue.Len())
	})
}

// Who needs a run that another transaction has waits for it by itself.
func TestTogetherHeldRun(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	held, free := w.failed(1), w.failed(1)
	release := w.hold(t, held.ID)
	waits := make(chan answer, 1)
	others := make(chan answer, 2)
	w.gather(t, t.Context(), nil,
		func(ctx context.Context) (core.Run, error) {
			run, err := w.continues(held.ID, "")(ctx)
			waits <- answer{run, err}
			return run, err
		},
		func(ctx context.Context) (core.Run, error) {
			run, err := w.continues(free.ID, "")(ctx)
			others <- answer{run, err}
			return run, err
		},
		func(ctx context.Context) (core.Run, error) {
			run, err := w.asksFor(1, "")(ctx)
			others <- answer{run, err}
			return run, err
		})
	require.NoError(t, await(t, others).err)
	require.NoError(t, await(t, others).err)
	_, err := w.asksFor(1, "")(t.Context())
	require.NoError(t, err, "nor is a request held up that comes later")
	require.Empty(t, waits)
	release()
	require.NoError(t, await(t, waits).err)
	w.faultyStore.heal()
	w.requireBooks()
}

// A request that waits alone for its run does not hold up those that come after it.
func TestAloneHeldRun(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	held := w.failed(1)
	release := w.hold(t, held.ID)
	waits := make(chan answer, 1)
	go func() {
		run, err := w.continues(held.ID, "")(t.Context())
		waits <- answer{run, err}
	}()
	for range 3 {
		_, err := w.asksFor(1, "")(t.Context())
		require.NoError(t, err)
	}
	release()
	require.NoError(t, await(t, waits).err)
	w.requireBooks()
}

// No transaction grows with the number of those who wait.
func TestTogetherBounds(t *testing.T) {
	t.Parallel()
	t.Run("Requests", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, withPrice(1))
		asks := make([]ask, 70)
		for i := range asks {
			asks[i] = w.asksFor(1, core.Key(fmt.Sprint("key-", i)))
		}
		var groups []int
		for _, a := range w.crowd(t, w.counted(&groups), asks...) {
			require.NoError(t, a.err)
		}
		require.Equal(t, []int{64, 6}, groups)
		w.faultyStore.heal()
		w.requireBalance(30, 50)
		w.requireBooks()
	})

	t.Run("Files", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, withPrice(0))
		large := w.request(1)
		for len(large.Files) < 4000 {
			large.Files = append(large.Files, large.Files[0])
		}
		run, err := w.svc.Initiate(t.Context(), admin, large)
		require.NoError(t, err)
		_, err = w.svc.Cancel(t.Context(), admin, run.ID)
		require.NoError(t, err)
		initiate := func(ctx context.Context) (core.Run, error) { return w.svc.Initiate(ctx, admin, large) }
		var groups []int
		for _, a := range w.crowd(t, w.counted(&groups), initiate, initiate, initiate, w.continues(run.ID, ""), initiate, initiate) {
			require.NoError(t, a.err)
		}
		// Two fit; then one with the Continue, of which it shows under the lock that it is
		// large; then the last two.
		require.Equal(t, []int{2, 2, 2}, groups)
		w.faultyStore.heal()
		w.requireBooks()
	})
}
