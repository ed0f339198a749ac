package core

import "time"

// InterruptPlan is everything that closing a run INTERRUPTED writes.
type InterruptPlan struct {
	Run   Run
	Files []File // those that a worker was processing
}

// PlanInterrupt closes a running run because of a fault of ours that blocks all of its
// waiting files (spec 5), such as a credential that the provider refuses. They stay
// pending, paid for and free to continue. ok is false if there is nothing to do: the run
// has closed, or a worker is processing files of it, which the fault does not block.
//
// processing are the run's files in that status; the caller holds the run's lock.
func PlanInterrupt(run Run, processing []File, why Failure, now time.Time) (p InterruptPlan, ok bool, err error) {
	if run.Status != RunRunning || len(processing) > 0 || run.Tally.Unfinished == 0 {
		return InterruptPlan{}, false, nil
	}
	run.Failure = why
	p, err = interrupt(run, nil, ReasonServiceFault, now)
	return p, err == nil, err
}

// interrupt closes the run with its unfinished files pending. Processing files get a new
// epoch, so that the workers that hold them are fenced, even if the run is continued
// before they report a result.
func interrupt(run Run, unfinished []File, why CloseReason, now time.Time) (InterruptPlan, error) {
	p := InterruptPlan{Run: run}
	epoch := p.Run.nextEpoch()
	for _, f := range unfinished {
		if f.Status != FileProcessing {
			continue
		}
		if err := f.toPending(epoch, &p.Run); err != nil {
			return InterruptPlan{}, err
		}
		p.Files = append(p.Files, f)
	}
	if err := p.Run.close(RunInterrupted, why, now); err != nil {
		return InterruptPlan{}, err
	}
	return p, nil
}
