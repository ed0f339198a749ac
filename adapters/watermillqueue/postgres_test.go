package watermillqueue_test

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/watermillqueue"
	"github.com/redrive/redrive/internal/testkit/pgtest"
	"github.com/redrive/redrive/internal/testkit/queuetest"
)

func newPool(t testing.TB, url string) *pgxpool.Pool {
	t.Helper()
	pool, err := pgxpool.New(t.Context(), url)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return pool
}

func newPostgres(t testing.TB, pool *pgxpool.Pool, o watermillqueue.Options) *watermillqueue.Queue {
	t.Helper()
	q, err := watermillqueue.OpenPostgres(pool, quiet(o))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, q.Close()) })
	return q
}

func TestPostgres(t *testing.T) {
	t.Parallel()
	queuetest.Run(t, func(t *testing.T) queuetest.Subject {
		q := newPostgres(t, newPool(t, pgtest.New(t).URL), watermillqueue.Options{})
		return queuetest.Subject{Queue: q, Feed: q, Close: q.Close, Skips: true, Quiet: 200 * time.Millisecond}
	})
}
