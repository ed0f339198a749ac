package worker

import (
	"context"
	"time"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// entry is a job in the pool, from its delivery until it is done with.
type entry struct {
	job core.Job

	// Guarded by Worker.mu.
	deliveries []share // not acked; several if the queue delivered it again meanwhile
	answered   bool    // its claim is: whatever is delivered of it now has no effect
	claimed    bool
	acked      bool // nothing of it is left with the queue
	executed   bool // only its results are to be recorded
	over       bool // it is done with, and only not acked yet
	placed     bool // it has a place, and pass
	pass       pass
	parkedTill time.Time // while it is parked

	// Set when it is claimed. ctx ends when its lease is lost or the worker stops.
	ctx    context.Context
	cancel context.CancelFunc

	results []core.FileResult // once it was executed
	pauses  pauses            // between tries to record the results
	// interrupt is what follows once it was handed back.
	interrupt interruption

	pieces  pieces // guarded by Worker.mu
	unsaved int    // its cost in pool.unsaved, once it has no place; guarded by Worker.mu
	// of is the job whose piece it is: then it is only on its way to the store, and in the
	// pool with that job.
	of *entry
	// refused says that the store can never hold its results, which were replaced.
	refused bool
}

// entryKey tells claims apart: a file is claimed at most once per epoch.
type entryKey struct {
	tenant core.TenantID
	run    core.RunID
	job    core.JobID
	epoch  core.Epoch
}

func keyOf(j core.Job) entryKey { return entryKey{j.Tenant, j.Run, j.ID, j.Epoch} }

func runOf(j core.Job) ports.RunKey { return ports.RunKey{Tenant: j.Tenant, Run: j.Run} }

func templateOf(j core.Job) ports.TemplateKey {
	return ports.TemplateKey{Tenant: j.Tenant, Template: j.Template}
}

// files is what a claim of it costs, see groupCost.
func (e *entry) files() int { return len(e.job.Files) }

// resultCost is what recording its results costs.
func (e *entry) resultCost() int {
	cost := len(e.job.Files)
	if e.of != nil {
		cost = len(e.results)
	}
	for i := range e.results {
		cost += len(e.results[i].Output) / groupPage
	}
	return cost
}

func (e *entry) settlement() core.Settlement {
	return core.Settlement{Job: e.job, Results: e.results, Partial: e.of != nil}
}

func jobsOf(entries []*entry) []core.Job {
	jobs := make([]core.Job, len(entries))
	for i, e := range entries {
		jobs[i] = e.job
	}
	return jobs
}

// attrs name a job in the log.
func attrs(j core.Job) []any {
	return []any{"tenant", j.Tenant, "run", j.Run, "job", j.ID, "epoch", j.Epoch}
}

// byRun groups entries by run, in order of appearance.
func byRun(entries []*entry) [][]*entry {
	var groups [][]*entry
	place := make(map[ports.RunKey]int)
	for _, e := range entries {
		key := runOf(e.job)
		i, ok := place[key]
		if !ok {
			i = len(groups)
			place[key], groups = i, append(groups, nil)
		}
		groups[i] = append(groups[i], e)
	}
	return groups
}
