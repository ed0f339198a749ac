package core

import "time"

// LeasePlan is what renewing the leases of a group of one run's jobs writes.
type LeasePlan struct {
	Files   []File
	Renewed []Job
	Lost    []Drop // the worker may stop: its result would change nothing
}

// Renew extends the leases of jobs that are still held. files are the rows of
// these jobs' files as they are now; the caller holds the run's lock.
func Renew(run Run, files []File, jobs []Job, now time.Time, lease time.Duration) LeasePlan {
	var rows fileRows
	rows.fill(files)
	var p LeasePlan
	for _, job := range jobs {
		held, reason := matchHeld(run, job, &rows)
		if reason != "" {
			p.Lost = append(p.Lost, Drop{job, reason})
			continue
		}
		for _, f := range held.processing {
			f.LeaseUntil = now.Add(lease)
			p.Files = append(p.Files, *f)
		}
		p.Renewed = append(p.Renewed, job)
	}
	return p
}

// HandBackPlan is what a worker that stops writes for the jobs that it gives
// back unfinished.
type HandBackPlan struct {
	Run     Run
	Files   []File
	Jobs    []Job // to be enqueued after the commit, under a new epoch
	Dropped []Drop
}

// HandBack makes the files of held jobs pending again, without counting it as a
// redelivery: the worker did not die, it was asked to stop. The new epoch fences
// whatever the worker still does. The caller holds the run's lock.
func HandBack(run Run, files []File, jobs []Job, now time.Time) (HandBackPlan, error) {
	var rows fileRows
	rows.fill(files)
	p := HandBackPlan{Run: run}
	for _, job := range jobs {
		held, reason := matchHeld(run, job, &rows)
		if reason != "" {
			p.Dropped = append(p.Dropped, Drop{job, reason})
			continue
		}
		job.Epoch = p.Run.nextEpoch()
		if len(held.processing) < len(job.Files) {
			job.Files = make([]int, 0, len(held.processing)) // what was recorded is not worked again
			for _, f := range held.processing {
				job.Files = append(job.Files, f.Index)
			}
		}
		for _, f := range held.processing {
			if err := f.toPending(job.Epoch, &p.Run); err != nil {
				return HandBackPlan{}, err
			}
			p.Files = append(p.Files, *f)
		}
		p.Jobs = append(p.Jobs, job)
	}
	if len(p.Jobs) > 0 {
		p.Run.DispatchedAt, p.Run.Redispatches = now, 0
	}
	return p, nil
}
