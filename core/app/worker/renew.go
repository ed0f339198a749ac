package worker

import (
	"context"
	"slices"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app/worker/scheduler"
)

// renew extends leases.
func (w *Worker) renew(a scheduler.Renew) {
	ctx, cancel := context.WithTimeout(w.base, a.Within)
	defer cancel()
	answer := scheduler.Renewed{Group: a.Group}
	lost, held, err := w.svcRenew(ctx, jobsOf(a.Jobs), a.Wait)
	if err != nil {
		answer.Fault = faultOf(err)
		w.log.Warn("leases not renewed, will try again", append(attrs(a.Jobs[0].Job), "jobs", len(a.Jobs), "error", err)...)
	}
	answer.Lost, answer.Held = find(a.Jobs, lost), find(a.Jobs, held)
	w.inbox.put(answer)
}

// look looks for jobs of a tenant that are lost. Of large jobs some files are looked at:
// those may all have been recorded, so what seems to be lost is looked at as a whole.
func (w *Worker) look(a scheduler.Look) {
	ctx, cancel := context.WithTimeout(w.base, max(w.opts.CancelEvery, watchTimeout))
	defer cancel()
	some := jobsOf(a.Jobs)
	for i, j := range some {
		if n := len(j.Files) - watchFiles; n > 0 {
			some[i].Files = j.Files[n:]
		}
	}
	answer := scheduler.Looked{Group: a.Group}
	lost, err := w.svcLost(ctx, some)
	var again []core.Job
	for _, j := range find(a.Jobs, lost) {
		if len(j.Files) > watchFiles {
			again = append(again, j.Job)
		} else {
			answer.Lost = append(answer.Lost, j)
		}
	}
	if err == nil && len(again) > 0 {
		lost, err = w.svcLost(ctx, again)
		answer.Lost = slices.Concat(answer.Lost, find(a.Jobs, lost))
	}
	if err != nil {
		w.log.Warn("jobs under way not looked at, will try again", "tenant", a.Jobs[0].Tenant, "jobs", len(a.Jobs), "error", err)
	}
	w.inbox.put(answer)
}

func (w *Worker) svcLost(ctx context.Context, jobs []core.Job) (lost []core.Job, err error) {
	err = w.guard(func() (err error) {
		lost, err = w.svc.Lost(ctx, jobs)
		return err
	})
	return lost, err
}
