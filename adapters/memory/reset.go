package memory

import (
	"github.com/redrive/redrive/core"
)

// Look shows a tenant's committed runs, oldest first, without copying them: what
// it is shown must not be changed or kept. Commits wait until it has returned.
func (s *Store) Look(tenant core.TenantID, look func(run *core.Run, files []core.File)) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	st := s.tenants[tenant]
	if st == nil {
		return
	}
	for _, cursor := range st.order {
		r := st.runs[cursor.ID]
		look(&r.run, r.files)
	}
}

// Reset empties the store and keeps its memory for what comes next, which is what
// makes many short lives of one store cheap. Nobody may use it meanwhile.
func (s *Store) Reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, st := range s.tenants {
		for _, r := range st.runs {
			clear(r.files)
			clear(r.attempts)
			*r = runState{files: r.files[:0], attempts: r.attempts[:0]}
			s.spareRuns = append(s.spareRuns, r)
		}
		st.templates.reset()
		clear(st.runs)
		st.answers.reset()
		clear(st.byKey)
		clear(st.refunds)
		clear(st.entries)
		st.tenant, st.purchased, st.order, st.monthly, st.entries = core.Tenant{}, 0, st.order[:0], st.monthly[:0], st.entries[:0]
		s.spareTenants = append(s.spareTenants, st)
	}
	clear(s.tenants)
	clear(s.owners)
	clear(s.running)
	s.locks.reset()
}

func (s *Store) newTenant() *tenantState {
	if n := len(s.spareTenants); n > 0 {
		st := s.spareTenants[n-1]
		s.spareTenants = s.spareTenants[:n-1]
		return st
	}
	return &tenantState{
		runs: map[core.RunID]*runState{}, byKey: map[core.Key]int{}, refunds: map[core.Key]bool{},
	}
}

func (s *Store) newRun() *runState {
	if n := len(s.spareRuns); n > 0 {
		r := s.spareRuns[n-1]
		s.spareRuns = s.spareRuns[:n-1]
		return r
	}
	return &runState{}
}
