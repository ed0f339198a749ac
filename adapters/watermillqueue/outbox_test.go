package watermillqueue_test

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/adaptertest/storetest"
	"github.com/redrive/redrive/adapters/postgres"
	"github.com/redrive/redrive/adapters/watermillqueue"
	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/internal/testkit/install"
	"github.com/redrive/redrive/internal/testkit/pgtest"
	"github.com/redrive/redrive/ports"
)

// newSending gives a server's store and queue in one database. The queue looks by itself
// so rarely that only what wakes it brings anything.
func newSending(t *testing.T, url string) (*postgres.Store, *watermillqueue.Queue) {
	t.Helper()
	store, pool := pgtest.Open(t, postgres.Config{URL: url})
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
	ctx := bounded(t)
	store, pool := pgtest.Open(t, postgres.Config{})
	queue, err := watermillqueue.OpenPostgres(pool, watermillqueue.Options{Log: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, queue.Close()) })
	svc := install.Service(t, app.Deps{
		Store: store.WithOutbox(queue.Outbox()), Queue: queue,
		Executor: ports.ExecutorFunc(func(context.Context, ports.Task) ([]core.FileResult, error) { return nil, errors.New("all fail") }),
	}, app.Options{})
	install.Make(t, svc, install.Tenant{ID: "acme", Purchased: 100, Templates: []core.Template{{ID: "t", CreditsPerRun: 2}}})
	run, err := svc.Initiate(ctx, trapAdmin, app.InitiateRequest{Tenant: "acme", Template: "t", Files: []core.NewFile{
		{Name: "a", Ref: "a"}, {Name: "b", Ref: "b"}, {Name: "c", Ref: "c"},
	}})
	require.NoError(t, err)
	for range 3 { // each works one job of the message and passes on the others
		require.NoError(t, svc.Work(ctx, receive(t, queue, 1, ports.Skip{})[0]))
	}
	balance := func() core.Balance {
		b, err := svc.Balance(ctx, trapAdmin, "acme")
		require.NoError(t, err)
		return b
	}
	before := balance()

	_, err = pool.Exec(ctx, `ALTER TABLE queue_messages RENAME TO away`)
	require.NoError(t, err)
	_, err = svc.RetryFailed(ctx, trapAdmin, run.ID, app.RetryRequest{IdempotencyKey: "key"})
	require.Error(t, err)
	_, refused := err.(*core.Error) //nolint:errorlint // the error itself
	require.False(t, refused, "it is a fault: %v", err)
	require.Equal(t, before, balance())
	storetest.CheckInvariants(t, store, "acme")

	_, err = pool.Exec(ctx, `ALTER TABLE away RENAME TO queue_messages`)
	require.NoError(t, err)
	continued, err := svc.RetryFailed(ctx, trapAdmin, run.ID, app.RetryRequest{IdempotencyKey: "key"})
	require.NoError(t, err)
	require.Equal(t, core.AttemptNumber(1), continued.Attempt)
	require.Less(t, balance().Purchased, before.Purchased)
	got, err := queue.Receive(ctx, 3, ports.Skip{})
	require.NoError(t, err)
	require.Len(t, got[0].Jobs(), 3)
	storetest.CheckInvariants(t, store, "acme")
}
