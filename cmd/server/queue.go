package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"text/tabwriter"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/redrive/redrive/adapters/postgres"
	"github.com/redrive/redrive/adapters/watermillqueue"
	"github.com/redrive/redrive/ports"
)

// queueFlags say what carries jobs to the workers.
type queueFlags struct {
	QueueURL string `group:"queue" env:"QUEUE_URL" placeholder:"URL" help:"What carries jobs to workers: memory: (this process), postgres://… or nats://…. Default: the database, if there is one, else this process."`
}

// mostQueueLease is the longest that a queue keeps a job from others for a server
// that took it and has not claimed it: that takes milliseconds.
const mostQueueLease = 30 * time.Second

// openQueue opens the queue. Beside a database it uses that one's pool. A worker that
// is dead after lease is so for the queue as well: it would swallow what recovery
// sends again as long as it keeps the jobs for that worker.
func (f queueFlags) openQueue(ctx context.Context, database *pgxpool.Pool, lease time.Duration, log *slog.Logger) (*watermillqueue.Queue, error) {
	o := watermillqueue.Options{Log: log, Lease: min(lease, mostQueueLease)}
	if f.QueueURL == "" && database != nil {
		// Jobs and runs are in one log, so no job is lost of which more is known.
		o.CommitAsync = true
		return watermillqueue.OpenPostgres(database, o)
	}
	q, err := watermillqueue.Open(ctx, f.QueueURL, o)
	if err != nil {
		return nil, fmt.Errorf("cannot open the queue: %w; choose another with --queue-url", err)
	}
	return q, nil
}

// withOutbox lets the store's transactions send jobs themselves, where the queue is in its
// database.
func (f queueFlags) withOutbox(store ports.Store, queue *watermillqueue.Queue) ports.Store {
	inPostgres, ok := store.(*postgres.Store)
	if outbox := queue.Outbox(); ok && f.QueueURL == "" && outbox != nil {
		return inPostgres.WithOutbox(outbox)
	}
	return store
}

// queueCmd is what an operator asks of the queue.
type queueCmd struct {
	Dead    queueDeadCmd    `cmd:"" help:"List the messages that no server could read, with the reason."`
	Requeue queueRequeueCmd `cmd:"" help:"Send messages again that no server could read, for example after an upgrade."`
}

// deadLetterFlags say where dead letters are.
type deadLetterFlags struct {
	databaseFlags
	queueFlags
}

// with lends the dead letters to do.
func (f deadLetterFlags) with(ctx context.Context, log *slog.Logger, do func(watermillqueue.DeadLetters) error) (err error) {
	if f.QueueURL == "" {
		if kind, _, err := f.place(); err == nil && kind != inPostgres {
			return errors.New("the queue of this database is in its server's memory, and has no dead letters to list; set DATABASE_URL or QUEUE_URL to where messages are kept")
		}
		db, err := f.openMigrated(ctx)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, db.close()) }()
		return do(watermillqueue.PostgresDeadLetters(db.pool))
	}
	letters, closeQueue, err := watermillqueue.OpenDeadLetters(ctx, f.QueueURL, watermillqueue.Options{Log: log})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeQueue()) }()
	return do(letters)
}

type queueDeadCmd struct {
	deadLetterFlags

	Limit int `default:"100" help:"Most messages to list, oldest first."`
}

// Run prints a line for each dead letter.
func (c *queueDeadCmd) Run(ctx context.Context, to streams) error {
	if c.Limit < 1 {
		return errors.New("--limit must be 1 or more")
	}
	return c.with(ctx, slog.New(slog.NewTextHandler(to.err, nil)), func(letters watermillqueue.DeadLetters) error {
		list, err := letters.List(ctx, c.Limit)
		if err != nil {
			return err
		}
		table := tabwriter.NewWriter(to.out, 0, 0, 2, ' ', 0)
		fmt.Fprintln(table, "ID\tAT\tTENANT\tREASON\tDETAIL\tPAYLOAD")
		for i := range list {
			l := &list[i]
			fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%.80q\t%.80q\n", l.ID, l.At.UTC().Format(time.RFC3339), l.Tenant, l.Reason, l.Detail, l.Payload)
		}
		return table.Flush()
	})
}

type queueRequeueCmd struct {
	deadLetterFlags

	IDs []string `arg:"" name:"id" help:"IDs as 'redrive queue dead' lists them."`
}

// Run sends each again and says how many there were. IDs that are not there are
// an error, after the others were sent.
func (c *queueRequeueCmd) Run(ctx context.Context, to streams) error {
	return c.with(ctx, slog.New(slog.NewTextHandler(to.err, nil)), func(letters watermillqueue.DeadLetters) error {
		sent, err := letters.Requeue(ctx, c.IDs...)
		fmt.Fprintln(to.out, "sent again:", sent)
		if err == nil && sent < len(c.IDs) {
			err = fmt.Errorf("%d of %d are not among the dead letters; 'redrive queue dead' lists them", len(c.IDs)-sent, len(c.IDs))
		}
		return err
	})
}
