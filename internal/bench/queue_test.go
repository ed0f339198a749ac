package bench

import (
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/memory"
	"github.com/redrive/redrive/adapters/watermillqueue"
	"github.com/redrive/redrive/ports"
)

// queues are the queues that Redrive can be measured with, by the name that
// -queue gives.
var queues = map[string]func(b *testing.B, pool *pgxpool.Pool) (ports.Queue, ports.Feed){
	"memory": func(*testing.B, *pgxpool.Pool) (ports.Queue, ports.Feed) {
		q := memory.NewQueue()
		return q, q
	},
	// The server's queue beside a database, with its options.
	"postgres": func(b *testing.B, pool *pgxpool.Pool) (ports.Queue, ports.Feed) {
		q, err := watermillqueue.OpenPostgres(pool, watermillqueue.Options{CommitAsync: true, Log: quiet})
		require.NoError(b, err)
		b.Cleanup(func() { require.NoError(b, q.Close()) })
		return q, q
	},
}

func newQueue(b *testing.B, pool *pgxpool.Pool) (ports.Queue, ports.Feed) {
	b.Helper()
	make, ok := queues[*queueName]
	require.True(b, ok, "-queue=%s is not one of %v", *queueName, queues)
	return make(b, pool)
}
