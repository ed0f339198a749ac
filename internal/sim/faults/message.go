package faults

import (
	"context"
	"slices"
	"time"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/internal/sim/oracle"
	"github.com/redrive/redrive/internal/sim/trace"
	"github.com/redrive/redrive/ports"
)

// message is one copy of jobs of a run. One that was received is its own
// ports.Delivery; once it has been acked or nacked it is not out any more, and comes
// back as another message.
type message struct {
	queue   *Queue
	id      int64
	tenant  core.TenantID
	run     core.RunID
	jobs    []core.Job     // none once all were released
	inner   ports.Delivery // nil for a copy that the queue was not asked for
	until   time.Time      // delayed until then
	process int            // who has it
	out     bool
	old     bool // sent by the release before, and read by both
}

var _ ports.Delivery = (*message)(nil)

func (q *Queue) newMessage(jobs []core.Job, inner ports.Delivery) *message {
	if q.used == len(q.all) {
		q.all = append(q.all, &message{})
	}
	m := q.all[q.used]
	q.used++
	q.last++
	*m = message{queue: q, id: q.last, tenant: jobs[0].Tenant, run: jobs[0].Run, jobs: jobs, inner: inner}
	return m
}

func sameJob(a, b *core.Job) bool {
	return a.ID == b.ID && a.Epoch == b.Epoch && a.Run == b.Run && a.Tenant == b.Tenant
}

func sameJobs(a, b []core.Job) bool {
	return slices.EqualFunc(a, b, func(x, y core.Job) bool { return sameJob(&x, &y) })
}

// Jobs implements ports.Delivery.
func (m *message) Jobs() []core.Job { return slices.Clone(m.jobs) }

// Ack implements ports.Delivery.
func (m *message) Ack(context.Context) error {
	q, e := m.queue, m.queue.Env
	e.step(trace.Ack, m.tenant, m.run)
	if !m.out {
		return nil
	}
	e.Oracle.Step = e.Sched.Steps
	for i := range m.jobs {
		e.Oracle.Acking(m.jobs[i])
	}
	fault := e.fault(AckFault, m.run)
	if fault == AckLost {
		q.back(m, time.Time{})
		return errQueue
	}
	q.dropOut(m)
	m.forget()
	if fault == AckUnanswered {
		return errQueue
	}
	return nil
}

// forget makes the inner queue forget a message, so that the same jobs can be
// enqueued again.
func (m *message) forget() {
	if m.inner != nil {
		if err := m.inner.Ack(context.Background()); err != nil {
			m.queue.Env.Oracle.Fail(oracle.Kept, "the queue did not forget a message: %v", err)
		}
		m.inner = nil
	}
}

// Nack implements ports.Delivery.
func (m *message) Nack(context.Context) error {
	q, e := m.queue, m.queue.Env
	e.step(trace.Nack, m.tenant, m.run)
	if !m.out {
		return nil
	}
	if e.fault(NackFault, m.run) != 0 {
		// It comes back when the broker's lease has run out.
		q.back(m, e.Sched.Now.Add(delayed))
		return errQueue
	}
	q.back(m, time.Time{})
	return nil
}

// Release implements ports.Delivery.
func (m *message) Release(ctx context.Context, jobs []core.Job) error {
	q, e := m.queue, m.queue.Env
	e.step(trace.Release, m.tenant, m.run)
	if !m.out || len(jobs) == 0 {
		return nil
	}
	switch e.fault(ReleaseFault, m.run) {
	case ReleaseRefused:
		return errQueue
	case ReleaseUnanswered:
		q.copied(slices.Clone(jobs))
		return errQueue
	}
	gone := func(j core.Job) bool {
		return slices.ContainsFunc(jobs, func(o core.Job) bool { return sameJob(&j, &o) })
	}
	if m.inner == nil {
		m.jobs = slices.DeleteFunc(m.Jobs(), gone)
		q.copied(slices.Clone(jobs))
	} else {
		if err := m.inner.Release(ctx, jobs); err != nil {
			return err
		}
		m.jobs = slices.DeleteFunc(m.Jobs(), gone)
		if err := q.fill(ctx, m.old); err != nil {
			return err
		}
		q.kept(jobs, "has passed on")
		q.sent(jobs)
	}
	if len(m.jobs) == 0 { // nothing of it is left
		q.dropOut(m)
		m.inner = nil
	}
	return nil
}

// copied puts jobs on their way that the inner queue does not know of.
func (q *Queue) copied(jobs []core.Job) {
	q.pool = append(q.pool, q.newMessage(jobs, nil))
	q.sent(jobs)
}
