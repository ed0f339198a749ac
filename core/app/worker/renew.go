package worker

import (
	"context"
	"sync"
	"time"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
)

// renewLoop extends the leases of everything that is being worked on, three
// times per lease, so that two renewals may fail before one runs out. Tenants, and
// runs that are locked, are renewed side by side: one that waits must not cost
// others their leases.
func (w *Worker) renewLoop(ctx context.Context) {
	interval := w.svc.Options().Recovery.Lease / 3
	var renewals sync.WaitGroup
	defer renewals.Wait()
	for w.clock.Sleep(ctx, interval) == nil {
		w.mu.Lock()
		jobs := w.pool.claimedJobs()
		w.mu.Unlock()
		for _, ofTenant := range app.ByTenant(jobs) {
			for _, group := range chunks(ofTenant) {
				renewals.Go(func() { w.renew(ctx, &renewals, group, interval) })
			}
		}
	}
}

// chunks cuts jobs into groups of bounded cost.
func chunks(jobs []core.Job) (groups [][]core.Job) {
	from, cost := 0, 0
	for i, j := range jobs {
		if cost += len(j.Files); i > from && cost > groupCost {
			groups = append(groups, jobs[from:i])
			from, cost = i, len(j.Files)
		}
	}
	return append(groups, jobs[from:])
}

// renew extends the leases of jobs of a tenant. A locked run is waited for by
// itself; if the group fails, each run is renewed by itself.
func (w *Worker) renew(ctx context.Context, renewals *sync.WaitGroup, group []core.Job, within time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	var held []core.Job
	var err error
	w.slots.use(func() { held, err = w.renewFree(ctx, group) })
	if err != nil && !noFaultOfOne(err) {
		held, err = group, nil
	}
	if err != nil {
		w.log.Warn("leases not renewed, will try again", "tenant", group[0].Tenant, "jobs", len(group), "error", err)
		return
	}
	for _, ofRun := range app.ByRun(held) {
		renewals.Go(func() { w.renewHeld(context.WithoutCancel(ctx), ofRun, within) })
	}
}

func (w *Worker) renewHeld(ctx context.Context, group []core.Job, within time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	err := context.DeadlineExceeded
	w.slots.locked(ctx,
		func() (free bool) {
			var held []core.Job
			held, err = w.renewFree(ctx, group)
			return err != nil || len(held) == 0
		},
		func() {
			err = w.guard(func() error {
				lost, _, err := w.svc.Renew(ctx, group, app.WaitForLock)
				w.lost(lost)
				return err
			})
		})
	if err != nil {
		w.log.Warn("leases not renewed, will try again", append(attrs(group[0]), "jobs", len(group), "error", err)...)
	}
}

func (w *Worker) renewFree(ctx context.Context, group []core.Job) (held []core.Job, err error) {
	w.stats.renewGroups.Add(1)
	err = w.guard(func() error {
		lost, left, err := w.svc.Renew(ctx, group, app.SkipLocked)
		held = left
		w.lost(lost)
		return err
	})
	return held, err
}

// lost stops the execution of jobs whose lease is lost.
func (w *Worker) lost(jobs []core.Job) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, j := range jobs {
		if e := w.pool.entries[keyOf(j)]; e != nil && e.claimed {
			w.stats.lost.Add(1)
			e.cancel()
		}
	}
}
