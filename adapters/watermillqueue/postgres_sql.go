package watermillqueue

import (
	"time"

	"github.com/google/uuid"
)

// The tables are those of migrations 00012_queue_messages.sql and 00003_queue.sql.

// statementTimeout bounds a statement of the queue, its wait for a connection
// included.
const statementTimeout = 15 * time.Second

// How the queue's statements are run. A plan must not depend on how many rows
// there were when it was made, since a queue is empty at one moment and has a
// million rows at the next: they go by index, always, and so are planned once: else
// Postgres plans what names few rows each time. What is taken, acked and
// given back need not be on disk: if it is lost the message is delivered again.
const (
	byIndexSQL = `SELECT set_config('enable_seqscan', 'off', true), set_config('enable_hashjoin', 'off', true),
       set_config('enable_mergejoin', 'off', true), set_config('plan_cache_mode', 'force_generic_plan', true),
       set_config('jit', 'off', true), set_config('synchronous_commit', 'off', true)`
	asyncSQL = `SELECT set_config('synchronous_commit', 'off', true)`
)

const publishSQL = `
INSERT INTO queue_messages (tenant_id, template_id, message_id, jobs, metadata, payload)
SELECT m.tenant_id, m.template_id, m.message_id, m.jobs, m.metadata, m.payload
  FROM unnest($1::text[], $2::text[], $3::uuid[], $4::int[], $5::text[], $6::text[])
       WITH ORDINALITY AS m (tenant_id, template_id, message_id, jobs, metadata, payload, n)
 ORDER BY m.n
ON CONFLICT (tenant_id, message_id) DO NOTHING`

// takeSQL takes the oldest messages of each flow, up to its share of jobs, and stops
// with the message that makes $5 jobs. It is one statement, so it is a transaction by
// itself: nothing is locked while a message is in a server's hands, only free_at says so.
// How many rows it looks at is a guess by the size of a flow's messages.
const takeSQL = `
WITH picked AS (
  SELECT p.ctid, p.seq, p.jobs, f.share, f.n
    FROM unnest($1::text[], $2::text[], $3::int[], $4::int[])
         WITH ORDINALITY AS f (tenant_id, template_id, share, rows, n)
   CROSS JOIN LATERAL (
     SELECT q.ctid, q.seq, q.jobs FROM queue_messages q
      WHERE q.tenant_id = f.tenant_id AND q.template_id = f.template_id AND q.free_at <= now()
      ORDER BY q.seq LIMIT f.rows FOR UPDATE SKIP LOCKED) p),
shared AS (
  SELECT s.ctid, s.seq, s.jobs, s.n
    FROM (SELECT p.*, sum(p.jobs) OVER (PARTITION BY p.n ORDER BY p.seq, p.ctid) - p.jobs AS before FROM picked p) s
   WHERE s.before < s.share),
due AS (
  SELECT t.ctid
    FROM (SELECT s.ctid, sum(s.jobs) OVER (ORDER BY s.n, s.seq, s.ctid) - s.jobs AS before FROM shared s) t
   WHERE t.before < $5)
UPDATE queue_messages q
   SET free_at = now() + $6 * interval '1 millisecond', deliveries = q.deliveries + 1
 WHERE q.ctid = ANY (ARRAY(SELECT due.ctid FROM due))
RETURNING q.tenant_id, q.template_id, q.message_id, q.seq, q.jobs, q.deliveries, q.metadata, q.payload`

// ackSQL deletes exactly what was acked. seq tells a row from a later one of the
// same jobs; which server has it now does not matter, since the claims are durable.
const ackSQL = `
DELETE FROM queue_messages q
 USING unnest($1::text[], $2::uuid[], $3::bigint[]) AS a (tenant_id, message_id, seq)
 WHERE q.tenant_id = a.tenant_id AND q.message_id = a.message_id AND q.seq = a.seq`

// giveBackSQL makes rows free again, unless they were taken by another server
// meanwhile. What no worker has looked at is not counted as delivered.
const giveBackSQL = `
UPDATE queue_messages q
   SET free_at = now() + a.delay * interval '1 millisecond', deliveries = q.deliveries - a.uncounted
  FROM unnest($1::text[], $2::uuid[], $3::bigint[], $4::int[], $5::bigint[], $6::int[])
       AS a (tenant_id, message_id, seq, deliveries, delay, uncounted)
 WHERE q.tenant_id = a.tenant_id AND q.message_id = a.message_id AND q.seq = a.seq AND q.deliveries = a.deliveries`

// splitSQL puts two messages in the place of each: one of what the delivery keeps, in
// hand as before, and one of what it passes on, which is free. A row that another server
// has taken meanwhile, or that is gone, stays as it is. What is outstanding as a message
// of its own already is not carried twice.
const splitSQL = `
WITH a AS (
  SELECT * FROM unnest($1::text[], $2::uuid[], $3::bigint[], $4::int[], $5::uuid[], $6::int[], $7::text[], $8::uuid[], $9::int[], $10::text[])
      AS a (tenant_id, message_id, seq, deliveries, kept_id, kept_jobs, kept, rest_id, rest_jobs, rest)),
whole AS (
  DELETE FROM queue_messages q USING a
   WHERE q.tenant_id = a.tenant_id AND q.message_id = a.message_id AND q.seq = a.seq AND q.deliveries = a.deliveries
  RETURNING q.template_id, q.free_at, q.enqueued_at, q.metadata, a.*)
INSERT INTO queue_messages (tenant_id, template_id, message_id, seq, jobs, free_at, deliveries, enqueued_at, metadata, payload)
SELECT tenant_id, template_id, kept_id, seq, kept_jobs, free_at, deliveries, enqueued_at, metadata, kept FROM whole
UNION ALL
SELECT tenant_id, template_id, rest_id, seq, rest_jobs, now(), deliveries - 1, enqueued_at, metadata, rest FROM whole
ON CONFLICT (tenant_id, message_id) DO NOTHING`

// flowsSQL lists who has messages that are free, from one (tenant, template) on: it
// jumps from one to the next in the index, whatever lies between.
const flowsSQL = `
WITH RECURSIVE f AS (
  (SELECT q.tenant_id, q.template_id, 1 AS n FROM queue_messages q
    WHERE (q.template_id, q.tenant_id) > ($2, $1)
    ORDER BY q.template_id, q.tenant_id LIMIT 1)
  UNION ALL
  SELECT next.tenant_id, next.template_id, f.n + 1
    FROM f CROSS JOIN LATERAL (
      SELECT q.tenant_id, q.template_id FROM queue_messages q
       WHERE (q.template_id, q.tenant_id) > (f.template_id, f.tenant_id)
       ORDER BY q.template_id, q.tenant_id LIMIT 1) next
   WHERE f.n < $3)
SELECT f.tenant_id, f.template_id,
       EXISTS (SELECT FROM queue_messages q WHERE q.tenant_id = f.tenant_id AND q.template_id = f.template_id AND q.free_at <= now())
  FROM f ORDER BY f.n`

// moveSQL takes over what servers of an earlier release have sent, one job a message.
const moveSQL = `
WITH gone AS (
  DELETE FROM queue_jobs
   WHERE ctid = ANY (ARRAY(
     SELECT q.ctid FROM queue_jobs q WHERE q.free_at <= now()
      ORDER BY q.template_id, q.tenant_id, q.seq LIMIT $1 FOR UPDATE SKIP LOCKED))
  RETURNING *),
moved AS (
  INSERT INTO queue_messages (tenant_id, template_id, message_id, jobs, enqueued_at, metadata, payload)
  SELECT tenant_id, template_id, message_id, 1, enqueued_at, metadata, payload FROM gone ORDER BY seq
  ON CONFLICT (tenant_id, message_id) DO NOTHING)
SELECT tenant_id, template_id, count(*) FROM gone GROUP BY tenant_id, template_id`

const burySQL = `
WITH gone AS (DELETE FROM queue_messages WHERE tenant_id = $1 AND message_id = $2 AND seq = $3 RETURNING *)
INSERT INTO queue_dead (tenant_id, message_id, template_id, origin, reason, detail, died_at, metadata, payload)
SELECT tenant_id, message_id::text, template_id, $4, $5, $6, $7, metadata, payload FROM gone`

const listDeadSQL = `
SELECT dead_id, tenant_id, message_id, origin, reason, detail, died_at, metadata, payload
  FROM queue_dead ORDER BY dead_id LIMIT $1`

const requeueSQL = `
WITH gone AS (DELETE FROM queue_dead WHERE dead_id = ANY ($1::bigint[]) RETURNING *),
     back AS (
       INSERT INTO queue_messages (tenant_id, template_id, message_id, jobs, metadata, payload)
       SELECT tenant_id, template_id, message_id::uuid, 1, metadata, payload FROM gone ORDER BY dead_id
       ON CONFLICT (tenant_id, message_id) DO NOTHING)
SELECT count(*) FROM gone`

// pgRow is a row of takeSQL. The payload is Watermill's message.
type pgRow struct {
	tenant, template string
	id               uuid.UUID
	seq              int64
	jobs             int
	deliveries       int32
}
