package watermillqueue

import (
	"context"
	stdsql "database/sql"
	"errors"
	"time"

	wsql "github.com/ThreeDotsLabs/watermill-sql/v4/pkg/sql"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// statementTimeout bounds a statement of the queue, its wait for a connection
// included.
const statementTimeout = 15 * time.Second

// How the queue's statements are run. A plan must not depend on how many rows
// there were when it was made, since a queue is empty at one moment and has a
// million rows at the next: they go by index, always. What is taken, acked and
// given back need not be on disk: if it is lost the job is delivered again.
const (
	byIndexSQL = `SELECT set_config('enable_seqscan', 'off', true), set_config('enable_hashjoin', 'off', true),
       set_config('enable_mergejoin', 'off', true), set_config('jit', 'off', true)`
	asyncSQL = `SELECT set_config('synchronous_commit', 'off', true)`
)

// pgBeginner gives Watermill's publisher and subscriber the pool.
//
// The subscriber wants to begin a transaction, keep it while a message is
// handled, and commit. It gets one that is none: the statement that takes a batch
// commits by itself, so nothing is locked and no connection is used while jobs are
// in workers' hands, a batch is only handed out once it is taken for certain, and
// that costs one round trip instead of four. It also mends that the subscriber
// does not look at an error that ends its rows, and takes an interrupted statement
// for an empty queue.
type pgBeginner struct {
	pool *pgxpool.Pool
	feed *pgFeed
	// async lets Postgres answer before what is published is on disk.
	async bool
}

var _ wsql.Beginner = pgBeginner{}

func (b pgBeginner) BeginTx(context.Context, *stdsql.TxOptions) (wsql.Tx, error) {
	return pgTake{b.feed}, nil
}

// ExecContext is how the publisher inserts.
func (b pgBeginner) ExecContext(ctx context.Context, query string, args ...any) (wsql.Result, error) {
	if !b.async {
		tag, err := b.pool.Exec(ctx, query, args...)
		return wsql.PgxResult{CommandTag: tag}, err
	}
	batch := &pgx.Batch{}
	batch.Queue(asyncSQL)
	batch.Queue(query, args...)
	return wsql.PgxResult{}, b.pool.SendBatch(ctx, batch).Close()
}

var errNotUsed = errors.New("watermill's publisher and subscriber do not do that")

func (pgBeginner) QueryContext(context.Context, string, ...any) (wsql.Rows, error) {
	return nil, errNotUsed
}

// pgTake stands for the transaction in which the subscriber takes a batch.
type pgTake struct{ feed *pgFeed }

var _ wsql.Tx = pgTake{}

// QueryContext takes the batch that was planned. A stop does not interrupt it:
// nobody would know then whether rows were taken.
func (t pgTake) QueryContext(ctx context.Context, query string, args ...any) (wsql.Rows, error) {
	if query == "" {
		return &pgBatch{}, nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), statementTimeout)
	defer cancel()
	id, err := t.feed.take(ctx, query, args)
	return &pgBatch{id: id}, err
}

// ExecContext would ack the batch; see pgOffsets.
func (pgTake) ExecContext(context.Context, string, ...any) (wsql.Result, error) {
	return wsql.PgxResult{}, nil
}

func (pgTake) Commit() error   { return nil }
func (pgTake) Rollback() error { return nil }

// pgBatch is the one row that Watermill sees: the name of a batch, or none.
type pgBatch struct{ id string }

func (b *pgBatch) Next() bool { return b.id != "" }

func (b *pgBatch) Scan(dest ...any) error {
	id, ok := dest[0].(*string)
	if !ok {
		return errNotUsed
	}
	*id, b.id = b.id, ""
	return nil
}

func (*pgBatch) Close() error { return nil }
