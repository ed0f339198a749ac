package worker

import (
	"context"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/core/app/worker/scheduler"
)

// What the service is asked, in one place.

func (w *Worker) svcClaim(ctx context.Context, jobs []core.Job, wait bool) (claimed []app.Claimed, held []core.Job, err error) {
	err = w.guard(func() (err error) {
		claimed, held, err = w.svc.Claim(ctx, jobs, waitMode(wait))
		return err
	})
	return claimed, held, err
}

func (w *Worker) svcSettle(ctx context.Context, all []core.Settlement, wait bool) (held []core.Settlement, err error) {
	err = w.guard(func() (err error) {
		held, err = w.svc.Settle(ctx, all, waitMode(wait))
		return err
	})
	return held, err
}

func (w *Worker) svcRenew(ctx context.Context, jobs []core.Job, wait bool) (lost, held []core.Job, err error) {
	err = w.guard(func() (err error) {
		lost, held, err = w.svc.Renew(ctx, jobs, waitMode(wait))
		return err
	})
	return lost, held, err
}

func waitMode(wait bool) app.Wait {
	if wait {
		return app.WaitForLock
	}
	return app.SkipLocked
}

func jobsOf(jobs []*scheduler.Job) []core.Job {
	all := make([]core.Job, len(jobs))
	for i, j := range jobs {
		all[i] = j.Job
	}
	return all
}

// finder finds the places of jobs that an answer names, in a list that most often has them
// in the same order.
type finder struct {
	jobs []*scheduler.Job
	next int
}

// find gives the place of a job, or -1.
func (f *finder) find(j core.Job) int {
	for n := range f.jobs {
		i := f.next + n
		if i >= len(f.jobs) {
			i -= len(f.jobs)
		}
		if other := &f.jobs[i].Job; other.ID == j.ID && other.Epoch == j.Epoch && other.Run == j.Run {
			f.next = i + 1
			return i
		}
	}
	return -1
}

func find(jobs []*scheduler.Job, named []core.Job) (found []*scheduler.Job) {
	f := finder{jobs: jobs}
	for _, j := range named {
		if i := f.find(j); i >= 0 {
			found = append(found, jobs[i])
		}
	}
	return found
}
