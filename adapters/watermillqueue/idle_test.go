package watermillqueue_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/watermillqueue"
	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/internal/testkit/pgtest"
	"github.com/redrive/redrive/ports"
)

// statements counts what a pool sends: single statements and those of batches.
type statements struct {
	mu   sync.Mutex
	sent []string
}

func (s *statements) note(sql string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sent = append(s.sent, strings.Join(strings.Fields(sql), " "))
}

// since lists what was sent after the first n.
func (s *statements) since(n int) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.sent[n:]...)
}

func (s *statements) TraceQueryStart(ctx context.Context, _ *pgx.Conn, q pgx.TraceQueryStartData) context.Context {
	s.note(q.SQL)
	return ctx
}

func (s *statements) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

func (s *statements) TraceBatchStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceBatchStartData) context.Context {
	return ctx
}

func (s *statements) TraceBatchQuery(_ context.Context, _ *pgx.Conn, q pgx.TraceBatchQueryData) {
	s.note(q.SQL)
}

func (s *statements) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData) {}

// With nothing to do a server asks once every PollInterval, two seconds, however
// many tenants have had jobs.
func TestIdlePostgresIsQuiet(t *testing.T) {
	t.Parallel()
	require.Equal(t, 2*time.Second, watermillqueue.DefaultPollInterval)
	const poll, polls = 50 * time.Millisecond, 20
	config, err := pgxpool.ParseConfig(pgtest.New(t).URL)
	require.NoError(t, err)
	var sent statements
	config.ConnConfig.Tracer = &sent
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	q := newPostgres(t, pool, watermillqueue.Options{PollInterval: poll})

	const tenants = 100
	for i := range tenants {
		enqueue(t, q, jobsOf(core.TenantID(fmt.Sprint("tenant-", i)), "run", 0, 1))
	}
	for _, d := range receive(t, q, tenants, ports.Skip{}) {
		require.NoError(t, d.Ack(t.Context()))
	}
	require.Eventually(t, func() bool { return rowsOf(t, pool) == 0 }, timeout, time.Millisecond)
	nothing(t, q, 10*poll) // what it knew of those tenants is forgotten

	before := len(sent.since(0))
	began := time.Now()
	nothing(t, q, polls*poll)
	idle := time.Since(began)
	got := sent.since(before)
	// As many as there were intervals, and one on either side.
	require.LessOrEqual(t, len(got), int(idle/poll)+2, "%.60q", got)
	require.NotEmpty(t, got, "a notification may be missed")

	// A caller that wants nothing asks for nothing, but for what is under way.
	before = len(sent.since(0))
	time.Sleep(4 * poll)
	require.LessOrEqual(t, len(sent.since(before)), 1)
}
