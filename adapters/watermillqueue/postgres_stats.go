package watermillqueue

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/redrive/redrive/ports"
)

// countedTo is the most rows that are counted of a kind.
const countedTo = 10_000

// statsSQL looks at about three times $1 rows at most, whatever there is: at so many
// that are free, at so many at the heads of the flows, where those that were taken are,
// and at the first free one of each of $2 flows. It goes by the index of flows, for
// which see flowsSQL.
const statsSQL = `
WITH RECURSIVE f AS (
  (SELECT q.tenant_id, q.template_id, 1 AS n FROM queue_messages q
    ORDER BY q.template_id, q.tenant_id LIMIT 1)
  UNION ALL
  SELECT next.tenant_id, next.template_id, f.n + 1
    FROM f CROSS JOIN LATERAL (
      SELECT q.tenant_id, q.template_id FROM queue_messages q
       WHERE (q.template_id, q.tenant_id) > (f.template_id, f.tenant_id)
       ORDER BY q.template_id, q.tenant_id LIMIT 1) next
   WHERE f.n < $2)
SELECT (SELECT count(*) FROM f),
       waiting.rows, waiting.jobs,
       (SELECT coalesce(sum(head.jobs), 0) FROM f CROSS JOIN LATERAL (
          SELECT q.free_at, q.jobs FROM queue_messages q
           WHERE q.tenant_id = f.tenant_id AND q.template_id = f.template_id
           ORDER BY q.seq LIMIT (SELECT greatest($1 / greatest(count(*), 1), 1) FROM f)) head
         WHERE head.free_at > now()),
       (SELECT min(first.enqueued_at) FROM f CROSS JOIN LATERAL (
          SELECT q.enqueued_at FROM queue_messages q
           WHERE q.tenant_id = f.tenant_id AND q.template_id = f.template_id AND q.free_at <= now()
           ORDER BY q.seq LIMIT 1) first),
       (SELECT count(*) FROM (SELECT FROM queue_dead LIMIT $1 + 1) dead)
  FROM (SELECT count(*) AS rows, coalesce(sum(w.jobs), 0) AS jobs FROM (
          SELECT q.jobs FROM queue_messages q WHERE q.free_at <= now()
           ORDER BY q.template_id, q.tenant_id, q.seq LIMIT $1 + 1) w) waiting`

func (b *pgBackend) stats(ctx context.Context) (depth ports.QueueDepth, err error) {
	var flows, rows, waiting, taken, dead int
	var oldest *time.Time
	batch := &pgx.Batch{}
	batch.Queue(byIndexSQL)
	batch.Queue(statsSQL, countedTo, flowsPage).QueryRow(func(row pgx.Row) error {
		return row.Scan(&flows, &rows, &waiting, &taken, &oldest, &dead)
	})
	if err := b.pool.SendBatch(ctx, batch).Close(); err != nil {
		return depth, err
	}
	depth.Waiting = ports.Count{N: waiting, More: rows > countedTo}
	if depth.Waiting.More {
		depth.Waiting.N-- // the one row too many has a job at least
	}
	depth.Dead = ports.Count{N: min(dead, countedTo), More: dead > countedTo}
	depth.Taken = ports.Count{N: taken, More: flows == flowsPage}
	if oldest != nil {
		depth.Oldest = oldest.UTC()
	}
	return depth, nil
}
