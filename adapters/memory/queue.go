package memory

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// Queue is a ports.Queue and its ports.Feed, first in, first out. It grows with
// what is waiting; what was acked leaves no trace.
type Queue struct {
	mu          sync.Mutex
	waiting     []*delivery
	outstanding map[messageKey]struct{} // waiting or delivered and not acked
	changed     chan struct{}           // closed when there may be something to receive; nil if nobody waits
	closed      bool
}

// messageKey is what the queue deduplicates by.
type messageKey struct {
	tenant core.TenantID
	job    core.JobID
	epoch  core.Epoch
}

var (
	_ ports.Queue      = (*Queue)(nil)
	_ ports.Feed       = (*Queue)(nil)
	_ ports.QueueStats = (*Queue)(nil)
)

// NewQueue makes an empty queue.
func NewQueue() *Queue {
	return &Queue{outstanding: map[messageKey]struct{}{}}
}

// maxTogether is how many messages share memory, which is free again when all of
// them are.
const maxTogether = 16

// Enqueue implements ports.Queue: all or nothing.
func (q *Queue) Enqueue(ctx context.Context, jobs []core.Job) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return 0, ports.ErrClosed
	}
	now := time.Now()
	made := make([]delivery, 0, min(len(jobs), maxTogether))
	for _, job := range jobs {
		key := messageKey{job.Tenant, job.ID, job.Epoch}
		if _, there := q.outstanding[key]; there {
			continue
		}
		q.outstanding[key] = struct{}{}
		job.Files = slices.Clone(job.Files)
		if len(made) == cap(made) {
			made = make([]delivery, 0, maxTogether)
		}
		made = append(made, delivery{queue: q, key: key, job: job, since: now})
		q.waiting = append(q.waiting, &made[len(made)-1])
	}
	q.wake()
	return len(jobs), nil
}

// Receive implements ports.Feed. It looks past everything that is skipped.
func (q *Queue) Receive(ctx context.Context, limit int, skip ports.Skip) ([]ports.Delivery, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		got, changed, err := q.take(limit, skip)
		if err != nil || len(got) > 0 {
			return got, err
		}
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
}

func (q *Queue) take(limit int, skip ports.Skip) ([]ports.Delivery, <-chan struct{}, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return nil, nil, ports.ErrClosed
	}
	limit = max(limit, 1)
	got := make([]ports.Delivery, 0, min(limit, len(q.waiting)))
	var passed []*delivery // over, to stay at the head
	looked := 0
	for ; looked < len(q.waiting) && len(got) < limit; looked++ {
		d := q.waiting[looked]
		if skip.Skips(d.job) {
			passed = append(passed, d)
			continue
		}
		d.out = true
		got = append(got, d)
	}
	copy(q.waiting[len(got):looked], passed)
	clear(q.waiting[:len(got)]) // or the delivered would be kept alive by the array
	q.waiting = q.waiting[len(got):]
	if len(got) == 0 && q.changed == nil {
		q.changed = make(chan struct{})
	}
	return got, q.changed, nil
}

// Len counts the jobs that wait to be delivered.
func (q *Queue) Len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.waiting)
}

// Stats implements ports.QueueStats. It looks at every job that waits.
func (q *Queue) Stats(ctx context.Context) (ports.QueueDepth, error) {
	if err := ctx.Err(); err != nil {
		return ports.QueueDepth{}, err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return ports.QueueDepth{}, ports.ErrClosed
	}
	depth := ports.QueueDepth{
		Waiting: ports.Count{N: len(q.waiting)},
		Taken:   ports.Count{N: len(q.outstanding) - len(q.waiting)},
	}
	for _, d := range q.waiting { // what was given back stands behind younger ones
		if depth.Oldest.IsZero() || d.since.Before(depth.Oldest) {
			depth.Oldest = d.since
		}
	}
	return depth, nil
}

// Waiting lists the jobs that wait to be delivered, next first.
func (q *Queue) Waiting() []core.Job {
	q.mu.Lock()
	defer q.mu.Unlock()
	jobs := make([]core.Job, len(q.waiting))
	for i, d := range q.waiting {
		jobs[i] = d.job
	}
	return jobs
}

// Close ends every Receive with ports.ErrClosed and refuses new jobs. What was
// waiting is lost; recovery sends it again to whatever queue comes next.
func (q *Queue) Close() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.wake()
	return nil
}

// wake lets everybody who waits look again. The caller holds the mutex.
func (q *Queue) wake() {
	if q.changed != nil {
		close(q.changed)
		q.changed = nil
	}
}

// delivery is a message, waiting or delivered.
type delivery struct {
	queue *Queue
	key   messageKey
	job   core.Job
	since time.Time // when it was enqueued
	out   bool      // delivered, and neither acked nor nacked yet; guarded by queue.mu
}

func (d *delivery) Job() core.Job {
	job := d.job
	job.Files = slices.Clone(job.Files)
	return job
}

func (d *delivery) Ack(context.Context) error {
	d.queue.mu.Lock()
	defer d.queue.mu.Unlock()
	if d.out {
		d.out = false
		delete(d.queue.outstanding, d.key)
	}
	return nil
}

func (d *delivery) Nack(context.Context) error {
	d.queue.mu.Lock()
	defer d.queue.mu.Unlock()
	if d.out {
		d.out = false
		again := &delivery{queue: d.queue, key: d.key, job: d.job, since: d.since} // a new one: this one is spent
		d.queue.waiting = append(d.queue.waiting, again)
		d.queue.wake()
	}
	return nil
}
