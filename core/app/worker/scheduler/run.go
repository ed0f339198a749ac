package scheduler

import (
	"slices"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// kind is what a transaction does with its runs.
type kind uint8

const (
	claims kind = iota
	results
	handBacks
	kinds
	renewals // take no turn with the others: they are short and must not wait
	looks
)

// item is what is to be written of a job.
type item struct {
	job   *Job
	piece int // results of a piece; 0: all of the job
	cost  int
}

// run is a run that this process has jobs of, so that its own transactions do not wait
// for each other's locks.
type run struct {
	key    ports.RunKey
	tenant *tenant
	jobs   map[jobKey]*Job

	waiting [kinds][]item // not in a transaction yet
	users   int           // transactions that use it, or wait for it
	parts   int           // of groups that failed, in its lanes
	last    kind          // of the last one
	wanted  [kinds]bool   // it was in use when this kind could have gone
	listed  [kinds]bool   // it is in its lane's list
	stuck   int           // claims of it that take too long because it is locked
}

// tenant is a tenant that this process has jobs of.
type tenant struct {
	id    core.TenantID
	runs  int
	lanes [kinds]lane
}

// runOf finds a run, making it if need be.
func (s *Scheduler) runOf(key ports.RunKey) *run {
	r := s.runs[key]
	if r != nil {
		return r
	}
	t := s.tenants[key.Tenant]
	if t == nil {
		t = &tenant{id: key.Tenant}
		for k := range kinds {
			t.lanes[k].kind = k
		}
		s.tenants[key.Tenant] = t
	}
	r = &run{key: key, tenant: t, jobs: map[jobKey]*Job{}}
	t.runs++
	s.runs[key] = r
	return r
}

// tidy forgets a run of which nothing is left.
func (s *Scheduler) tidy(r *run) {
	if len(r.jobs) > 0 || r.users > 0 || r.parts > 0 || r.stuck > 0 || s.runs[r.key] != r {
		return
	}
	for k := range kinds {
		if r.listed[k] {
			return
		}
	}
	delete(s.runs, r.key)
	if r.tenant.runs--; r.tenant.runs == 0 {
		delete(s.tenants, r.tenant.id)
	}
}

// available reports whether a kind may use the run now, and remembers that it wants to
// if not. Kinds take turns.
func (r *run) available(k kind) bool {
	free := r.users == 0
	if free && r.last == k {
		for other, wanted := range r.wanted {
			free = free && (!wanted || kind(other) == k)
		}
	}
	r.wanted[k] = !free
	return free
}

// use takes a run that is available to a kind.
func (r *run) use(k kind) {
	r.users++
	r.last = k
}

// release ends a transaction's use of a run.
func (s *Scheduler) release(r *run) {
	r.users--
	if r.users > 0 {
		return
	}
	for k := range kinds {
		if len(r.waiting[k]) > 0 || r.parts > 0 {
			s.examine(&r.tenant.lanes[k])
		}
	}
	s.tidy(r)
}

// withdrawn takes what waits of a kind out of a run, whose turn may be another kind's then.
func (s *Scheduler) withdrawn(r *run, k kind) []item {
	items := r.waiting[k]
	r.waiting[k], r.wanted[k] = nil, false
	if r.listed[k] {
		r.listed[k] = false
		l := &r.tenant.lanes[k]
		l.runs = slices.DeleteFunc(l.runs, func(other *run) bool { return other == r })
	}
	for other := range kinds {
		if len(r.waiting[other]) > 0 || r.parts > 0 {
			s.examine(&r.tenant.lanes[other])
		}
	}
	return items
}
