package memory

import (
	"context"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// WithOutbox lets the store's transactions send jobs to a queue, see ports.Outbox. The
// queue is asked at the commit, which fails if it does, and must not call the store.
func WithOutbox(q ports.Queue) Option { return func(s *Store) { s.outbox = q } }

// Outbox implements ports.OutboxTx.
func (t *tx) Outbox() ports.Outbox {
	if t.own == t.serial && t.store.outbox == nil {
		return nil
	}
	return outbox{t}
}

type outbox struct{ t *tx }

func (o outbox) Send(ctx context.Context, jobs []core.Job) error {
	if err := o.t.writable(ctx); err != nil {
		return err
	}
	if len(jobs) > 0 {
		w := o.t.writes()
		w.jobs = append(w.jobs, ports.CloneJobs(jobs)...)
	}
	return nil
}
