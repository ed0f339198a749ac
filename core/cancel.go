package core

import "time"

// PlanCancel closes a running run INTERRUPTED (spec 6). Files that were not
// finished are pending: they are paid for, and a Continue for them is free.
// It fails with CodeRunNotRunning. unfinished are the run's pending and
// processing files; the caller holds the run's lock.
func PlanCancel(run Run, unfinished []File, now time.Time) (InterruptPlan, error) {
	if run.Status != RunRunning {
		return InterruptPlan{}, &Error{Code: CodeRunNotRunning, Run: run.ID, Message: "only a running run can be cancelled"}
	}
	return interrupt(run, unfinished, ReasonCancelled, now)
}
