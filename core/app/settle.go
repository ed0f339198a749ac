package app

import (
	"context"
	"log/slog"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// Settle records the results of jobs of one tenant, in one transaction, and closes
// the runs whose attempts they complete. It is safe to repeat, also after an error:
// a result is recorded once, and one of a job whose lease was lost is dropped.
//
// With SkipLocked, held are the settlements of runs that another transaction has
// locked, or that do not exist: settle them run by run with WaitForLock.
func (s *Service) Settle(ctx context.Context, settlements []core.Settlement, wait Wait) (held []core.Settlement, err error) {
	if len(settlements) == 0 {
		return nil, nil
	}
	ofRun := settlementsByRun(settlements)
	plans, heldJobs, unknown, err := onJobs(ctx, s.store, jobsOf(settlements), wait, func() planner[settled] {
		return func(tx ports.Tx, run core.Run, files []core.File, _ []core.Job) (settled, ports.RunRows, error) {
			p, err := core.Settle(run, files, ofRun(run.ID), s.clock.Now())
			became := settled{dropped: p.Dropped}
			if p.Closed {
				became.closed = &closing{run.Tenant, run.ID, run.Attempt, p.Run.Status}
				err = tellClosed(ctx, tx, p.Run)
			}
			return became, ports.RunRows{Run: p.Run, Files: p.Files, FilesOnly: !p.Changed()}, err
		}
	})
	if s.moved(err, jobsOf(settlements), "result") {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	s.logDrops(ctx, "result", dropUnknown(unknown))
	for _, p := range plans {
		s.logDrops(ctx, "result", p.dropped)
		if p.closed != nil {
			s.toldSomething()
		}
		if c := p.closed; c != nil && s.log.Enabled(ctx, slog.LevelInfo) {
			s.log.Info("run closed", "tenant", c.tenant, "run", c.run, "attempt", c.attempt, "status", c.status)
		}
	}
	for _, group := range ByRun(heldJobs) {
		held = append(held, ofRun(group[0].Run)...)
	}
	return held, nil
}

// settled is what became of the settlements of one run.
type settled struct {
	dropped []core.Drop
	closed  *closing // nil if they did not
}

// closing is what is logged of a run that was closed.
type closing struct {
	tenant  core.TenantID
	run     core.RunID
	attempt core.AttemptNumber
	status  core.RunStatus
}

// settlementsByRun finds the settlements of a run.
func settlementsByRun(all []core.Settlement) func(core.RunID) []core.Settlement {
	run := func(s core.Settlement) core.RunID { return s.Job.Run }
	if oneKey(all, run) {
		return func(core.RunID) []core.Settlement { return all }
	}
	byRun := make(map[core.RunID][]core.Settlement)
	for _, one := range all {
		byRun[run(one)] = append(byRun[run(one)], one)
	}
	return func(id core.RunID) []core.Settlement { return byRun[id] }
}

// jobsOf names what is read: of a job that goes on, only the files that it has results
// for.
func jobsOf(settlements []core.Settlement) []core.Job {
	jobs := make([]core.Job, len(settlements))
	for i := range settlements {
		jobs[i] = settlements[i].Job
		if settlements[i].Partial {
			jobs[i].Files = nil
			for _, r := range settlements[i].Results {
				jobs[i].Files = append(jobs[i].Files, r.Index)
			}
		}
	}
	return jobs
}
