package watermillqueue_test

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/watermillqueue"
	"github.com/redrive/redrive/internal/testkit/pgtest"
	"github.com/redrive/redrive/ports"
)

func TestReady(t *testing.T) {
	t.Parallel()

	t.Run("Memory", func(t *testing.T) {
		t.Parallel()
		q, err := watermillqueue.Open(t.Context(), "", quiet(watermillqueue.Options{}))
		require.NoError(t, err)
		require.NoError(t, q.Ready(bounded(t)))
		require.NoError(t, q.Close())
		require.ErrorIs(t, q.Ready(bounded(t)), ports.ErrClosed)
	})

	t.Run("Postgres", func(t *testing.T) {
		t.Parallel()
		url := pgtest.New(t).URL
		pool, operator := newPool(t, url), newPool(t, url)
		q := newPostgres(t, pool, watermillqueue.Options{})
		require.NoError(t, q.Ready(bounded(t)))
		_, err := operator.Exec(bounded(t), `SELECT`) // its connection is from before
		require.NoError(t, err)

		alter := func(to string) {
			_, err := operator.Exec(bounded(t), `DO $$ BEGIN
				EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = `+to+`', current_database());
			END $$`)
			require.NoError(t, err)
		}
		alter("on")
		pool.Reset() // as if the connections had been lost in a failover
		require.ErrorContains(t, q.Ready(bounded(t)), "read-only")
		alter("off")
		require.Eventually(t, func() bool { return q.Ready(bounded(t)) == nil }, time.Minute, time.Millisecond)

		_, err = pool.Exec(bounded(t), `DROP TABLE queue_dead`)
		require.NoError(t, err)
		require.ErrorContains(t, q.Ready(bounded(t)), "redrive migrate")
		pool.Close()
		require.Error(t, q.Ready(bounded(t)))
	})

	t.Run("PostgresThatWasNeverMigrated", func(t *testing.T) {
		t.Parallel()
		q := newPostgres(t, newPool(t, pgtest.NewEmpty(t).URL), watermillqueue.Options{})
		require.ErrorContains(t, q.Ready(bounded(t)), "redrive migrate")
	})

	t.Run("JetStream", func(t *testing.T) {
		t.Parallel()
		s := natsServer(t, nil)
		q, err := watermillqueue.Open(t.Context(), s.ClientURL(), quiet(watermillqueue.Options{Topic: "jobs"}))
		require.NoError(t, err)
		t.Cleanup(func() { _ = q.Close() }) // its server is away
		require.NoError(t, q.Ready(bounded(t)))

		conn, err := nats.Connect(s.ClientURL())
		require.NoError(t, err)
		js, err := conn.JetStream()
		require.NoError(t, err)
		require.NoError(t, js.DeleteStream("jobs"))
		conn.Close()
		require.ErrorIs(t, q.Ready(bounded(t)), nats.ErrStreamNotFound)

		s.Shutdown()
		s.WaitForShutdown()
		require.Eventually(t, func() bool {
			err := q.Ready(bounded(t))
			return err != nil && err.Error() != ""
		}, time.Minute, time.Millisecond)
	})
}
