package watermillqueue

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/internal/testkit/pgtest"
)

// Answers find their rows by the primary key, also while Postgres's statistics are
// of a queue that was empty. By the other index each would read the tenant's whole
// backlog: 5,000 acks in a backlog of 20,000 did not end within 15 s.
func TestAnswersGoByThePrimaryKey(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	conn, err := pgx.Connect(ctx, pgtest.New(t).URL)
	require.NoError(t, err)
	const fill = `INSERT INTO queue_messages (tenant_id, message_id, template_id, jobs, metadata, payload)
		SELECT 'acme', gen_random_uuid(), 't', 1, '{}', '{}' FROM generate_series(1, $1::int)`
	_, err = conn.Exec(ctx, fill, 1)
	require.NoError(t, err)
	_, err = conn.Exec(ctx, `ANALYZE queue_messages`)
	require.NoError(t, err)
	_, err = conn.Exec(ctx, fill, 5000)
	require.NoError(t, err)
	var tenants []string
	var ids [][16]byte
	var seqs []int64
	require.NoError(t, conn.QueryRow(ctx, `SELECT array_agg(tenant_id), array_agg(message_id), array_agg(seq)
		FROM (SELECT * FROM queue_messages LIMIT 1000) q`).Scan(&tenants, &ids, &seqs))
	numbers := make([]int32, len(seqs))
	for name, args := range map[string][]any{
		ackSQL:      {tenants, ids, seqs},
		giveBackSQL: {tenants, ids, seqs, numbers, seqs, numbers},
	} {
		tx, err := conn.Begin(ctx)
		require.NoError(t, err)
		_, err = tx.Exec(ctx, byIndexSQL)
		require.NoError(t, err)
		rows, err := tx.Query(ctx, "EXPLAIN "+name, args...)
		require.NoError(t, err)
		lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
		require.NoError(t, err)
		require.Contains(t, strings.Join(lines, "\n"), "queue_messages_pkey")
		require.NoError(t, tx.Rollback(ctx))
	}
	require.NoError(t, conn.Close(ctx))
}

// How much there is in the queue is found by the index of flows and without sorting
// what is there, also while Postgres's statistics are of an empty queue.
func TestStatsGoByTheIndexOfFlows(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	conn, err := pgx.Connect(ctx, pgtest.New(t).URL)
	require.NoError(t, err)
	_, err = conn.Exec(ctx, `ANALYZE queue_messages`)
	require.NoError(t, err)
	_, err = conn.Exec(ctx, `INSERT INTO queue_messages (tenant_id, message_id, template_id, jobs, metadata, payload)
		SELECT 'tenant-' || i % 7, gen_random_uuid(), 't', 1, '{}', '{}' FROM generate_series(1, 20000) i`)
	require.NoError(t, err)
	tx, err := conn.Begin(ctx)
	require.NoError(t, err)
	_, err = tx.Exec(ctx, byIndexSQL)
	require.NoError(t, err)
	rows, err := tx.Query(ctx, "EXPLAIN "+statsSQL, countedTo, flowsPage)
	require.NoError(t, err)
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	plan := strings.Join(lines, "\n")
	require.Equal(t, 5, strings.Count(plan, "using queue_messages_order"), plan)
	for _, not := range []string{"Seq Scan on queue_messages", "queue_messages_pkey", "Sort"} {
		require.NotContains(t, plan, not)
	}
	require.NoError(t, tx.Rollback(ctx))
	require.NoError(t, conn.Close(ctx))
}
