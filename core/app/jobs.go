package app

import (
	"context"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// ByRun groups jobs by the run that they belong to, in order of appearance.
func ByRun(jobs []core.Job) [][]core.Job {
	return groupBy(jobs, func(j core.Job) ports.RunKey { return ports.RunKey{Tenant: j.Tenant, Run: j.Run} })
}

// ByTenant groups jobs by tenant, in order of appearance: claims, renewals and
// settlements of one tenant share a transaction.
func ByTenant(jobs []core.Job) [][]core.Job {
	return groupBy(jobs, func(j core.Job) core.TenantID { return j.Tenant })
}

func groupBy[T any, K comparable](list []T, keyOf func(T) K) [][]T {
	if oneKey(list, keyOf) {
		return [][]T{list}
	}
	var groups [][]T
	place := make(map[K]int)
	for _, one := range list {
		key := keyOf(one)
		i, ok := place[key]
		if !ok {
			i = len(groups)
			place[key], groups = i, append(groups, nil)
		}
		groups[i] = append(groups[i], one)
	}
	return groups
}

// oneKey reports whether there is one group, which needs no map: an embedder that works
// job by job would spend a tenth of its time on them.
func oneKey[T any, K comparable](list []T, keyOf func(T) K) bool {
	for i := 1; i < len(list); i++ {
		if keyOf(list[i]) != keyOf(list[0]) {
			return false
		}
	}
	return len(list) > 0
}

// planner decides about the jobs of one run, whose lock is held: what is to be
// written, and the plan that it follows from. files are the rows of the jobs' files.
type planner[P any] func(tx ports.Tx, run core.Run, files []core.File, jobs []core.Job) (P, ports.RunRows, error)

// Wait says what a transaction does about a run that another one has locked.
type Wait = ports.Wait

const (
	// SkipLocked passes over locked runs.
	SkipLocked = ports.SkipLocked
	// WaitForLock waits for their locks. The jobs of one call must then be of one run:
	// what one locked run keeps waiting must not keep others.
	WaitForLock = ports.WaitForLock
)

// onJobs decides about jobs of one tenant and writes that, in one transaction that
// locks their runs. newPlanner is called for each time that the transaction is
// run. held are the jobs of runs that were passed over, or that do not exist; with
// WaitForLock it is known which: those of runs that do not exist are unknown.
func onJobs[P any](ctx context.Context, store ports.Store, jobs []core.Job, wait Wait, newPlanner func() planner[P]) (plans []P, held, unknown []core.Job, err error) {
	d := newDecisions[P](jobs)
	err = store.InTx(ctx, jobs[0].Tenant, func(tx ports.Tx) error {
		locked, err := tx.Runs().Lock(ctx, wait, d.want...)
		if err != nil {
			return err
		}
		changed, err := d.decide(tx, locked, newPlanner())
		if err != nil || len(changed) == 0 {
			return err
		}
		return tx.Runs().Save(ctx, changed...)
	})
	if wait == WaitForLock {
		return d.plans, nil, d.left, err
	}
	return d.plans, d.left, nil, err
}

// decisions is what onJobs asks for and finds out.
type decisions[P any] struct {
	byRun [][]core.Job
	want  []ports.FilesOf
	plans []P
	left  []core.Job
}

func newDecisions[P any](jobs []core.Job) *decisions[P] {
	d := &decisions[P]{byRun: ByRun(jobs)}
	for _, group := range d.byRun {
		d.want = append(d.want, ports.FilesOf{Run: group[0].Run, Indexes: core.FileIndexes(group)})
	}
	return d
}

// decide plans what becomes of the jobs whose runs are locked, and gives what is to
// be written, in the place of what was read. The others are left.
func (d *decisions[P]) decide(tx ports.Tx, locked []ports.RunRows, plan planner[P]) (changed []ports.RunRows, err error) {
	d.plans, d.left = nil, nil
	changed = locked[:0]
	for _, group := range d.byRun {
		if len(locked) == 0 || locked[0].Run.ID != group[0].Run {
			d.left = append(d.left, group...)
			continue
		}
		p, rows, err := plan(tx, locked[0].Run, locked[0].Files, group)
		if err != nil {
			return nil, err
		}
		locked = locked[1:]
		d.plans = append(d.plans, p)
		if !rows.FilesOnly || len(rows.Files) > 0 {
			changed = append(changed, rows)
		}
	}
	return changed, nil
}

// unchanged is what a plan writes that has no effect.
var unchanged = ports.RunRows{FilesOnly: true}

// dropUnknown are jobs of runs that do not exist.
func dropUnknown(jobs []core.Job) []core.Drop {
	drops := make([]core.Drop, len(jobs))
	for i, j := range jobs {
		drops[i] = core.Drop{Job: j, Reason: core.DropRunUnknown}
	}
	return drops
}
