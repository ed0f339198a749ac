package storetest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// prompt is how soon a cancelled wait has to end; far below patience, far above
// what it takes.
const prompt = 10 * time.Second

func testCancellation(t *testing.T, newStore Factory, _ Options) {
	for _, l := range lockables {
		t.Run("WhileWaiting/"+l.name, func(t *testing.T) { testCancelledWait(t, newStore, l) })
	}

	t.Run("BeforeTheBeginning", func(t *testing.T) {
		t.Parallel()
		s := newStore(t)
		w := build(t, s, "acme")
		ctx, cancel := context.WithCancel(bounded(t))
		cancel()
		for _, write := range writings {
			err := s.InTx(ctx, "acme", func(tx ports.Tx) error { return write.call(ctx, tx, w) })
			require.ErrorIs(t, err, context.Canceled, write.name)
		}
		err := s.View(ctx, "acme", func(tx ports.Tx) error { _, err := tx.Tenants().Get(ctx); return err })
		require.ErrorIs(t, err, context.Canceled)
		equal(t, w.contents(), MustRead(t, s, "acme", w.keys()...))
	})

	// Between the last write and the commit it may go either way, but the answer
	// has to be true.
	t.Run("BeforeTheCommit", func(t *testing.T) {
		t.Parallel()
		s := newStore(t)
		w := build(t, s, "acme")
		ctx, cancel := context.WithCancel(bounded(t))
		err := s.InTx(ctx, "acme", func(tx ports.Tx) error {
			err := writings[1].call(ctx, tx, w)
			cancel()
			return err
		})
		committed := redispatches(t, s, w.running.ID) != w.running.Redispatches
		if !errors.Is(err, ports.ErrCommitUnknown) {
			equal(t, err == nil, committed, "InTx gave %v", err)
		}
		commit(t, s, "acme", func(ctx context.Context, tx ports.Tx) error {
			_, err := ports.LockRun(ctx, tx, w.running.ID)
			return err
		})
	})

	t.Run("InTheMiddle", func(t *testing.T) {
		t.Parallel()
		s := newStore(t)
		w := build(t, s, "acme")
		ctx, cancel := context.WithCancel(bounded(t))
		err := s.InTx(ctx, "acme", func(tx ports.Tx) error {
			if err := writings[1].call(ctx, tx, w); err != nil {
				return err
			}
			cancel()
			_, err := tx.Runs().Get(ctx, w.running.ID)
			return err
		})
		require.ErrorIs(t, err, context.Canceled)
		equal(t, w.contents(), MustRead(t, s, "acme", w.keys()...))
	})
}

// testCancelledWait: of three that queue for a lock, the one in the middle gives
// up. It returns soon, and the queue goes on without it.
func testCancelledWait(t *testing.T, newStore Factory, l lockable) {
	t.Parallel()
	s := newStore(t)
	w := build(t, s, "acme")
	ctx := bounded(t)
	impatient, cancel := context.WithCancel(ctx)
	defer cancel()
	take := func(ctx context.Context, about chan struct{}) <-chan error {
		return async(func() error {
			_, err := insist(ctx, s, core.TenantID("acme"), func(tx ports.Tx) error {
				if about != nil {
					close(about)
					about = nil
				}
				n, err := l.lock(ctx, tx, w)
				if err != nil {
					return err
				}
				return l.add(ctx, tx, w, n, 1)
			})
			return err
		})
	}
	var queue []<-chan error
	commit(t, s, "acme", func(ctx context.Context, tx ports.Tx) error {
		n, err := l.peek(ctx, tx, w)
		if err != nil {
			return err
		}
		if err := l.add(ctx, tx, w, n, 1000-n); err != nil {
			return err
		}
		for _, waiter := range []context.Context{ctx, impatient, ctx} {
			about := make(chan struct{})
			queue = append(queue, take(waiter, about))
			<-about
			time.Sleep(grace / 5) // so that, most often, it queues before the next one
		}
		cancel()
		began := time.Now()
		require.ErrorIs(t, await(t, "the cancelled wait", queue[1]), context.Canceled)
		require.Less(t, time.Since(began), prompt)
		return nil
	})
	require.NoError(t, await(t, "the first in the queue", queue[0]))
	require.NoError(t, await(t, "the last in the queue", queue[2]))
	require.NoError(t, await(t, "who comes later", take(ctx, nil)))
	view(t, s, "acme", func(ctx context.Context, tx ports.Tx) error {
		same(t, 1003)(l.peek(ctx, tx, w))
		return nil
	})
}
