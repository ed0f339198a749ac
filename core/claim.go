package core

import "time"

// DropReason says why a job, a lease or a result had no effect. None of them is
// an error: the queue may lose, repeat, reorder and delay what it likes.
type DropReason string

const (
	DropRunUnknown DropReason = "run_unknown" // no such run of this tenant, or a job that it does not have
	DropRunClosed  DropReason = "run_closed"  // the run is not RUNNING
	DropStaleEpoch DropReason = "stale_epoch" // the files have been dispatched again, or were compensated
	DropNotPending DropReason = "not_pending" // claimed before: a second delivery
	DropLeaseLost  DropReason = "lease_lost"  // not being processed any more: settled, cancelled or recovered
)

// Drop is a job that had no effect, with the reason for the logs.
type Drop struct {
	Job    Job
	Reason DropReason
}

// ClaimPlan is everything that claiming a group of one run's jobs writes.
type ClaimPlan struct {
	Run        Run
	RunChanged bool // else only files are to be written
	Files      []File
	Claimed    []Job
	Dropped    []Drop
}

// Claim takes jobs of one run for a worker: each file pending under the job's
// own epoch becomes processing with a lease. A job is claimed with all its files
// or dropped. The first claim of an attempt proves that its dispatch reached
// a worker, which ends the time in which it could be compensated; that is why
// the caller holds the run's lock.
//
// files are the rows of these jobs' files as they are now.
func Claim(run Run, files []File, jobs []Job, now time.Time, lease time.Duration) (ClaimPlan, error) {
	var rows fileRows
	rows.fill(files)
	p := ClaimPlan{Run: run}
	for _, job := range jobs {
		claimed, reason := matchPending(run, job, &rows)
		if reason != "" {
			p.Dropped = append(p.Dropped, Drop{job, reason})
			continue
		}
		if p.Files == nil {
			p.Files = make([]File, 0, len(files))
		}
		for _, f := range claimed {
			if err := f.become(FileProcessing, &p.Run); err != nil {
				return ClaimPlan{}, err
			}
			f.LeaseUntil = now.Add(lease)
			p.Files = append(p.Files, *f)
		}
		p.Claimed = append(p.Claimed, job)
	}
	if len(p.Claimed) > 0 && run.Dispatch != DispatchConfirmed {
		p.Run.Dispatch, p.RunChanged = DispatchConfirmed, true
	}
	return p, nil
}

// ConfirmDispatch records that an attempt's jobs reached the queue. changed is
// false if there is nothing to record any more: the attempt was compensated, is
// over, or was confirmed by a claim.
func ConfirmDispatch(run Run, n AttemptNumber) (confirmed Run, changed bool) {
	if run.Attempt != n || run.Status != RunRunning || run.Dispatch == DispatchConfirmed {
		return run, false
	}
	run.Dispatch = DispatchConfirmed
	return run, true
}

// DispatchPartly makes recovery send an attempt's missing jobs at once: its
// enqueueing failed, but a job of it was claimed, so it is not compensated.
// changed is false if the attempt is over.
func DispatchPartly(run Run, n AttemptNumber, now time.Time) (partly Run, changed bool) {
	if run.Attempt != n || run.Status != RunRunning {
		return run, false
	}
	run.DispatchedAt, run.Redispatches, run.RecoverAt = time.Time{}, 0, now
	return run, true
}

// unfit says why a job can have no effect on the run, whatever its files are.
func unfit(run Run, job Job) DropReason {
	switch {
	case job.Run != run.ID || job.Tenant != run.Tenant:
		return DropRunUnknown
	case run.Status != RunRunning:
		return DropRunClosed
	case !job.fits(run):
		return DropRunUnknown
	}
	return ""
}

// matchPending finds the files of a job if all of them are pending under the job's
// epoch and the run is running; else it says why the job has no effect.
func matchPending(run Run, job Job, rows *fileRows) ([]*File, DropReason) {
	if reason := unfit(run, job); reason != "" {
		return nil, reason
	}
	files, ok := rows.filesOf(job)
	if !ok {
		return nil, DropRunUnknown
	}
	for _, f := range files {
		switch {
		case f.Epoch != job.Epoch:
			return nil, DropStaleEpoch
		case f.Status != FilePending:
			return nil, DropNotPending
		}
	}
	return files, ""
}

// held is what a worker still holds of a job.
type held struct {
	processing   []*File
	allCompleted bool // of those that partial settlements have recorded
}

// matchHeld finds the files of a job that are processing under its epoch; the others
// must have been recorded under it by partial settlements. Else it says why the job
// is not held any more.
func matchHeld(run Run, job Job, rows *fileRows) (held, DropReason) {
	if reason := unfit(run, job); reason != "" {
		return held{}, reason
	}
	files, ok := rows.filesOf(job)
	if !ok {
		return held{}, DropRunUnknown
	}
	h := held{processing: files[:0], allCompleted: true}
	for _, f := range files {
		switch {
		case f.Epoch != job.Epoch:
			return held{}, DropStaleEpoch
		case f.Status == FileProcessing:
			h.processing = append(h.processing, f)
		case f.Status == FileCompleted || f.Status == FileError:
			h.allCompleted = h.allCompleted && f.Status == FileCompleted
		default:
			return held{}, DropLeaseLost
		}
	}
	if len(h.processing) == 0 {
		return held{}, DropLeaseLost
	}
	return h, ""
}
