package watermillqueue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	wsql "github.com/ThreeDotsLabs/watermill-sql/v4/pkg/sql"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// jobsKey is the metadata that says how many jobs a message has.
const jobsKey = "jobs"

func setJobs(msg *message.Message, n int) { msg.Metadata.Set(jobsKey, strconv.Itoa(n)) }

// pgSchema lets Watermill's publisher insert into our table. Of the schema that it
// comes with, the rest is for a subscriber, which is not used; see pgSubscriber.
type pgSchema struct{ wsql.DefaultPostgreSQLSchema }

var _ wsql.SchemaAdapter = pgSchema{}

func (pgSchema) InsertQuery(p wsql.InsertQueryParams) (wsql.Query, error) {
	args, err := columnsOf(p.Msgs)
	return wsql.Query{Query: publishSQL, Args: args}, err
}

// columnsOf gives the arguments of publishSQL. It sends columns as arrays: the number of
// parameters does not grow with the number of messages, and neither does the text of the
// statement.
func columnsOf(msgs []*message.Message) ([]any, error) {
	n := len(msgs)
	tenants, templates := make([]string, n), make([]string, n)
	ids, jobs := make([]uuid.UUID, n), make([]int32, n)
	metadata, payloads := make([]string, n), make([]string, n)
	for i, msg := range msgs {
		id, err := uuid.Parse(msg.UUID)
		if err != nil {
			return nil, fmt.Errorf("message %q: %w", msg.UUID, err)
		}
		count, err := strconv.ParseInt(msg.Metadata.Get(jobsKey), 10, 32)
		if err != nil {
			return nil, fmt.Errorf("message %q: %w", msg.UUID, err)
		}
		tenants[i], templates[i] = msg.Metadata.Get(tenantKey), msg.Metadata.Get(templateKey)
		ids[i], jobs[i], payloads[i] = id, int32(count), string(msg.Payload)
		if metadata[i], err = columnOf(msg.Metadata); err != nil {
			return nil, err
		}
	}
	return []any{tenants, templates, ids, jobs, metadata, payloads}, nil
}

// columnOf gives what of the metadata has no column of its own.
func columnOf(m message.Metadata) (string, error) {
	rest := make(map[string]string, len(m))
	for name, value := range m {
		if name != tenantKey && name != templateKey && name != jobsKey {
			rest[name] = value
		}
	}
	text, err := json.Marshal(rest)
	if err != nil {
		return "", fmt.Errorf("metadata: %w", err)
	}
	return string(text), nil
}

// pgInserter gives Watermill's publisher the pool.
type pgInserter struct {
	pool  *pgxpool.Pool
	async bool // Postgres may answer before what is published is on disk
}

var _ wsql.ContextExecutor = pgInserter{}

func (p pgInserter) ExecContext(ctx context.Context, query string, args ...any) (wsql.Result, error) {
	if !p.async {
		tag, err := p.pool.Exec(ctx, query, args...)
		return wsql.PgxResult{CommandTag: tag}, err
	}
	batch := &pgx.Batch{}
	batch.Queue(asyncSQL)
	batch.Queue(query, args...)
	return wsql.PgxResult{}, p.pool.SendBatch(ctx, batch).Close()
}

func (pgInserter) QueryContext(context.Context, string, ...any) (wsql.Rows, error) {
	return nil, errors.New("watermill's publisher does not query")
}
