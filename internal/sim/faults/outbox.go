package faults

import (
	"context"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/internal/sim/oracle"
	"github.com/redrive/redrive/internal/sim/trace"
	"github.com/redrive/redrive/ports"
)

// Commits is what the inner store's transactions send to: at their commit, which is
// looked at before the queue has the jobs. What comes at any other time is out at once.
type Commits struct{ Queue *Queue }

var _ ports.Queue = Commits{}

// Enqueue implements ports.Queue.
func (c Commits) Enqueue(ctx context.Context, jobs []core.Job) (int, error) {
	e := c.Queue.Env
	if t := e.committing; t != nil {
		t.commit.Sent = append(t.commit.Sent, jobs...)
		return len(jobs), nil
	}
	e.Oracle.Enqueuing(jobs)
	return c.Queue.send(ctx, jobs, false)
}

// sent hands the queue what a transaction has sent, once the oracle knows of its commit.
func (s *Store) sent(t *tx, a *actorState) {
	jobs := t.commit.Sent
	if len(jobs) == 0 {
		return
	}
	if a != nil {
		a.committed = false // nothing is left to be done
		a.sent = append(a.sent[:0], jobs...)
	}
	s.Env.Oracle.Enqueuing(jobs)
	if _, err := s.Queue.send(context.Background(), jobs, false); err != nil {
		s.Env.Oracle.Fail(oracle.Kept, "the queue did not take what a transaction has sent: %v", err)
	}
}

// Outbox implements ports.OutboxTx.
func (t *tx) Outbox() ports.Outbox {
	if !t.sends {
		return nil
	}
	return txOutbox{t}
}

type txOutbox struct{ *tx }

// Send is no step: a transaction sends what it holds the lock of.
func (t txOutbox) Send(ctx context.Context, jobs []core.Job) error {
	if err := t.under(true, trace.Enqueue, ""); err != nil {
		return err
	}
	return ports.OutboxOf(t.inner).Send(ctx, jobs)
}
