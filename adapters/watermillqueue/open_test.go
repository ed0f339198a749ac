package watermillqueue_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/watermillqueue"
	"github.com/redrive/redrive/internal/testkit/pgtest"
)

func TestOpen(t *testing.T) {
	t.Parallel()
	for name, url := range map[string]string{
		"Default": "", "Memory": "memory:", "Postgres": pgtest.New(t).URL, "JetStream": natsServer(t, nil).ClientURL(),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			q, err := watermillqueue.Open(t.Context(), url, quiet(watermillqueue.Options{}))
			require.NoError(t, err)
			enqueue(t, q, jobsOf("acme", "run", 0, 5))
			// On JetStream they lie ready in the server, whose consumers count what comes a
			// moment after the stream has taken it.
			ctx := bounded(t)
			require.Eventually(t, func() bool {
				depth, err := q.Stats(ctx)
				return err == nil && depth.Waiting.N+depth.Taken.N == 5
			}, time.Minute, 10*time.Millisecond)
			drain(t, q, 1, 10, 5)
			require.NoError(t, q.Close())
		})
	}
	t.Run("Refused", func(t *testing.T) {
		t.Parallel()
		for url, says := range map[string]string{
			"amqp://localhost":               "amqp",
			"redis://user:secret@localhost":  "redis",
			"postgres://user:secret@h:port":  "watermillqueue",
			"nats://user:secret@127.0.0.1:1": "connect to NATS",
			"://secret":                      "cannot be parsed",
		} {
			_, err := watermillqueue.Open(t.Context(), url, quiet(watermillqueue.Options{}))
			require.ErrorContains(t, err, says)
			require.False(t, strings.Contains(err.Error(), "secret"), "%v", err)
		}
		for _, o := range []watermillqueue.Options{
			{MaxBatch: -1},
			{Lanes: -1},
			{Prefetch: -1},
			{Replicas: -1},
			{DeadLimit: -1},
			{Lease: time.Microsecond},
			{PollInterval: -1},
			{NackDelay: -1},
		} {
			_, err := watermillqueue.Open(t.Context(), "", o)
			require.Error(t, err, "%+v", o)
		}
		_, err := watermillqueue.New(nil, nil, watermillqueue.Options{})
		require.Error(t, err)
	})
}
