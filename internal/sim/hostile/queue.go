package hostile

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/redrive/redrive/adapters/memory"
	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/internal/sim/oracle"
	"github.com/redrive/redrive/internal/sim/sched"
	"github.com/redrive/redrive/internal/sim/trace"
	"github.com/redrive/redrive/ports"
)

var errQueue = errors.New("broker does not answer")

// delayed is how long a delayed message stays away.
const delayed = 10 * time.Minute

// Queue wraps the queue that all processes share: it loses, repeats, delays and
// reorders. What the inner queue gives out is kept in a pool, so that any message
// can be the next.
type Queue struct {
	Env   *Env
	Inner *memory.Queue

	pool    []*message
	out     []*message // delivered, neither acked nor nacked
	all     []*message // of this world and of earlier ones, to be used again
	used    int
	waiting sched.Set // actors that wait for a message
	last    int64
}

// message is one copy of a job.
type message struct {
	queue   *Queue
	id      int64
	job     core.Job
	inner   ports.Delivery // nil for a copy that the queue was not asked for
	until   time.Time      // delayed until then
	process int            // who has it
	out     bool
}

var _ ports.Queue = (*Queue)(nil)

// Reset empties the queue.
func (q *Queue) Reset(inner *memory.Queue) {
	q.Inner, q.pool, q.out, q.waiting, q.last, q.used = inner, q.pool[:0], q.out[:0], 0, 0, 0
}

// Enqueue implements ports.Queue.
func (q *Queue) Enqueue(ctx context.Context, jobs []core.Job) (int, error) {
	e := q.Env
	run := core.RunID("")
	if len(jobs) > 0 {
		run = jobs[0].Run
	}
	e.outsideTx(trace.Enqueue)
	e.step(trace.Enqueue, "", run)
	e.Oracle.Step = e.Sched.Steps
	e.Oracle.Enqueuing(jobs)
	half := len(jobs) / 2
	fault := e.fault(EnqueueFault, run)
	if a := e.actor(); a != nil && fault != 0 {
		a.undone = true
		e.Oracle.NotEnqueued(uint8(e.Sched.Current()))
	}
	switch fault {
	case EnqueueRefused:
		return 0, errQueue
	case EnqueueUnanswered:
		_, err := q.send(ctx, jobs)
		return 0, errors.Join(errQueue, err)
	case EnqueueHalf:
		n, err := q.send(ctx, jobs[:half])
		return n, errors.Join(errQueue, err)
	case EnqueueShort:
		return q.send(ctx, jobs[:half])
	}
	n, err := q.send(ctx, jobs)
	if a := e.actor(); a != nil && err == nil {
		a.committed = false
		e.Oracle.Enqueued(jobs, a.use)
	}
	return n, err
}

func (q *Queue) send(ctx context.Context, jobs []core.Job) (int, error) {
	if len(jobs) == 0 {
		return 0, nil
	}
	if err := q.fill(ctx); err != nil {
		return 0, err
	}
	missing := 0
	for i := range jobs {
		if !q.has(&jobs[i]) {
			missing++
		}
	}
	// Each job is a message of its own here.
	n, err := 0, error(nil)
	for i := range jobs {
		var taken int
		if taken, err = q.Inner.Enqueue(ctx, jobs[i:i+1]); err != nil {
			break
		}
		n += taken
	}
	if got := q.Inner.Len(); err == nil && n == len(jobs) && got != missing {
		q.Env.Oracle.Fail(oracle.Kept, "the queue says that it has taken %d jobs of run %s, %d of which it did not have; it has kept %d", n, jobs[0].Run, missing, got)
	}
	for i := range jobs {
		q.Env.event(trace.Send, trace.NoOp, jobs[i].Tenant, jobs[i].Run, int64(jobs[i].Epoch)<<16|int64(jobs[i].Files[0]))
		if q.Env.Tape.Recording {
			q.Env.say(string(jobs[i].ID))
			q.Env.carry(&jobs[i])
		}
	}
	q.wake()
	return n, err
}

// has reports whether the inner queue has not been told to forget a job.
func (q *Queue) has(j *core.Job) bool {
	is := func(m *message) bool {
		return m.inner != nil && m.job.Epoch == j.Epoch && m.job.ID == j.ID && m.job.Tenant == j.Tenant
	}
	return slices.ContainsFunc(q.pool, is) || slices.ContainsFunc(q.out, is)
}

// wake lets everybody look who waits for a message.
func (q *Queue) wake() {
	for rest := q.waiting; rest != 0; rest &= rest - 1 {
		q.Env.Sched.Wake(rest.At(0))
	}
	q.waiting = 0
}

// Wake lets everybody look again who waits for a message, also for what they skipped.
func (q *Queue) Wake() { q.wake() }

// Stop lets everybody go who waits for a message: the world ends.
func (q *Queue) Stop() { q.wake() }

// fill takes what the inner queue has into the pool.
func (q *Queue) fill(ctx context.Context) error {
	n := q.Inner.Len()
	if n == 0 {
		return nil
	}
	deliveries, err := q.Inner.Receive(ctx, n, ports.Skip{})
	for _, d := range deliveries {
		q.pool = append(q.pool, q.newMessage(d.Jobs()[0], d))
	}
	return err
}

func (q *Queue) newMessage(job core.Job, inner ports.Delivery) *message {
	if q.used == len(q.all) {
		q.all = append(q.all, &message{})
	}
	m := q.all[q.used]
	q.used++
	q.last++
	*m = message{queue: q, id: q.last, job: job, inner: inner}
	return m
}

// Feed is the queue as one process receives from it.
type Feed struct {
	Queue   *Queue
	Process int
	// Back are templates whose jobs are kept back, as of now: what waits for a
	// message goes by what it says meanwhile. Nil for none.
	Back *[]ports.TemplateKey
}

var _ ports.Feed = Feed{}

// Receive implements ports.Feed.
func (f Feed) Receive(ctx context.Context, limit int, skip ports.Skip) ([]ports.Delivery, error) {
	q, e := f.Queue, f.Queue.Env
	e.outsideTx(trace.Receive)
	e.step(trace.Receive, "", "")
	for {
		if e.Over {
			return nil, ports.ErrClosed
		}
		if err := q.fill(ctx); err != nil {
			return nil, err
		}
		if f.Back != nil {
			skip.Templates = *f.Back
		}
		got := f.take(max(limit, 1), skip)
		if len(got) > 0 {
			return got, nil
		}
		me := e.Sched.Current()
		if until, some := q.earliest(skip); some {
			q.waiting |= 1 << me
			if !e.Sched.TrySleep(until) {
				return nil, ports.ErrClosed
			}
			q.waiting &^= 1 << me
		} else {
			q.waiting |= 1 << me
			if !e.Sched.TryBlock() {
				return nil, ports.ErrClosed
			}
		}
	}
}

// earliest is when the first delayed message may be delivered.
func (q *Queue) earliest(skip ports.Skip) (until time.Time, some bool) {
	for _, m := range q.pool {
		if skip.Skips(m.job) {
			continue
		}
		if !some || m.until.Before(until) {
			until, some = m.until, true
		}
	}
	return until, some
}

// take chooses messages; some may be lost, repeated or put off on the way.
func (f Feed) take(limit int, skip ports.Skip) []ports.Delivery {
	q, e := f.Queue, f.Queue.Env
	var got []ports.Delivery
	for len(got) < limit {
		deliverable := 0
		for _, m := range q.pool {
			if q.deliverable(m, skip) {
				deliverable++
			}
		}
		if deliverable == 0 {
			return got
		}
		nth := 0
		if e.Faults && deliverable > 1 {
			if nth = e.Sched.Pick(OrderChoice, deliverable); nth > 0 {
				e.faulted(OrderChoice, nth, "")
			}
		}
		at := q.nth(nth, skip)
		m := q.pool[at]
		fault := e.fault(MessageFault, m.job.Run)
		if fault != 0 {
			e.carry(&m.job)
		}
		switch fault {
		case MessageLost:
			q.remove(at)
			q.forget(m)
			continue
		case MessageTwice:
			q.pool = append(q.pool, q.newMessage(m.job, nil))
		case MessageDelayed:
			m.until = e.Sched.Now.Add(delayed)
			continue
		}
		q.remove(at)
		m.out, m.process = true, f.Process
		q.out = append(q.out, m)
		e.event(trace.Deliver, trace.NoOp, m.job.Tenant, m.job.Run, m.id)
		if e.Tape.Recording {
			e.say(string(m.job.ID))
			e.carry(&m.job)
		}
		e.Oracle.Delivered(m.job)
		got = append(got, m)
	}
	return got
}

func (q *Queue) deliverable(m *message, skip ports.Skip) bool {
	return !m.until.After(q.Env.Sched.Now) && !skip.Skips(m.job)
}

// nth finds the place of the nth deliverable message.
func (q *Queue) nth(n int, skip ports.Skip) int {
	for at, m := range q.pool {
		if !q.deliverable(m, skip) {
			continue
		}
		if n == 0 {
			return at
		}
		n--
	}
	panic("hostile: no such message")
}

func (q *Queue) remove(at int) {
	q.pool = append(q.pool[:at], q.pool[at+1:]...)
}

// forget makes the inner queue forget a message, so that the same job can be
// enqueued again.
func (q *Queue) forget(m *message) {
	if m.inner != nil {
		if err := m.inner.Ack(context.Background()); err != nil {
			q.Env.Oracle.Fail(oracle.Stuck, "the queue did not forget a message: %v", err)
		}
		m.inner = nil
	}
}

// back puts a delivered message back at the end of the line.
func (q *Queue) back(m *message) {
	m.out = false
	q.dropOut(m)
	again := q.newMessage(m.job, m.inner)
	q.pool = append(q.pool, again)
	q.wake()
}

func (q *Queue) dropOut(m *message) {
	for i, o := range q.out {
		if o == m {
			q.out = append(q.out[:i], q.out[i+1:]...)
			return
		}
	}
}

// Died redelivers what a process had in its hands when it died.
func (q *Queue) Died(process int) {
	for i := 0; i < len(q.out); {
		if m := q.out[i]; m.process == process {
			q.back(m)
			continue
		}
		i++
	}
}

// Idle reports whether no message is under way.
func (q *Queue) Idle() bool { return len(q.pool) == 0 && len(q.out) == 0 && q.Inner.Len() == 0 }

// A message that was received is its own ports.Delivery; once it has been acked or
// nacked it is not out any more, and comes back as another message.
var _ ports.Delivery = (*message)(nil)

func (m *message) Jobs() []core.Job { return []core.Job{m.job} }

// Release passes on the one job that a message has.
func (m *message) Release(_ context.Context, jobs []core.Job) error {
	if len(jobs) > 0 && m.out {
		m.queue.back(m)
	}
	return nil
}

func (m *message) Ack(context.Context) error {
	q, e := m.queue, m.queue.Env
	e.step(trace.Ack, m.job.Tenant, m.job.Run)
	if !m.out {
		return nil
	}
	e.Oracle.Step = e.Sched.Steps
	e.Oracle.Acking(m.job)
	switch e.fault(AckFault, m.job.Run) {
	case AckLost:
		q.back(m)
		return errQueue
	case AckUnanswered:
		m.acked()
		return errQueue
	}
	m.acked()
	return nil
}

func (m *message) acked() {
	q := m.queue
	m.out = false
	q.dropOut(m)
	q.forget(m)
}

func (m *message) Nack(context.Context) error {
	q, e := m.queue, m.queue.Env
	e.step(trace.Nack, m.job.Tenant, m.job.Run)
	if !m.out {
		return nil
	}
	if e.fault(NackFault, m.job.Run) != 0 {
		// It comes back when the broker loses patience.
		q.back(m)
		q.pool[len(q.pool)-1].until = e.Sched.Now.Add(delayed)
		return errQueue
	}
	q.back(m)
	return nil
}
