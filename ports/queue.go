package ports

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/redrive/redrive/core"
)

// ErrClosed says that the queue was closed.
var ErrClosed = errors.New("queue closed")

// Queue carries hints that jobs can be claimed. It may lose, repeat, reorder
// and delay them; claims are fenced by epoch and recovery closes the gaps. Where the
// store's transactions have an Outbox, the use cases do not call it.
type Queue interface {
	// Enqueue hands jobs to the queue and says how many it has taken. They travel in
	// messages, see Messages. A message with exactly the jobs of one that is
	// outstanding counts as taken and is not carried twice; one that overlaps may be,
	// which costs refused claims. The same job ID with another epoch is another job.
	// With an error, or with fewer than all taken, some may have got out nevertheless.
	// No jobs is a success.
	Enqueue(ctx context.Context, jobs []core.Job) (accepted int, err error)
}

// Feed is the other end of a Queue.
type Feed interface {
	// Receive waits for at least one message. limit counts jobs: it gives messages
	// until they have that many, so that only the last one may have more than what is
	// left of the limit. It fails with ctx's error, or ErrClosed. Several goroutines
	// may receive at once; a delivery goes to one of them.
	//
	// skip names what to leave in the queue for now. A feed that cannot look past
	// the head of a line may deliver it nevertheless, or wait with what is behind
	// it. A caller that wants to skip something else cancels ctx and receives again.
	Receive(ctx context.Context, limit int, skip Skip) ([]Delivery, error)
}

// Skip names jobs that a worker does not want now: those of a tenant or template
// that is at its limit of concurrency, or whose executor is down. The zero value
// skips nothing.
type Skip struct {
	Tenants   []core.TenantID
	Templates []TemplateKey
}

// Skips reports whether the job is one of those.
func (s Skip) Skips(j core.Job) bool {
	return slices.Contains(s.Tenants, j.Tenant) || slices.Contains(s.Templates, TemplateKey{j.Tenant, j.Template})
}

// TemplateKey names a template with its tenant.
type TemplateKey struct {
	Tenant   core.TenantID
	Template core.TemplateID
}

// Delivery is a message in a worker's hands: jobs of one run, epoch and template.
// Ack it once their claims are durable (or turned out to have no effect), never
// before and never as late as after the execution. A delivery that is neither acked
// nor nacked comes again after the queue's lease.
type Delivery interface {
	// Jobs are what is still in this delivery; the caller may change the slice. After
	// an answer, or once all were released, they are the last that it had.
	Jobs() []core.Job
	// Release passes some of its jobs on: they are delivered again at once, to any
	// server, as a message of their own, and this does not count as a failed delivery.
	// The delivery keeps the others, and Ack, Nack and redelivery concern those alone;
	// if it has none left, it is answered. No jobs is a success, jobs that it does not
	// have are ErrNotInDelivery. After an error all jobs are still in this delivery,
	// and may have got out as well.
	Release(ctx context.Context, jobs []core.Job) error
	// Ack tells the queue to forget the jobs that the delivery still has. A repeat has
	// no effect.
	Ack(ctx context.Context) error
	// Nack tells the queue to deliver them again, to any server, after a back-off that
	// grows with the number of deliveries. A repeat, or a nack after an ack, has no
	// effect.
	Nack(ctx context.Context) error
}

// ErrNotInDelivery says that jobs were to be released that the delivery does not have.
var ErrNotInDelivery = errors.New("the delivery does not have these jobs")

// QueueStats is an optional interface of a Queue, for operators.
type QueueStats interface {
	// Stats says how much there is in the queue. It may cost a few requests and, where
	// jobs are counted by looking at them, a look at some ten thousand: tens of
	// milliseconds, something to ask every few seconds and not for every job. The
	// numbers need not be of one moment. It fails with ErrUnknownDepth where the queue
	// cannot tell, and with ErrClosed.
	Stats(ctx context.Context) (QueueDepth, error)
}

// ErrUnknownDepth says that a queue cannot tell what is in it.
var ErrUnknownDepth = errors.New("the queue cannot tell how many jobs it has")

// QueueDepth is what is in a queue, for all servers together if they share it.
type QueueDepth struct {
	// Waiting are the jobs that can be delivered.
	Waiting Count
	// Taken are those that were delivered and neither acked nor given back, or were
	// given back a moment ago and wait until they are delivered again.
	Taken Count
	// Dead are messages that no server could read.
	Dead Count
	// Oldest is when the job that waits for the longest time was enqueued; of jobs
	// that were enqueued together it may be the time of the first. Zero if none waits
	// or it is not known.
	Oldest time.Time
}

// Count is a number, or where counting stopped.
type Count struct {
	N    int
	More bool // there are more than N
}
