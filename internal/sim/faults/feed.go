package faults

import (
	"context"
	"time"

	"github.com/redrive/redrive/internal/sim/trace"
	"github.com/redrive/redrive/ports"
)

// Feed is the queue as one process receives from it.
type Feed struct {
	Queue   *Queue
	Process int
	// Old says that the process is one of the release before, which cannot read what
	// the new one sends.
	Old *bool
}

var _ ports.Feed = Feed{}

// Receive implements ports.Feed. What waits is woken by Queue.Wake, and looks then
// whether its ctx has ended.
func (f Feed) Receive(ctx context.Context, limit int, skip ports.Skip) ([]ports.Delivery, error) {
	return f.ReceiveUntil(ctx, limit, skip, time.Time{})
}

// ReceiveUntil is Receive that ends with context.DeadlineExceeded at a time; zero for
// never. A deadline of ctx would go by another clock than the world's.
func (f Feed) ReceiveUntil(ctx context.Context, limit int, skip ports.Skip, deadline time.Time) ([]ports.Delivery, error) {
	q, e := f.Queue, f.Queue.Env
	e.outsideTx(trace.Receive)
	e.step(trace.Receive, "", "")
	for {
		if e.Over {
			return nil, ports.ErrClosed
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if got := f.take(max(limit, 1), skip); len(got) > 0 {
			return got, nil
		}
		if !deadline.IsZero() && !deadline.After(e.Sched.Now) {
			return nil, context.DeadlineExceeded
		}
		me := e.Sched.Current()
		q.waiting |= 1 << me
		alive := false
		if until := f.earliest(skip, deadline); until.IsZero() {
			alive = e.Sched.TryBlock()
		} else {
			alive = e.Sched.TrySleep(until)
		}
		q.waiting &^= 1 << me
		if !alive {
			return nil, ports.ErrClosed
		}
	}
}

// earliest is when the first delayed message may be delivered, or the deadline if that
// is earlier; zero if there is neither.
func (f Feed) earliest(skip ports.Skip, deadline time.Time) time.Time {
	first := deadline
	for _, m := range f.Queue.pool {
		if f.reads(m) && !skip.Skips(m.jobs[0]) && (first.IsZero() || m.until.Before(first)) {
			first = m.until
		}
	}
	return first
}

// take chooses messages until they have as many jobs as asked for; some may be lost,
// repeated or put off on the way.
func (f Feed) take(limit int, skip ports.Skip) []ports.Delivery {
	q, e := f.Queue, f.Queue.Env
	var got []ports.Delivery
	for jobs := 0; jobs < limit; {
		deliverable := 0
		for _, m := range q.pool {
			if f.deliverable(m, skip) {
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
		at := f.nth(nth, skip)
		m := q.pool[at]
		fault := e.fault(MessageFault, m.jobs[0].Run)
		if fault != 0 {
			e.carry(&m.jobs[0])
		}
		switch fault {
		case MessageLost:
			q.remove(at)
			m.forget()
			continue
		case MessageTwice:
			again := q.newMessage(m.Jobs(), nil)
			again.old = m.old
			q.pool = append(q.pool, again)
		case MessageDelayed:
			m.until = e.Sched.Now.Add(delayed)
			continue
		}
		q.remove(at)
		m.out, m.process = true, f.Process
		q.out = append(q.out, m)
		m.delivered()
		got = append(got, m)
		jobs += len(m.jobs)
	}
	return got
}

func (m *message) delivered() {
	e := m.queue.Env
	for i := range m.jobs {
		e.event(trace.Deliver, trace.NoOp, m.jobs[i].Tenant, m.jobs[i].Run, m.id)
		if e.Tape.Recording {
			e.say(string(m.jobs[i].ID))
			e.carry(&m.jobs[i])
		}
		e.Oracle.Delivered(m.jobs[i])
	}
}

func (f Feed) reads(m *message) bool { return m.old || !*f.Old }

func (f Feed) deliverable(m *message, skip ports.Skip) bool {
	return f.reads(m) && !m.until.After(f.Queue.Env.Sched.Now) && !skip.Skips(m.jobs[0])
}

// nth finds the place of the nth deliverable message.
func (f Feed) nth(n int, skip ports.Skip) int {
	for at, m := range f.Queue.pool {
		if !f.deliverable(m, skip) {
			continue
		}
		if n == 0 {
			return at
		}
		n--
	}
	panic("faults: no such message")
}
