package worker

import (
	"context"
	"slices"
	"sync"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
)

// watchLoop looks at what is being executed, so that a cancel, on whatever server it
// was asked for, ends it soon and not only when its lease would be renewed. Tenants are
// looked at side by side. While nothing is executed nothing is asked.
func (w *Worker) watchLoop(ctx context.Context) {
	if w.opts.CancelEvery < 0 {
		return
	}
	for w.clock.Sleep(ctx, w.opts.CancelEvery) == nil {
		w.mu.Lock()
		jobs := w.pool.executing()
		w.mu.Unlock()
		if len(jobs) == 0 {
			continue
		}
		var looks sync.WaitGroup
		for _, ofTenant := range app.ByTenant(jobs) {
			for _, group := range chunks(ofTenant) {
				looks.Go(func() { w.watch(ctx, group) })
			}
		}
		looks.Wait()
	}
}

// executing are the jobs that are being executed.
func (p *pool) executing() (jobs []core.Job) {
	for _, e := range p.entries {
		if e.claimed && !e.executed {
			jobs = append(jobs, e.job)
		}
	}
	return jobs
}

// watch stops the jobs of a tenant that are lost. Of large jobs some files are looked at:
// those may all have been recorded, so what seems to be lost is looked at as a whole.
func (w *Worker) watch(ctx context.Context, jobs []core.Job) {
	ctx, cancel := context.WithTimeout(ctx, max(w.opts.CancelEvery, watchTimeout))
	defer cancel()
	some := slices.Clone(jobs)
	whole := map[entryKey]core.Job{}
	for i, j := range some {
		if n := len(j.Files) - watchFiles; n > 0 {
			whole[keyOf(j)] = j
			some[i].Files = j.Files[n:]
		}
	}
	lost, err := w.askLost(ctx, some)
	var again, sure []core.Job
	for _, j := range lost {
		if full, large := whole[keyOf(j)]; large {
			again = append(again, full)
		} else {
			sure = append(sure, j)
		}
	}
	w.lost(sure)
	if err == nil && len(again) > 0 {
		lost, err = w.askLost(ctx, again)
		w.lost(lost)
	}
	if err != nil && ctx.Err() == nil {
		w.log.Warn("jobs under way not looked at, will try again", "tenant", jobs[0].Tenant, "jobs", len(jobs), "error", err)
	}
}

func (w *Worker) askLost(ctx context.Context, jobs []core.Job) (lost []core.Job, err error) {
	w.slots.use(func() {
		err = w.guard(func() (err error) {
			lost, err = w.svc.Lost(ctx, jobs)
			return err
		})
	})
	return lost, err
}
