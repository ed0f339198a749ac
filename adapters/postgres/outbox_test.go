package postgres_test

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/adaptertest/storetest"
	"github.com/redrive/redrive/adapters/memory"
	"github.com/redrive/redrive/adapters/postgres"
	"github.com/redrive/redrive/adapters/watermillqueue"
	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/internal/testkit/pgtest"
	"github.com/redrive/redrive/ports"
)

// newSending gives a server's store and queue in one database. The queue looks by itself
// so rarely that only what wakes it brings anything.
func newSending(t *testing.T, url string) (*postgres.Store, *watermillqueue.Queue) {
	t.Helper()
	store, pool := newStore(t, postgres.Config{URL: url})
	queue, err := watermillqueue.OpenPostgres(pool, watermillqueue.Options{Log: slog.New(slog.DiscardHandler), PollInterval: time.Hour})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, queue.Close()) })
	return store.WithOutbox(queue.Outbox()), queue
}

func TestOutboxConformance(t *testing.T) {
	t.Parallel()
	storetest.RunOutbox(t, func(t *testing.T) storetest.OutboxSubject {
		store, queue := newSending(t, pgtest.New(t).URL)
		return storetest.OutboxSubject{Store: store, Queue: queue, Feed: queue}
	})
}

// What a transaction sends is received at once by servers that wait, its own and others.
func TestOutboxWakesServers(t *testing.T) {
	t.Parallel()
	url := pgtest.New(t).URL
	store, own := newSending(t, url)
	_, other := newSending(t, url)
	ctx := bounded(t)
	for i, feed := range []ports.Feed{own, other, own, other} {
		received := make(chan []core.Job, 1)
		var waiting sync.WaitGroup
		waiting.Go(func() {
			got, err := feed.Receive(ctx, 1, ports.Skip{})
			if err != nil || len(got) == 0 || got[0].Ack(ctx) != nil {
				close(received)
				return
			}
			received <- got[0].Jobs()
		})
		want := core.Job{Tenant: "acme", Run: "run", Epoch: core.Epoch(i), ID: "run:file:0", Files: []int{0}, Template: "t"}
		require.NoError(t, store.InTx(ctx, "acme", func(tx ports.Tx) error {
			return ports.OutboxOf(tx).Send(ctx, []core.Job{want})
		}))
		require.Equal(t, []core.Job{want}, <-received)
		waiting.Wait()
	}
}

// A failure to send rolls back what it was to send: nothing is charged, so there is nothing
// to refund.
func TestOutboxFailureChangesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, postgres.Config{}, noExecution)
	ctx := bounded(t)
	queue, err := watermillqueue.OpenPostgres(w.pool, watermillqueue.Options{Log: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, queue.Close()) })
	svc, err := app.New(app.Deps{
		Store: w.store.WithOutbox(queue.Outbox()), Queue: queue, Executor: ports.ExecutorFunc(nil), Files: memory.NewFiles(),
		Clock: w.clock, Log: slog.New(slog.DiscardHandler),
	}, app.Options{})
	require.NoError(t, err)
	run := w.settled(t, 3, allFail)
	before := w.balance(t, "acme")
	_, err = w.pool.Exec(ctx, `ALTER TABLE queue_messages RENAME TO away`)
	require.NoError(t, err)
	_, err = svc.RetryFailed(ctx, customer, run.ID, app.RetryRequest{IdempotencyKey: "key"})
	require.Error(t, err)
	_, refused := err.(*core.Error) //nolint:errorlint // the error itself
	require.False(t, refused, "it is a fault")
	require.Equal(t, before, w.balance(t, "acme"))
	w.requireInvariants(t)

	_, err = w.pool.Exec(ctx, `ALTER TABLE away RENAME TO queue_messages`)
	require.NoError(t, err)
	continued, err := svc.RetryFailed(ctx, customer, run.ID, app.RetryRequest{IdempotencyKey: "key"})
	require.NoError(t, err)
	require.Equal(t, core.AttemptNumber(1), continued.Attempt)
	require.Less(t, w.balance(t, "acme").Purchased, before.Purchased)
	received, cancel := context.WithTimeout(ctx, testTimeout)
	defer cancel()
	got, err := queue.Receive(received, 3, ports.Skip{})
	require.NoError(t, err)
	require.Len(t, got[0].Jobs(), 3)
	w.requireInvariants(t)
}
