package embedder

import (
	"context"
	"encoding/json"
	"slices"
	"sync"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// Queue is a ports.Queue and its ports.Feed in the memory of one process. It serves the
// templates of the tenants in turns, one message each, so that a tenant with a large run
// is in no other's way.
type Queue struct {
	mu          sync.Mutex
	lanes       map[ports.TemplateKey][]*parcel // what waits; no lane is empty
	turns       []ports.TemplateKey             // of all lanes, next first
	outstanding map[string]*parcel              // by what is in it: waiting or delivered, not answered
	changed     chan struct{}                   // closed and replaced when there may be something to receive
	closed      bool
}

// parcel is a message: jobs that travel together.
type parcel struct {
	name string
	jobs []core.Job
}

var (
	_ ports.Queue = (*Queue)(nil)
	_ ports.Feed  = (*Queue)(nil)
)

// NewQueue makes an empty queue.
func NewQueue() *Queue {
	return &Queue{lanes: map[ports.TemplateKey][]*parcel{}, outstanding: map[string]*parcel{}, changed: make(chan struct{})}
}

// Enqueue implements ports.Queue: all or nothing.
func (q *Queue) Enqueue(ctx context.Context, jobs []core.Job) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	var parcels []*parcel
	for _, m := range ports.Messages(jobs) {
		p, err := pack(m)
		if err != nil {
			return 0, err
		}
		parcels = append(parcels, p)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return 0, ports.ErrClosed
	}
	for _, p := range parcels {
		if q.outstanding[p.name] == nil {
			q.outstanding[p.name] = p
			q.wait(p, false)
		}
	}
	return len(jobs), nil
}

func pack(jobs []core.Job) (*parcel, error) {
	name, err := json.Marshal(jobs)
	return &parcel{name: string(name), jobs: ports.CloneJobs(jobs)}, err
}

// wait puts a parcel at the end of its lane, or at the head. The caller holds the mutex.
func (q *Queue) wait(p *parcel, first bool) {
	lane := ports.TemplateKey{Tenant: p.jobs[0].Tenant, Template: p.jobs[0].Template}
	if len(q.lanes[lane]) == 0 {
		q.turns = append(q.turns, lane)
	}
	if first {
		q.lanes[lane] = slices.Insert(q.lanes[lane], 0, p)
	} else {
		q.lanes[lane] = append(q.lanes[lane], p)
	}
	q.wake()
}

func (q *Queue) wake() {
	close(q.changed)
	q.changed = make(chan struct{})
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

func (q *Queue) take(limit int, skip ports.Skip) (got []ports.Delivery, changed <-chan struct{}, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return nil, nil, ports.ErrClosed
	}
	for jobs := 0; jobs < limit; {
		turn := slices.IndexFunc(q.turns, func(lane ports.TemplateKey) bool { return !skip.Skips(q.lanes[lane][0].jobs[0]) })
		if turn < 0 {
			break
		}
		lane := q.turns[turn]
		q.turns = slices.Delete(q.turns, turn, turn+1)
		p := q.lanes[lane][0]
		if q.lanes[lane] = q.lanes[lane][1:]; len(q.lanes[lane]) > 0 {
			q.turns = append(q.turns, lane)
		} else {
			delete(q.lanes, lane)
		}
		got, jobs = append(got, &delivery{queue: q, parcel: p, open: true}), jobs+len(p.jobs)
	}
	return got, q.changed, nil
}

// Close ends every Receive. What waits is lost; Redrive's recovery sends it again.
func (q *Queue) Close() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.wake()
	return nil
}

// delivery is a parcel in a worker's hands, guarded by the queue's mutex.
type delivery struct {
	queue  *Queue
	parcel *parcel
	open   bool // not answered
}

// Jobs implements ports.Delivery.
func (d *delivery) Jobs() []core.Job {
	d.queue.mu.Lock()
	defer d.queue.mu.Unlock()
	return ports.CloneJobs(d.parcel.jobs)
}

// Release implements ports.Delivery.
func (d *delivery) Release(ctx context.Context, jobs []core.Job) error {
	if err := ctx.Err(); err != nil || len(jobs) == 0 {
		return err
	}
	q := d.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	if !d.open {
		return ports.ErrNotInDelivery
	}
	kept, released, err := ports.SplitMessage(d.parcel.jobs, jobs)
	if err != nil {
		return err
	}
	passed, err := pack(released)
	if err != nil {
		return err
	}
	d.settle()
	if d.open = len(kept) > 0; d.open {
		if d.parcel, err = pack(kept); err != nil {
			return err
		}
		q.outstanding[d.parcel.name] = d.parcel
	}
	q.outstanding[passed.name] = passed
	q.wait(passed, true)
	return nil
}

// Ack implements ports.Delivery.
func (d *delivery) Ack(context.Context) error {
	d.queue.mu.Lock()
	defer d.queue.mu.Unlock()
	if d.open {
		d.settle()
	}
	return nil
}

// Nack implements ports.Delivery, without a back-off: Redrive pauses by itself.
func (d *delivery) Nack(context.Context) error {
	d.queue.mu.Lock()
	defer d.queue.mu.Unlock()
	if d.open {
		d.open = false
		d.queue.wait(d.parcel, false)
	}
	return nil
}

// settle ends the delivery: the same jobs may be enqueued again. The caller holds the
// mutex.
func (d *delivery) settle() {
	d.open = false
	if q := d.queue; q.outstanding[d.parcel.name] == d.parcel {
		delete(q.outstanding, d.parcel.name)
	}
}
