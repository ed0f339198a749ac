package faults

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

// Reset empties the queue.
func (q *Queue) Reset(inner *memory.Queue) {
	q.Inner, q.pool, q.out, q.waiting, q.last, q.used = inner, q.pool[:0], q.out[:0], 0, 0, 0
}

// Outlet is the queue as one process sends to it.
type Outlet struct {
	Queue *Queue
	// Old says that the process is one of the release before, which sends each job by
	// itself, in a form that both releases read.
	Old *bool
}

var _ ports.Queue = Outlet{}

// Enqueue implements ports.Queue.
func (o Outlet) Enqueue(ctx context.Context, jobs []core.Job) (int, error) {
	q, e := o.Queue, o.Queue.Env
	run := core.RunID("")
	if len(jobs) > 0 {
		run = jobs[0].Run
	}
	e.outsideTx(trace.Enqueue)
	e.step(trace.Enqueue, "", run)
	e.Oracle.Step = e.Sched.Steps
	e.Oracle.Enqueuing(jobs)
	if a := e.actor(); a != nil {
		e.Oracle.EnqueuedBeside(a.sent, jobs)
	}
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
		_, err := q.send(ctx, jobs, *o.Old)
		return 0, errors.Join(errQueue, err)
	case EnqueueHalf:
		n, err := q.send(ctx, jobs[:half], *o.Old)
		return n, errors.Join(errQueue, err)
	case EnqueueShort:
		return q.send(ctx, jobs[:half], *o.Old)
	}
	n, err := q.send(ctx, jobs, *o.Old)
	if a := e.actor(); a != nil && err == nil {
		a.committed = false
		e.Oracle.Enqueued(jobs, a.use)
	}
	return n, err
}

func (q *Queue) send(ctx context.Context, jobs []core.Job, old bool) (n int, err error) {
	if len(jobs) == 0 {
		return 0, nil
	}
	if !old {
		n, err = q.hand(ctx, jobs, false)
	} else {
		for i := range jobs {
			var one int
			if one, err = q.hand(ctx, jobs[i:i+1], true); err != nil {
				break
			}
			n += one
		}
	}
	q.sent(jobs)
	return n, err
}

// hand gives jobs to the inner queue, and checks that it has kept them, and no more
// often than it must.
func (q *Queue) hand(ctx context.Context, jobs []core.Job, old bool) (int, error) {
	repeat := slices.ContainsFunc(q.pool, func(m *message) bool { return m.inner != nil && sameJobs(m.jobs, jobs) }) ||
		slices.ContainsFunc(q.out, func(m *message) bool { return m.inner != nil && sameJobs(m.jobs, jobs) })
	before := len(q.pool)
	n, err := q.Inner.Enqueue(ctx, jobs)
	if err := q.fill(ctx, old); err != nil {
		return n, err
	}
	if err != nil || n != len(jobs) {
		return n, err
	}
	if got := len(q.pool) - before; repeat && got > 0 {
		q.Env.Oracle.Fail(oracle.Kept, "the queue carries %d jobs of run %s in %d more messages, although a message of exactly these is outstanding", n, jobs[0].Run, got)
	}
	q.kept(jobs, "says that it has taken")
	return n, err
}

// kept checks that each job is in a message that the inner queue has not forgotten.
func (q *Queue) kept(jobs []core.Job, what string) {
	for i := range jobs {
		has := func(m *message) bool {
			return m.inner != nil && slices.ContainsFunc(m.jobs, func(j core.Job) bool { return sameJob(&j, &jobs[i]) })
		}
		if !slices.ContainsFunc(q.pool, has) && !slices.ContainsFunc(q.out, has) {
			q.Env.Oracle.Fail(oracle.Kept, "the queue %s job %s of epoch %d, which it does not have", what, jobs[i].ID, jobs[i].Epoch)
			return
		}
	}
}

// sent records that jobs are on their way.
func (q *Queue) sent(jobs []core.Job) {
	for i := range jobs {
		q.Env.event(trace.Send, trace.NoOp, jobs[i].Tenant, jobs[i].Run, int64(jobs[i].Epoch)<<16|int64(jobs[i].Files[0]))
		if q.Env.Tape.Recording {
			q.Env.say(string(jobs[i].ID))
			q.Env.carry(&jobs[i])
		}
	}
	q.Wake()
}

// Wake lets everybody look again who waits for a message.
func (q *Queue) Wake() {
	for rest := q.waiting; rest != 0; rest &= rest - 1 {
		q.Env.Sched.Wake(rest.At(0))
	}
	q.waiting = 0
}

// fill takes what the inner queue has into the pool.
func (q *Queue) fill(ctx context.Context, old bool) error {
	for q.Inner.Len() > 0 {
		deliveries, err := q.Inner.Receive(ctx, q.Inner.Len(), ports.Skip{})
		if err != nil {
			return err
		}
		for _, d := range deliveries {
			m := q.newMessage(d.Jobs(), d)
			m.old = old
			q.pool = append(q.pool, m)
		}
	}
	return nil
}

// Died redelivers what a process had in its hands when it died.
func (q *Queue) Died(process int) {
	for i := 0; i < len(q.out); {
		if m := q.out[i]; m.process == process {
			q.back(m, time.Time{})
			continue
		}
		i++
	}
}

// Lost empties the queue, which was in the memory of a process that died.
func (q *Queue) Lost() { q.Inner, q.pool, q.out = memory.NewQueue(), q.pool[:0], q.out[:0] }

// Held reports whether a process has a message that it has not answered.
func (q *Queue) Held(process int) bool {
	return slices.ContainsFunc(q.out, func(m *message) bool { return m.process == process })
}

func (q *Queue) remove(at int) { q.pool = slices.Delete(q.pool, at, at+1) }

// back puts a delivered message back at the end of the line, to be delivered again from a
// time on.
func (q *Queue) back(m *message, from time.Time) {
	ctx, before := context.Background(), len(q.pool)
	q.dropOut(m)
	if m.inner == nil {
		again := q.newMessage(m.jobs, nil)
		again.old = m.old
		q.pool = append(q.pool, again)
	} else {
		if err := errors.Join(m.inner.Nack(ctx), q.fill(ctx, m.old)); err != nil {
			q.Env.Oracle.Fail(oracle.Kept, "the queue did not take back a message: %v", err)
		}
		q.kept(m.jobs, "has to deliver again")
	}
	for _, again := range q.pool[before:] {
		again.until = from
	}
	q.Wake()
}

func (q *Queue) dropOut(m *message) {
	m.out = false
	if i := slices.Index(q.out, m); i >= 0 {
		q.out = slices.Delete(q.out, i, i+1)
	}
}
