package scheduler

import (
	"time"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// renewEvery is a third of a lease, so that two renewals may fail before one runs out.
func (s *Scheduler) renewEvery() time.Duration { return max(s.cfg.Lease/3, time.Millisecond) }

// renew extends the leases of everything that is claimed. Tenants, and runs that are
// locked, are renewed side by side: one that waits must not cost others their leases.
func (s *Scheduler) renew() {
	every := s.renewEvery()
	for _, jobs := range s.chunks(func(j *Job) bool { return !j.renewing && !j.lost }) {
		for _, j := range jobs {
			j.renewing = true
		}
		s.renewals = append(s.renewals, &group{kind: renewals, jobs: jobs, within: every})
	}
}

// chunks are the claimed jobs that are wanted, by tenants, in groups of bounded cost.
func (s *Scheduler) chunks(wanted func(*Job) bool) (groups [][]*Job) {
	type open struct{ at, cost int }
	ofTenant := map[core.TenantID]*open{}
	for j := s.claimed.first; j != nil; j = j.next {
		if !wanted(j) {
			continue
		}
		o := ofTenant[j.Tenant]
		if o == nil || o.cost+len(j.Files) > groupCost {
			o = &open{at: len(groups)}
			ofTenant[j.Tenant] = o
			groups = append(groups, nil)
		}
		groups[o.at] = append(groups[o.at], j)
		o.cost += len(j.Files)
	}
	return groups
}

// renewAnswered takes in which leases were extended. A locked run is waited for by itself;
// if the group failed, perhaps by one of them, each run is renewed by itself.
func (s *Scheduler) renewAnswered(e Renewed) {
	g := s.close(e.Group, renewals)
	if g == nil {
		return
	}
	h := g.held
	left := e.Held
	if e.Fault == FaultOfOne && h == nil {
		left = g.jobs
	}
	s.renewed(g.jobs)
	s.lose(e.Lost)
	if h != nil && len(left) == 0 {
		s.unhold(h)
		return
	}
	for _, j := range left {
		j.renewing = true
	}
	if h != nil {
		h.jobs = left
		h.again(s)
		return
	}
	until := s.now.Add(s.renewEvery())
	for _, jobs := range jobsByRun(left) {
		s.hold(&held{kind: renewals, jobs: jobs, until: until})
	}
}

func (s *Scheduler) renewed(jobs []*Job) {
	for _, j := range jobs {
		j.renewing = false
	}
}

func jobsByRun(jobs []*Job) (groups [][]*Job) {
	at := map[ports.RunKey]int{}
	for _, j := range jobs {
		i, there := at[j.run.key]
		if !there {
			i = len(groups)
			at[j.run.key] = i
			groups = append(groups, nil)
		}
		groups[i] = append(groups[i], j)
	}
	return groups
}

// look has what is being executed looked at, so that a cancel, on whatever server it was
// asked for, ends it soon and not only when its lease would be renewed. While nothing is
// executed nothing is asked.
func (s *Scheduler) look() {
	if s.looks > 0 || s.drain >= cancelling {
		return
	}
	for _, jobs := range s.chunks(func(j *Job) bool { return j.state == executing && !j.lost }) {
		s.looks++
		s.renewals = append(s.renewals, &group{kind: looks, jobs: jobs})
	}
}

// looked takes in which jobs are lost.
func (s *Scheduler) looked(e Looked) {
	if s.close(e.Group, looks) != nil {
		s.looks--
		s.lose(e.Lost)
	}
}
