package llm

import (
	"container/list"
	"crypto/sha256"
	"fmt"
	"regexp"
	"strings"
	"sync"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// When the same bare refusal of different files becomes ours: so many files of so
// many runs, and none of the template's completed in between.
const (
	refusedFiles = 3
	refusedRuns  = 2
)

// Bounds of the memory, about 1 KiB a template.
const (
	maxRefusedTemplates = 1024
	maxRefusalsEach     = 4 // different refusals that are told apart for one template
)

// refusals remembers requests that were refused without a reason. A refusal that
// says nothing may be about the file or about every request that is made of this
// template; only several different files, which have nothing else in common, show
// that it is the second. It is a process's own: another one learns by itself.
//
// It may be used by many goroutines at once.
type refusals struct {
	mu         sync.Mutex
	recent     list.List // of *refusedTemplate, the latest refused first
	byTemplate map[templateKey]*list.Element
}

// templateKey is a template in the version that a run works with.
type templateKey struct {
	tenant  core.TenantID
	id      core.TemplateID
	version int
}

type refusedTemplate struct {
	key   templateKey
	seen  map[digest]*sightings // by what was said
	order []digest
}

// sightings are the files and runs that one refusal was seen with, no more of them
// than decide.
type sightings struct {
	files map[digest]bool
	runs  map[core.RunID]bool
}

type digest [sha256.Size]byte

func newRefusals() *refusals {
	return &refusals{byTemplate: map[templateKey]*list.Element{}}
}

func keyOf(task ports.Task) templateKey {
	return templateKey{task.Job.Tenant, task.Template.ID, task.Template.Version}
}

// fileDigest tells files apart. Name and text are what the model is asked about: the
// same file in another run is no other file.
func fileDigest(name, text string) digest {
	return sha256.Sum256(fmt.Appendf(nil, "%q %s", name, text))
}

// changing is what differs between two answers that say the same: numbers,
// identifiers, quoted words.
var changing = regexp.MustCompile("[\"'`][^\"'`]*[\"'`]|[0-9a-f-]{8,}|[0-9]+")

// saying is a refusal without what differs from request to request.
func saying(f fault, status int) digest {
	said := changing.ReplaceAllString(f.words, "")
	return sha256.Sum256(fmt.Appendf(nil, "%d %s %s", status, strings.Join(f.codes, " "), said[:min(len(said), 300)]))
}

// add notes a refusal of a file and reports whether by now it is known to be of the
// template.
func (r *refusals) add(key templateKey, run core.RunID, said, file digest) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.template(key).sightings(said)
	if len(s.files) < refusedFiles {
		s.files[file] = true
	}
	if len(s.runs) < refusedRuns {
		s.runs[run] = true
	}
	return len(s.files) >= refusedFiles && len(s.runs) >= refusedRuns
}

// completed forgets the refusals of a template: it has a shape that the model takes.
func (r *refusals) completed(key templateKey) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if e, ok := r.byTemplate[key]; ok {
		r.remove(e)
	}
}

// template finds or makes the entry, and lets go of the one that was refused the
// longest ago if there are too many; the caller holds mu.
func (r *refusals) template(key templateKey) *refusedTemplate {
	if e, ok := r.byTemplate[key]; ok {
		r.recent.MoveToFront(e)
		return entry(e)
	}
	if r.recent.Len() >= maxRefusedTemplates {
		r.remove(r.recent.Back())
	}
	t := &refusedTemplate{key: key, seen: map[digest]*sightings{}}
	r.byTemplate[key] = r.recent.PushFront(t)
	return t
}

// remove takes an entry out; the caller holds mu.
func (r *refusals) remove(e *list.Element) {
	delete(r.byTemplate, entry(e).key)
	r.recent.Remove(e)
}

// entry is what an element of recent holds; nothing else is ever put there.
func entry(e *list.Element) *refusedTemplate {
	t, ok := e.Value.(*refusedTemplate)
	if !ok {
		panic(fmt.Sprintf("llm: a list of refused templates holds %T", e.Value))
	}
	return t
}

func (t *refusedTemplate) sightings(said digest) *sightings {
	if s, ok := t.seen[said]; ok {
		return s
	}
	if len(t.order) >= maxRefusalsEach {
		delete(t.seen, t.order[0])
		t.order = t.order[1:]
	}
	s := &sightings{files: map[digest]bool{}, runs: map[core.RunID]bool{}}
	t.seen[said] = s
	t.order = append(t.order, said)
	return s
}
