package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// Outbox is a queue in the store's own database.
type Outbox interface {
	// Sending gives the statement that puts jobs into the queue. It is run in the
	// transaction that decided to send them, and must not fail for what is there already.
	Sending(ctx context.Context, jobs []core.Job) (sql string, args []any, err error)
	// Sent is told of jobs whose transaction was committed, or may have been, so that they
	// are received at once. It does not wait for anything.
	Sent(jobs []core.Job)
}

// WithOutbox gives a store on the same database whose transactions send jobs by o, see
// ports.Outbox.
func (s *Store) WithOutbox(o Outbox) *Store {
	with := *s
	with.outbox = o
	return &with
}

var _ ports.OutboxTx = (*tx)(nil)

// Outbox implements ports.OutboxTx.
func (t *tx) Outbox() ports.Outbox {
	if t.outbox == nil {
		return nil
	}
	return outbox{t}
}

type outbox struct{ t *tx }

func (o outbox) Send(ctx context.Context, jobs []core.Job) error {
	if err := o.t.writable(); err != nil || len(jobs) == 0 {
		return err
	}
	batch := &pgx.Batch{}
	if err := o.t.queueJobs(ctx, batch, jobs); err != nil {
		return err
	}
	return o.t.batch(ctx, batch)
}

// queueJobs queues what sends jobs.
func (t *tx) queueJobs(ctx context.Context, batch *pgx.Batch, jobs []core.Job) error {
	if len(jobs) == 0 {
		return nil
	}
	sql, args, err := t.outbox.Sending(ctx, jobs)
	if err != nil {
		t.failed = err
		return err
	}
	batch.Queue(sql, args...)
	t.sent = append(t.sent, jobs...)
	return nil
}
