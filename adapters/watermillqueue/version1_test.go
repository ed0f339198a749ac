package watermillqueue_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/watermillqueue"
	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/internal/testkit/pgtest"
	"github.com/redrive/redrive/ports"
)

// version1 is a message of a server of an earlier release.
func version1(file int) string {
	return fmt.Sprintf(`{"v":1,"at":%d,"tenant":"acme","run":"run","epoch":1,"job":"run:file:%d","template":"summarise","files":[%d]}`,
		time.Now().Unix(), file, file)
}

// receiveAll acks n jobs and gives them.
func receiveAll(t *testing.T, q *watermillqueue.Queue, n int) (jobs []core.Job) {
	t.Helper()
	for _, d := range receive(t, q, n, ports.Skip{}) {
		jobs = append(jobs, d.Jobs()...)
		require.NoError(t, d.Ack(t.Context()))
	}
	return jobs
}

// While servers are replaced one by one, those of before go on with their table, and the
// new ones take over what they do not have in hand.
func TestPostgresTakesOverMessagesOfBefore(t *testing.T) {
	t.Parallel()
	pool := newPool(t, pgtest.New(t).URL)
	put := func(file int, freeIn string) {
		_, err := pool.Exec(t.Context(), `
			INSERT INTO queue_jobs (tenant_id, template_id, message_id, metadata, payload, free_at)
			VALUES ('acme', 'summarise', gen_random_uuid(), '{"correlation_id":"cor"}', $1, now() + $2::interval)`, version1(file), freeIn)
		require.NoError(t, err)
	}
	count := func(table string) (n int) {
		require.NoError(t, pool.QueryRow(t.Context(), "SELECT count(*) FROM "+table).Scan(&n))
		return n
	}
	const n = 1500 // more than are moved at a time
	for i := range n {
		put(i, "0")
	}
	put(n, "1 hour") // an old server has it
	q := newPostgres(t, pool, watermillqueue.Options{PollInterval: 10 * time.Millisecond})
	require.ElementsMatch(t, jobsOf("acme", "run", 0, n), receiveAll(t, q, n))
	require.Equal(t, 1, count("queue_jobs"), "it is the old server's")

	// An old server sees nothing of what the new one sends.
	enqueueMany(t, q, jobsOf("acme", "new", 0, 10))
	require.Equal(t, 1, count("queue_jobs"))
	require.Eventually(t, func() bool { return count("queue_messages") == 1 }, timeout, time.Millisecond, "the others are acked")
}

// Servers of an earlier release listen to their own subjects, and a new one to those as well while
// there is something or a server that listens.
func TestJetStreamTakesOverMessagesOfBefore(t *testing.T) {
	t.Parallel()
	s := natsServer(t, nil)
	conn, err := nats.Connect(s.ClientURL())
	require.NoError(t, err)
	t.Cleanup(conn.Close)
	js, err := conn.JetStream()
	require.NoError(t, err)
	require.NoError(t, newJetStream(t, s, watermillqueue.Options{Lanes: 2}).Close()) // makes the stream, which has been there since version 1
	_, err = js.AddConsumer("redrive_jobs", &nats.ConsumerConfig{                    // as an old server did
		Durable: "redrive_jobs-0-workers", DeliverGroup: "redrive_jobs-0-workers", DeliverSubject: "deliver-redrive_jobs-0-workers",
		FilterSubject: "redrive_jobs.0", AckPolicy: nats.AckExplicitPolicy, AckWait: 30 * time.Second, MaxAckPending: 256,
	})
	require.NoError(t, err)
	old, err := conn.QueueSubscribeSync("deliver-redrive_jobs-0-workers", "redrive_jobs-0-workers")
	require.NoError(t, err)
	q := newJetStream(t, s, watermillqueue.Options{Lanes: 2})
	enqueueMany(t, q, jobsOf("acme", "run", 0, 10))
	require.Equal(t, jobsOf("acme", "run", 0, 10), receiveAll(t, q, 10))
	pending, _, err := old.Pending()
	require.NoError(t, err)
	require.Zero(t, pending, "an old server is not sent what it cannot read")

	require.NoError(t, old.Unsubscribe()) // the last of the old servers stops
	for i := range 20 {
		_, err := js.Publish("redrive_jobs.0", []byte(version1(i)))
		require.NoError(t, err)
	}
	require.ElementsMatch(t, jobsOf("acme", "run", 0, 20), receiveAll(t, q, 20))
}
