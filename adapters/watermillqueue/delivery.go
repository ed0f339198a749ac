package watermillqueue

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/message/router/middleware"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// parcel is what a message carries for one job, and who is told of its end.
type parcel struct {
	job       *core.Job // if it was not bytes
	messageID string
	payload   []byte
	metadata  message.Metadata
	lane      int
	origin    string // topic or table
	holder    holder
	tag       any // the holder's own
}

// open reads the job; its errors are *unreadable.
func (p *parcel) open() (core.Job, error) {
	if p.job != nil {
		return *p.job, nil
	}
	return decodeJob(p.payload)
}

// holder keeps a job until it is answered.
type holder interface {
	settle(p *parcel, a answer) error
	// bury makes a dead letter of it.
	bury(ctx context.Context, p *parcel, l DeadLetter) error
}

// answer is what becomes of a job that was delivered.
type answer int32

const (
	unanswered answer = iota
	acked             // over
	nacked            // deliver it again, after a moment
	released          // deliver it again, at once: nobody has looked at it
	lapsed            // not answered in time; it is delivered again
)

// delivery is a job on its way to a worker or in its hands.
type delivery struct {
	job core.Job
	parcel
	inbox   *inbox
	arrived time.Time // guarded by inbox.mu
	state   atomic.Int32
}

var _ ports.Delivery = (*delivery)(nil)

func (d *delivery) Jobs() []core.Job { return ports.CloneJobs([]core.Job{d.job}) }

// Release passes on the one job of a message.
func (d *delivery) Release(_ context.Context, jobs []core.Job) error {
	if len(jobs) == 0 {
		return nil
	}
	if _, _, err := ports.SplitMessage([]core.Job{d.job}, jobs); err != nil {
		return err
	}
	if answer(d.state.Load()) != unanswered {
		return ports.ErrNotInDelivery
	}
	return d.answer(released)
}

func (d *delivery) Ack(context.Context) error { return d.answer(acked) }

func (d *delivery) Nack(context.Context) error { return d.answer(nacked) }

// answer settles the delivery, the first time.
func (d *delivery) answer(a answer) error {
	if !d.state.CompareAndSwap(int32(unanswered), int32(a)) {
		switch answer(d.state.Load()) {
		case released:
			return ports.ErrClosed // it was given back by Close
		case lapsed:
			return errLapsed
		case unanswered, acked, nacked:
		}
		return nil
	}
	d.inbox.forget(d)
	return d.holder.settle(&d.parcel, a)
}

// errLapsed says that an answer comes too late.
var errLapsed = errors.New("the delivery was not answered in time; the job is delivered again")

// lapse takes the delivery back: its backend delivers the job again.
func (d *delivery) lapse() {
	if d.state.CompareAndSwap(int32(unanswered), int32(lapsed)) {
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
