package watermillqueue

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/message/router/middleware"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// holder is what keeps a message until it is answered: a row of Postgres, a message of
// a broker, or nothing but the memory of this process.
type holder interface {
	// settle ends the message; jobs are what it still has.
	settle(jobs []core.Job, a answer) error
	// release lets a message of some jobs be delivered, and keeps the others, of which
	// there is at least one.
	release(ctx context.Context, kept, released []core.Job) error
	// toDeadLetter makes a dead letter of it.
	toDeadLetter(ctx context.Context, l DeadLetter) error
}

// answer is what becomes of a message that was delivered.
type answer int32

const (
	unanswered answer = iota
	acked             // over
	nacked            // deliver it again, after a moment
	released          // deliver it again, at once, and do not count the delivery
	unwanted          // no worker has looked at it, or the queue was closed; as released, but there is no hurry
	expired           // not answered in time; it is delivered again by itself
)

// delivery is a message on its way to a worker or in its hands.
type delivery struct {
	key      ports.TemplateKey
	metadata message.Metadata
	since    time.Time // when it was sent, as far as this is known
	holder   holder
	inbox    *inbox
	arrived  time.Time // guarded by inbox.mu

	mu    sync.Mutex // held while an answer is on its way, so that they come one after the other
	jobs  []core.Job // never none; changed only once it was received
	state answer
}

var _ ports.Delivery = (*delivery)(nil)

func newDelivery(box *inbox, jobs []core.Job, h holder, metadata message.Metadata, since time.Time) *delivery {
	return &delivery{
		key: ports.TemplateKey{Tenant: jobs[0].Tenant, Template: jobs[0].Template}, jobs: jobs,
		holder: h, inbox: box, metadata: metadata, since: since,
	}
}

func (d *delivery) Jobs() []core.Job {
	d.mu.Lock()
	defer d.mu.Unlock()
	return ports.CloneJobs(d.jobs)
}

func (d *delivery) Release(ctx context.Context, jobs []core.Job) error {
	if len(jobs) == 0 {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.state != unanswered {
		return errors.Join(ports.ErrNotInDelivery, d.late())
	}
	kept, out, err := ports.SplitMessage(d.jobs, jobs)
	if err != nil {
		return err
	}
	if len(kept) == 0 {
		return d.end(released)
	}
	if err := d.holder.release(ctx, kept, out); err != nil {
		return err
	}
	d.jobs = kept
	return nil
}

func (d *delivery) Ack(context.Context) error { return d.answer(acked) }

func (d *delivery) Nack(context.Context) error { return d.answer(nacked) }

// answer settles the delivery, the first time.
func (d *delivery) answer(a answer) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.state != unanswered {
		return d.late()
	}
	return d.end(a)
}

// end settles the delivery. The caller holds the mutex.
func (d *delivery) end(a answer) error {
	d.state = a
	d.inbox.forget(d)
	return d.holder.settle(d.jobs, a)
}

// late says whether an answer that has no effect is an error. The caller holds the
// mutex.
func (d *delivery) late() error {
	switch d.state {
	case unwanted:
		return ports.ErrClosed
	case expired:
		return errLapsed
	case unanswered, acked, nacked, released:
	}
	return nil
}

// errLapsed says that an answer comes too late.
var errLapsed = errors.New("the delivery was not answered in time; its jobs are delivered again")

// giveBack ends a delivery that no worker answered.
func (d *delivery) giveBack(a answer) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.state != unanswered {
		return nil
	}
	return d.end(a)
}

// lapse takes the delivery back: its backend delivers the message again.
func (d *delivery) lapse() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.state == unanswered {
		d.state = expired
		d.inbox.forget(d)
	}
}

// CorrelationID gives the correlation ID that a delivery of this package came
// with; empty for any other.
func CorrelationID(d ports.Delivery) string {
	own, ok := d.(*delivery)
	if !ok {
		return ""
	}
	return own.metadata.Get(middleware.CorrelationIDMetadataKey)
}

type correlationKey struct{}

// WithCorrelationID lets jobs that are enqueued under ctx carry this ID, which
// logs show on the other side. Without one Enqueue makes one up.
func WithCorrelationID(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, correlationKey{}, id)
}
