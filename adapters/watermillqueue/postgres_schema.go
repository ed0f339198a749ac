package watermillqueue

import (
	stdsql "database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	wsql "github.com/ThreeDotsLabs/watermill-sql/v4/pkg/sql"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/uuid"
)

// The tables are those of migration 00003_queue.sql.

const publishSQL = `
INSERT INTO queue_jobs (tenant_id, template_id, message_id, metadata, payload)
SELECT j.tenant_id, j.template_id, j.message_id, j.metadata, j.payload
  FROM unnest($1::text[], $2::text[], $3::uuid[], $4::text[], $5::text[])
       WITH ORDINALITY AS j (tenant_id, template_id, message_id, metadata, payload, n)
 ORDER BY j.n
ON CONFLICT (tenant_id, message_id) DO NOTHING`

// takeSQL takes up to a share of each flow's oldest rows. It is one statement, so
// it is a transaction by itself: nothing is locked while a job is in somebody's
// hands, only free_at says so.
const takeSQL = `
WITH picked AS (
  SELECT p.ctid
    FROM unnest($1::text[], $2::text[], $3::bigint[], $4::int[]) AS f (tenant_id, template_id, after, share)
   CROSS JOIN LATERAL (
     SELECT q.ctid FROM queue_jobs q
      WHERE q.tenant_id = f.tenant_id AND q.template_id = f.template_id AND q.seq > f.after AND q.free_at <= now()
      ORDER BY q.seq LIMIT f.share FOR UPDATE SKIP LOCKED) p)
UPDATE queue_jobs q
   SET free_at = now() + $5 * interval '1 millisecond', deliveries = q.deliveries + 1
 WHERE q.ctid = ANY (ARRAY(SELECT picked.ctid FROM picked))
RETURNING q.tenant_id, q.template_id, q.message_id, q.seq, q.deliveries, q.metadata, q.payload`

// ackSQL deletes exactly what was acked. seq tells a row from a later one of the
// same job and epoch; who has it now does not matter, since the claim is durable.
const ackSQL = `
DELETE FROM queue_jobs q
 USING unnest($1::text[], $2::uuid[], $3::bigint[]) AS a (tenant_id, message_id, seq)
 WHERE q.tenant_id = a.tenant_id AND q.message_id = a.message_id AND q.seq = a.seq`

// giveBackSQL makes rows free again, unless they were taken by somebody else
// meanwhile. A job that nobody looked at is not counted as delivered.
const giveBackSQL = `
UPDATE queue_jobs q
   SET free_at = now() + a.delay * interval '1 millisecond', deliveries = q.deliveries - a.uncounted
  FROM unnest($1::text[], $2::uuid[], $3::bigint[], $4::int[], $5::bigint[], $6::int[])
       AS a (tenant_id, message_id, seq, deliveries, delay, uncounted)
 WHERE q.tenant_id = a.tenant_id AND q.message_id = a.message_id AND q.seq = a.seq AND q.deliveries = a.deliveries`

// flowsSQL lists who has jobs, from one (tenant, template) on: it jumps from one to
// the next in the index, whatever lies between.
const flowsSQL = `
WITH RECURSIVE f AS (
  (SELECT q.tenant_id, q.template_id, 1 AS n FROM queue_jobs q
    WHERE (q.template_id, q.tenant_id) > ($2, $1)
    ORDER BY q.template_id, q.tenant_id LIMIT 1)
  UNION ALL
  SELECT next.tenant_id, next.template_id, f.n + 1
    FROM f CROSS JOIN LATERAL (
      SELECT q.tenant_id, q.template_id FROM queue_jobs q
       WHERE (q.template_id, q.tenant_id) > (f.template_id, f.tenant_id)
       ORDER BY q.template_id, q.tenant_id LIMIT 1) next
   WHERE f.n < $3)
SELECT tenant_id, template_id FROM f`

const burySQL = `
WITH gone AS (DELETE FROM queue_jobs WHERE tenant_id = $1 AND message_id = $2 AND seq = $3 RETURNING *)
INSERT INTO queue_dead (tenant_id, message_id, template_id, origin, reason, detail, died_at, metadata, payload)
SELECT tenant_id, message_id::text, template_id, $4, $5, $6, $7, metadata, payload FROM gone`

const listDeadSQL = `
SELECT dead_id, tenant_id, message_id, origin, reason, detail, died_at, metadata, payload
  FROM queue_dead ORDER BY dead_id LIMIT $1`

const requeueSQL = `
WITH gone AS (DELETE FROM queue_dead WHERE dead_id = ANY ($1::bigint[]) RETURNING *),
     back AS (
       INSERT INTO queue_jobs (tenant_id, template_id, message_id, metadata, payload)
       SELECT tenant_id, template_id, message_id::uuid, metadata, payload FROM gone ORDER BY dead_id
       ON CONFLICT (tenant_id, message_id) DO NOTHING)
SELECT count(*) FROM gone`

// takenRow is a row of takeSQL.
type takenRow struct {
	tenant, template string
	messageID        [16]byte
	seq              int64
	deliveries       int32
	metadata         string
	payload          string
}

// pgSchema is Watermill's schema adapter for our table. A message of Watermill's
// is a batch of rows: its subscriber hands out one message at a time, and one job
// at a time would be a round trip for each.
type pgSchema struct{ feed *pgFeed }

var _ wsql.SchemaAdapter = pgSchema{}

// InsertQuery sends columns as arrays: the number of parameters does not grow
// with the number of messages, and neither does the text of the statement.
func (pgSchema) InsertQuery(p wsql.InsertQueryParams) (wsql.Query, error) {
	n := len(p.Msgs)
	tenants, templates := make([]string, n), make([]string, n)
	ids := make([][16]byte, n)
	metadata, payloads := make([]string, n), make([]string, n)
	known := map[string]string{} // the messages of one call share their correlation ID
	for i, msg := range p.Msgs {
		id, err := uuid.Parse(msg.UUID)
		if err != nil {
			return wsql.Query{}, fmt.Errorf("message %q: %w", msg.UUID, err)
		}
		tenants[i], templates[i] = msg.Metadata.Get(tenantKey), msg.Metadata.Get(templateKey)
		ids[i], payloads[i] = id, string(msg.Payload)
		if metadata[i], err = columnOf(msg.Metadata, known); err != nil {
			return wsql.Query{}, err
		}
	}
	return wsql.Query{Query: publishSQL, Args: []any{tenants, templates, ids, metadata, payloads}}, nil
}

// columnOf gives what of the metadata has no column of its own.
func columnOf(m message.Metadata, known map[string]string) (string, error) {
	rest := make(map[string]string, len(m))
	var key strings.Builder
	for name, value := range m {
		if name != tenantKey && name != templateKey {
			rest[name] = value
		}
	}
	if len(rest) == 1 { // the usual case
		for name, value := range rest {
			key.WriteString(name + "\x00" + value)
		}
		if text, there := known[key.String()]; there {
			return text, nil
		}
	}
	text, err := json.Marshal(rest)
	if err != nil {
		return "", fmt.Errorf("metadata: %w", err)
	}
	if key.Len() > 0 {
		known[key.String()] = string(text)
	}
	return string(text), nil
}

// SelectQuery takes the shares that were planned; without a plan there is nothing
// to ask.
func (s pgSchema) SelectQuery(wsql.SelectQueryParams) (wsql.Query, error) {
	return s.feed.takeQuery(), nil
}

// UnmarshalMessage makes the message of a batch.
func (pgSchema) UnmarshalMessage(p wsql.UnmarshalMessageParams) (wsql.Row, error) {
	var id string
	if err := p.Row.Scan(&id); err != nil {
		return wsql.Row{}, err
	}
	return wsql.Row{Offset: 1, UUID: []byte(id), Msg: message.NewMessage(id, nil)}, nil
}

// SubscribeIsolationLevel has no effect: a statement by itself is READ COMMITTED.
func (pgSchema) SubscribeIsolationLevel() stdsql.IsolationLevel { return stdsql.LevelReadCommitted }

var errOwnMigrations = errors.New("the tables of the queue are made by the migrations of Redrive")

func (pgSchema) SchemaInitializingQueries(wsql.SchemaInitializingQueriesParams) ([]wsql.Query, error) {
	return nil, errOwnMigrations
}

// pgOffsets is Watermill's offsets adapter for our table. A batch needs no ack of
// its own: the statement that read its rows took them, and each is acked when its
// delivery is.
type pgOffsets struct{}

var _ wsql.OffsetsAdapter = pgOffsets{}

func (pgOffsets) AckMessageQuery(wsql.AckMessageQueryParams) (wsql.Query, error) {
	return wsql.Query{}, nil
}

func (pgOffsets) ConsumedMessageQuery(wsql.ConsumedMessageQueryParams) (wsql.Query, error) {
	return wsql.Query{}, nil
}

func (pgOffsets) NextOffsetQuery(wsql.NextOffsetQueryParams) (wsql.Query, error) {
	return wsql.Query{}, nil
}

func (pgOffsets) SchemaInitializingQueries(wsql.OffsetsSchemaInitializingQueriesParams) ([]wsql.Query, error) {
	return nil, errOwnMigrations
}

func (pgOffsets) BeforeSubscribingQueries(wsql.BeforeSubscribingQueriesParams) ([]wsql.Query, error) {
	return nil, nil
}
