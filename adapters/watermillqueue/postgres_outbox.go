package watermillqueue

import (
	"context"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// Outbox is a queue on Postgres for a store in the same database, whose transactions
// insert the messages of what they begin themselves.
type Outbox struct{ backend *pgBackend }

// Outbox gives nil unless the queue is on Postgres.
func (q *Queue) Outbox() *Outbox {
	if b, ok := q.backend.(*pgBackend); ok {
		return &Outbox{b}
	}
	return nil
}

// Sending gives the statement that inserts the messages of jobs.
//
// A message that was acked, and is not deleted yet, keeps the same one from being
// inserted. That is no loss: it was acked because none of its jobs can be claimed any
// more, so a transaction that holds their run's lock sends none of them under this epoch.
func (o *Outbox) Sending(ctx context.Context, jobs []core.Job) (sql string, args []any, err error) {
	messages, err := sealAll(ctx, ports.Messages(jobs), correlationOf(ctx))
	if err != nil {
		return "", nil, err
	}
	args, err = columnsOf(messages)
	return publishSQL, args, err
}

// Sent wakes who waits for these jobs, here and on other servers.
func (o *Outbox) Sent(jobs []core.Job) {
	flows := map[ports.TemplateKey]bool{}
	for _, j := range jobs {
		flows[ports.TemplateKey{Tenant: j.Tenant, Template: j.Template}] = true
	}
	o.backend.subscriber.learn(flows)
	o.backend.notifier.notify(flows)
}
