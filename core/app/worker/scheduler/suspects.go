package scheduler

import "github.com/redrive/redrive/core"

// suspects are jobs that failed during outages and were handed back, so that probes
// are made with others, and so that a file which fails by itself does not come back for
// ever. They are forgotten, oldest first, beyond a number. The zero value is ready.
type suspects struct {
	jobs  map[suspectKey]suspect
	order []suspectKey // oldest first; some may be gone
}

// suspectKey names a job in whatever epoch.
type suspectKey struct {
	tenant core.TenantID
	run    core.RunID
	job    core.JobID
}

type suspect struct {
	outage int // number of the last outage in which it failed
	times  int // outages in which it failed
}

// mostSuspects bounds those that are remembered, some 150 bytes each.
const mostSuspects = 10_000

func suspectOf(j core.Job) suspectKey { return suspectKey{j.Tenant, j.Run, j.ID} }

// failedIn reports whether the job failed in this outage.
func (s *suspects) failedIn(j core.Job, outage int) bool {
	return outage != 0 && s.jobs[suspectOf(j)].outage == outage
}

// before counts the outages but this one in which the job failed.
func (s *suspects) before(j core.Job, outage int) int {
	known := s.jobs[suspectOf(j)]
	if known.outage == outage {
		return max(known.times-1, 0)
	}
	return known.times
}

// add notes that the job failed in an outage.
func (s *suspects) add(j core.Job, outage int) {
	if s.jobs == nil {
		s.jobs = map[suspectKey]suspect{}
	}
	key := suspectOf(j)
	known, there := s.jobs[key]
	if !there {
		s.order = append(s.order, key)
	}
	if known.outage != outage {
		known.outage = outage
		known.times++
	}
	s.jobs[key] = known
	for len(s.jobs) > mostSuspects || len(s.order) > 2*mostSuspects {
		delete(s.jobs, s.order[0])
		s.order = s.order[1:]
	}
}

// forget clears a job: it ended.
func (s *suspects) forget(j core.Job) { delete(s.jobs, suspectOf(j)) }
