package core

import "time"

// CancelPlan is everything that a cancel writes.
type CancelPlan struct {
	Run   Run
	Files []File // those that a worker was processing
}

// PlanCancel closes a running run INTERRUPTED (spec 6). Files that were not
// finished are pending: they are paid for, and a Continue for them is free.
// It fails with CodeRunNotRunning. unfinished are the run's pending and
// processing files; the caller holds the run's lock.
func PlanCancel(run Run, unfinished []File, now time.Time) (CancelPlan, error) {
	if run.Status != RunRunning {
		return CancelPlan{}, &Error{Code: CodeRunNotRunning, Run: run.ID, Message: "only a running run can be cancelled"}
	}
	return interrupt(run, unfinished, ReasonCancelled, now)
}

// interrupt closes the run with its unfinished files pending. Processing files
// get a new epoch, so that the workers which still hold them are fenced even if
// the run is continued before they answer.
func interrupt(run Run, unfinished []File, why CloseReason, now time.Time) (CancelPlan, error) {
	p := CancelPlan{Run: run}
	epoch := p.Run.nextEpoch()
	for _, f := range unfinished {
		if f.Status != FileProcessing {
			continue
		}
		if err := f.toPending(epoch, &p.Run); err != nil {
			return CancelPlan{}, err
		}
		p.Files = append(p.Files, f)
	}
	if err := p.Run.close(RunInterrupted, why, now); err != nil {
		return CancelPlan{}, err
	}
	return p, nil
}
