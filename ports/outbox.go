package ports

import (
	"context"

	"github.com/redrive/redrive/core"
)

// Outbox is a queue as a transaction sends to it, where the store and the queue are one
// database. Jobs and the decision to send them are then committed together: no attempt is
// there whose jobs were not sent, and no job of an attempt that is not there.
type Outbox interface {
	// Send hands jobs to the queue with the commit of the transaction, as Queue.Enqueue
	// does: no feed sees them before, and a rollback sends nothing. Feeds are woken after
	// the commit, here and on other servers. No jobs is a success. After an error the
	// transaction can only be rolled back. ErrReadOnly inside View.
	Send(ctx context.Context, jobs []core.Job) error
}

// OutboxTx is an optional interface of a Tx. What wraps a Tx and leaves it out has the
// jobs enqueued after the commit, as with every other queue.
type OutboxTx interface {
	// Outbox gives nil if the store's transactions carry no jobs.
	Outbox() Outbox
}

// OutboxOf gives the outbox of a transaction, or nil.
func OutboxOf(tx Tx) Outbox {
	if t, ok := tx.(OutboxTx); ok {
		return t.Outbox()
	}
	return nil
}
