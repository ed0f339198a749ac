package memory

import (
	"time"

	"github.com/redrive/redrive/core"
)

// writes is everything that one transaction wrote. The commit copies it, so that
// the next transaction can use its memory again.
type writes struct {
	tenant      core.Tenant
	newTenant   bool            // tenant is one that the transaction inserted
	savedTenant bool            // tenant is set
	templates   []core.Template // each ID once
	versions    []core.TemplateVersion
	answers     []core.Answer // each key once
	bulks       []*bulkWrites // each ID once
	made        []core.Bulk
	apiKeys     map[core.APIKeyID]core.APIKey
	replies     []core.Reply // each operation and key once
	posted      ledgerWrites
	audit       []core.AuditEvent
	webhooks    *webhookWrites // nil: nothing of them
	jobs        []core.Job     // to be sent with the commit
	runs        []*runWrites
	runsByID    map[core.RunID]*runWrites // nil while there are few
}

// runWrites is what a transaction wrote of one run.
type runWrites struct {
	id          core.RunID
	run         core.Run
	saved       bool // run is set
	inserted    bool
	newFiles    []core.File // of a run that this transaction inserted
	files       []core.File // ascending by index, each once
	attempts    []core.Attempt
	compensated map[core.AttemptNumber]time.Time
	amendments  []core.Amendment
}

// ledgerWrites is what a transaction posted, with the balances after it.
type ledgerWrites struct {
	purchased core.Credits
	monthly   []core.Balance // one for each period that it posted to
	entries   []core.Entry
}

// nothing is what a transaction wrote that has not written yet.
var nothing writes

// writes gives the place for what the transaction writes.
func (t *tx) writes() *writes {
	if t.wrote == &nothing {
		t.wrote = t.store.spare.writes()
	}
	return t.wrote
}

// template gives what was written of a template, or nil.
func (w *writes) template(id core.TemplateID) *core.Template {
	for i := range w.templates {
		if w.templates[i].ID == id {
			return &w.templates[i]
		}
	}
	return nil
}

// answer gives what was written under a key, or nil.
func (w *writes) answer(key core.Key) *core.Answer {
	for i := range w.answers {
		if w.answers[i].Key == key {
			return &w.answers[i]
		}
	}
	return nil
}

// fewRuns is up to how many runs are faster looked through than looked up.
const fewRuns = 8

// find gives what was written of a run, or nil.
func (w *writes) find(id core.RunID) *runWrites {
	if w.runsByID != nil {
		return w.runsByID[id]
	}
	for _, r := range w.runs {
		if r.id == id {
			return r
		}
	}
	return nil
}

// ofRun gives the place for what is written of a run.
func (w *writes) ofRun(id core.RunID) *runWrites {
	if r := w.find(id); r != nil {
		return r
	}
	r := w.nextRun()
	r.id = id
	switch {
	case w.runsByID != nil:
		w.runsByID[id] = r
	case len(w.runs) > fewRuns:
		w.runsByID = make(map[core.RunID]*runWrites, 2*len(w.runs))
		for _, r := range w.runs {
			w.runsByID[r.id] = r
		}
	}
	return r
}

// nextRun gives one of those that were used before, or a new one.
func (w *writes) nextRun() *runWrites {
	if n := len(w.runs); n < cap(w.runs) {
		if w.runs = w.runs[:n+1]; w.runs[n] == nil {
			w.runs[n] = &runWrites{}
		}
	} else {
		w.runs = append(w.runs, &runWrites{})
	}
	return w.runs[len(w.runs)-1]
}

func (w *writes) empty() {
	for _, r := range w.runs {
		r.empty()
	}
	runs := w.runs[:0]
	if cap(runs) > maxSpareRuns {
		runs = nil
	}
	*w = writes{
		templates: emptied(w.templates), versions: emptied(w.versions), answers: emptied(w.answers), replies: emptied(w.replies),
		runs: runs, audit: emptied(w.audit),
		posted: ledgerWrites{monthly: emptied(w.posted.monthly), entries: emptied(w.posted.entries)},
	}
}

func (w *runWrites) empty() {
	*w = runWrites{
		newFiles: emptied(w.newFiles), files: emptied(w.files), attempts: emptied(w.attempts),
		amendments: emptied(w.amendments),
	}
}

// emptied keeps the memory of a list that is not too long, and nothing that its
// rows point to.
func emptied[T any](list []T) []T {
	if cap(list) > maxSpareRows {
		return nil
	}
	clear(list)
	return list[:0]
}
