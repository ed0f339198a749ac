// What is done to a whole store at once, for simulations, which play many short lives of one.

package memory

import "github.com/redrive/redrive/core"

// Contents is what a tenant begins with, as use cases would have written it.
type Contents struct {
	Tenant    core.Tenant
	Templates []core.Template
	Versions  []core.TemplateVersion
	Entries   []core.Entry // by Seq, from 1
	Balance   core.Balance // after them; they are all of its period
	Runs      []RunContents
}

// RunContents is a run with its files, by index, and its attempts.
type RunContents struct {
	Run      core.Run
	Files    []core.File
	Attempts []core.Attempt
}

// Load writes what a tenant begins with, without the locks and checks that use cases
// need. The attempts' own lists are kept: they must not be changed before Reset.
func (s *Store) Load(c *Contents) {
	t := s.begin(c.Tenant.ID, false)
	defer s.end(t)
	w := t.writes()
	w.tenant, w.newTenant, w.savedTenant = c.Tenant, true, true
	w.templates = append(w.templates, c.Templates...)
	w.versions = append(w.versions, c.Versions...)
	w.posted.purchased = c.Balance.Purchased
	w.posted.monthly = append(w.posted.monthly, c.Balance)
	w.posted.entries = append(w.posted.entries, c.Entries...)
	for i := range c.Runs {
		from := &c.Runs[i]
		r := w.ofRun(from.Run.ID)
		r.run, r.saved, r.inserted = from.Run, true, true
		r.newFiles = append(r.newFiles, from.Files...)
		r.attempts = append(r.attempts, from.Attempts...)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.apply(t.tenant, w)
}

// Reset empties the store and keeps its memory for what comes next, which is what
// makes many short lives of one store cheap. It must not be in use meanwhile.
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
		clear(st.versions)
		clear(st.runs)
		st.answers.reset()
		clear(st.bulks)
		clear(st.apiKeys)
		clear(st.replies)
		clear(st.byKey)
		clear(st.refunds)
		clear(st.entries)
		clear(st.audit)
		st.webhooks = webhookState{}
		st.tenant, st.purchased, st.order, st.monthly, st.entries, st.audit = core.Tenant{}, 0, st.order[:0], st.monthly[:0], st.entries[:0], st.audit[:0]
		s.spareTenants = append(s.spareTenants, st)
	}
	clear(s.tenants)
	clear(s.owners)
	clear(s.running)
	clear(s.moves)
	s.sessions.reset()
	s.bulks.reset()
	s.tickets.reset()
	s.locks.Reset()
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
