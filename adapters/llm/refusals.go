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

// How many files, of how many runs, must meet the same unexplained refusal before it
// counts as a fault of ours. No file of the template may have completed in between.
const (
	refusedFiles = 3
	refusedRuns  = 2
)

// Bounds of the memory, about 1 KiB a template.
const (
	maxRefusedTemplates = 1024
	maxRefusalsEach     = 4 // different refusals of one template
)

// refusals remembers requests that were refused without a known reason. Such a refusal
// may concern the file, or every request of this template. Only several different files,
// which have nothing else in common, show that it concerns the template. Each process
// has its own memory.
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
	seen  map[digest]*sightings // by refusalDigest
	order []digest
}

// sightings are the files and runs that met one refusal, up to the number that decides.
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

// fileDigest identifies a file by its name and text, which is what the model gets: the
// same file in another run counts as the same.
func fileDigest(name, text string) digest {
	return sha256.Sum256(fmt.Appendf(nil, "%q %s", name, text))
}

// variable matches what differs between two answers with the same meaning: numbers,
// identifiers, quoted words.
var variable = regexp.MustCompile("[\"'`][^\"'`]*[\"'`]|[0-9a-f-]{8,}|[0-9]+")

// refusalDigest identifies a refusal without the parts that differ from request to request.
func refusalDigest(f fault, status int) digest {
	said := variable.ReplaceAllString(f.words, "")
	return sha256.Sum256(fmt.Appendf(nil, "%d %s %s", status, strings.Join(f.codes, " "), said[:min(len(said), 300)]))
}

// add records a refusal of a file and reports whether it is now known to concern the
// template.
func (r *refusals) add(key templateKey, run core.RunID, refusal, file digest) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.template(key).sightings(refusal)
	if len(s.files) < refusedFiles {
		s.files[file] = true
	}
	if len(s.runs) < refusedRuns {
		s.runs[run] = true
	}
	return len(s.files) >= refusedFiles && len(s.runs) >= refusedRuns
}

// completed forgets the refusals of a template: the model accepts its requests.
func (r *refusals) completed(key templateKey) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if e, ok := r.byTemplate[key]; ok {
		r.remove(e)
	}
}

// template finds or makes the entry, and drops the one with the oldest refusal if there
// are too many; the caller holds mu.
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

// entry gives the value of an element of recent, which holds no other type.
func entry(e *list.Element) *refusedTemplate {
	t, ok := e.Value.(*refusedTemplate)
	if !ok {
		panic(fmt.Sprintf("llm: a list of refused templates holds %T", e.Value))
	}
	return t
}

func (t *refusedTemplate) sightings(refusal digest) *sightings {
	if s, ok := t.seen[refusal]; ok {
		return s
	}
	if len(t.order) >= maxRefusalsEach {
		delete(t.seen, t.order[0])
		t.order = t.order[1:]
	}
	s := &sightings{files: map[digest]bool{}, runs: map[core.RunID]bool{}}
	t.seen[refusal] = s
	t.order = append(t.order, refusal)
	return s
}
