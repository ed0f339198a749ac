package worker

import (
	"context"
	"errors"
	"sync"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app/worker/scheduler"
	"github.com/redrive/redrive/ports"
)

// deliveries are those that are not answered yet.
type deliveries struct {
	mu   sync.Mutex
	last scheduler.MessageID
	all  map[scheduler.MessageID]ports.Delivery
}

func (d *deliveries) add(one ports.Delivery) scheduler.MessageID {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.all == nil {
		d.all = map[scheduler.MessageID]ports.Delivery{}
	}
	d.last++
	d.all[d.last] = one
	return d.last
}

func (d *deliveries) get(id scheduler.MessageID, forget bool) ports.Delivery {
	d.mu.Lock()
	defer d.mu.Unlock()
	one := d.all[id]
	if forget {
		delete(d.all, id)
	}
	return one
}

// receive asks the feed. That it was told to come back is no error.
func (w *Worker) receive(ctx context.Context, cancel context.CancelFunc, a scheduler.Receive) {
	defer cancel()
	var got []ports.Delivery
	err := w.guard(func() (err error) {
		got, err = w.feed.Receive(ctx, a.Limit, a.Skip)
		return err
	})
	answer := scheduler.Received{Messages: make([]scheduler.Message, len(got))}
	for i, d := range got {
		answer.Messages[i] = scheduler.Message{ID: w.deliveries.add(d), Jobs: w.jobsIn(d)}
	}
	switch {
	case errors.Is(err, ports.ErrClosed):
		w.closed, answer.Closed = true, true
	case err != nil && ctx.Err() == nil:
		answer.Failed = true
		w.log.Error("receive failed, will try again", "error", err)
	}
	w.inbox.put(answer)
}

// jobsIn reads a delivery. One without jobs has no effect.
func (w *Worker) jobsIn(d ports.Delivery) (jobs []core.Job) {
	if err := w.guard(func() error { jobs = d.Jobs(); return nil }); err != nil {
		w.log.Error("a delivery has no jobs", "error", err)
	}
	return jobs
}

// answer tells the queue about a delivery. If the queue cannot be told, it delivers the
// jobs again, to no effect.
func (w *Worker) answer(a scheduler.Answer) {
	d := w.deliveries.get(a.Message, a.Reply != scheduler.Release)
	err := w.guard(func() error {
		switch a.Reply {
		case scheduler.Release:
			return d.Release(w.base, a.Jobs)
		case scheduler.Nack:
			return d.Nack(w.base)
		case scheduler.Ack:
		}
		return d.Ack(w.base)
	})
	if err != nil {
		w.log.Warn("the queue was not told; it will deliver the jobs again", "reply", a.Reply.String(), "error", err)
	}
	w.inbox.put(scheduler.Answered{Message: a.Message, Failed: err != nil})
}
