package memory

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// Queue is a ports.Queue and its ports.Feed, first in, first out. What is nacked
// waits again behind all others, without a back-off. The queue grows with what is
// waiting; what was acked leaves no trace.
type Queue struct {
	mu          sync.Mutex
	waiting     []*message
	outstanding map[messageKey]*message // waiting or delivered, and not acked
	jobs        int                     // of waiting
	taken       int                     // jobs that are delivered and not answered
	changed     chan struct{}           // closed when there may be something to receive; nil if no caller waits
	closed      bool
}

// message is jobs that travel together. It is in the queue or in one delivery.
type message struct {
	key   messageKey
	jobs  []core.Job
	since time.Time // when it was enqueued
}

// messageKey is what the queue deduplicates by.
type messageKey struct {
	tenant   core.TenantID
	run      core.RunID
	template core.TemplateID
	epoch    core.Epoch
	jobs     string
}

var (
	_ ports.Queue      = (*Queue)(nil)
	_ ports.Feed       = (*Queue)(nil)
	_ ports.QueueStats = (*Queue)(nil)
)

// NewQueue makes an empty queue.
func NewQueue() *Queue {
	return &Queue{outstanding: map[messageKey]*message{}}
}

// Enqueue implements ports.Queue: all or nothing.
func (q *Queue) Enqueue(ctx context.Context, jobs []core.Job) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	messages := ports.Messages(jobs)
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return 0, ports.ErrClosed
	}
	now := time.Now()
	for _, m := range messages {
		if m := q.add(m, now); m != nil {
			q.waiting = append(q.waiting, m)
			q.jobs += len(m.jobs)
		}
	}
	q.wake()
	return len(jobs), nil
}

// add makes a message of jobs; nil if there is one with exactly these. The caller
// holds the mutex.
func (q *Queue) add(jobs []core.Job, since time.Time) *message {
	key := keyOf(jobs)
	if q.outstanding[key] != nil {
		return nil
	}
	m := &message{key: key, jobs: ports.CloneJobs(jobs), since: since}
	q.outstanding[key] = m
	return m
}

func keyOf(jobs []core.Job) messageKey {
	var names strings.Builder
	for _, j := range jobs {
		names.WriteString(string(j.ID))
		for _, f := range j.Files {
			names.WriteByte(' ')
			names.WriteString(strconv.Itoa(f))
		}
		names.WriteByte('\n')
	}
	first := jobs[0]
	return messageKey{first.Tenant, first.Run, first.Template, first.Epoch, names.String()}
}

// forget lets the same jobs be enqueued again. The caller holds the mutex.
func (q *Queue) forget(m *message) {
	if q.outstanding[m.key] == m {
		delete(q.outstanding, m.key)
	}
}

// Receive implements ports.Feed. It looks past everything that is skipped.
func (q *Queue) Receive(ctx context.Context, limit int, skip ports.Skip) ([]ports.Delivery, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		got, changed, err := q.take(max(limit, 1), skip)
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
	var got []ports.Delivery
	var passed []*message // over, to stay at the head
	looked, jobs := 0, 0
	for ; looked < len(q.waiting) && jobs < limit; looked++ {
		m := q.waiting[looked]
		if skip.Skips(m.jobs[0]) {
			passed = append(passed, m)
			continue
		}
		jobs += len(m.jobs)
		got = append(got, &delivery{queue: q, message: m, open: true})
	}
	copy(q.waiting[len(got):looked], passed)
	clear(q.waiting[:len(got)]) // or the delivered would be kept alive by the array
	q.waiting = q.waiting[len(got):]
	q.jobs -= jobs
	q.taken += jobs
	if len(got) == 0 && q.changed == nil {
		q.changed = make(chan struct{})
	}
	return got, q.changed, nil
}

// Len counts the jobs that wait to be delivered.
func (q *Queue) Len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.jobs
}

// Stats implements ports.QueueStats. It looks at every message that waits.
func (q *Queue) Stats(ctx context.Context) (ports.QueueDepth, error) {
	if err := ctx.Err(); err != nil {
		return ports.QueueDepth{}, err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return ports.QueueDepth{}, ports.ErrClosed
	}
	depth := ports.QueueDepth{Waiting: ports.Count{N: q.jobs}, Taken: ports.Count{N: q.taken}}
	for _, m := range q.waiting { // what was nacked stands behind younger ones
		if depth.Oldest.IsZero() || m.since.Before(depth.Oldest) {
			depth.Oldest = m.since
		}
	}
	return depth, nil
}

// Waiting lists the jobs that wait to be delivered, next first.
func (q *Queue) Waiting() []core.Job {
	q.mu.Lock()
	defer q.mu.Unlock()
	jobs := make([]core.Job, 0, q.jobs)
	for _, m := range q.waiting {
		jobs = append(jobs, m.jobs...)
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

// wake lets every caller that waits look again. The caller holds the mutex.
func (q *Queue) wake() {
	if q.changed != nil {
		close(q.changed)
		q.changed = nil
	}
}

// delivery is a message in a worker's hands. Its fields are guarded by queue.mu.
type delivery struct {
	queue   *Queue
	message *message
	open    bool // not answered
}

var _ ports.Delivery = (*delivery)(nil)

func (d *delivery) Jobs() []core.Job {
	d.queue.mu.Lock()
	defer d.queue.mu.Unlock()
	return ports.CloneJobs(d.message.jobs)
}

// Release lets the jobs wait before all others.
func (d *delivery) Release(ctx context.Context, jobs []core.Job) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	q := d.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case len(jobs) == 0:
		return nil
	case !d.open:
		return ports.ErrNotInDelivery
	}
	kept, released, err := ports.SplitMessage(d.message.jobs, jobs)
	if err != nil {
		return err
	}
	whole := d.message
	q.forget(whole)
	if len(kept) == 0 {
		d.open = false
	} else if d.message = q.add(kept, whole.since); d.message == nil {
		// Another delivery or message has exactly these as well, and is the one that
		// counts when they are enqueued again.
		d.message = &message{key: keyOf(kept), jobs: kept, since: whole.since}
	}
	q.taken -= len(released)
	if m := q.add(released, whole.since); m != nil {
		q.waiting = slices.Insert(q.waiting, 0, m)
		q.jobs += len(m.jobs)
		q.wake()
	}
	return nil
}

func (d *delivery) Ack(context.Context) error {
	q := d.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	if d.open {
		d.open = false
		q.taken -= len(d.message.jobs)
		q.forget(d.message)
	}
	return nil
}

func (d *delivery) Nack(context.Context) error {
	q := d.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	if d.open {
		d.open = false
		q.taken -= len(d.message.jobs)
		q.jobs += len(d.message.jobs)
		q.waiting = append(q.waiting, d.message)
		q.wake()
	}
	return nil
}
