package scheduler

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// inside is a job in the breaker of a property.
type inside struct {
	job  core.Job
	pass pass
}

// ruled is a breaker that is sent any jobs, with what must always hold of it.
type ruled struct {
	b    breaker
	now  time.Time
	in   []inside
	over []Interruption // not reported yet
	// failures are the templates that failed since they were answered.
	failures map[ports.TemplateKey]bool
	handed   map[core.JobID]int // hand backs while others were answered in between
	since    map[core.JobID]bool
}

func newRuled() *ruled {
	return &ruled{
		b: newBreaker(quick), now: time.Date(2026, 11, 10, 9, 0, 0, 0, time.UTC),
		failures: map[ports.TemplateKey]bool{}, handed: map[core.JobID]int{}, since: map[core.JobID]bool{},
	}
}

func (r *ruled) enter(t *rapid.T) {
	j := job(fmt.Sprintf("%s/%s/%d",
		rapid.SampledFrom([]string{"a", "b"}).Draw(t, "tenant"),
		rapid.SampledFrom([]string{"t", "u", "v"}).Draw(t, "template"),
		rapid.IntRange(0, 5).Draw(t, "file")))
	for _, other := range r.in {
		if other.job.ID == j.ID {
			return
		}
	}
	stops := r.b.stops(j, r.now)
	pass, ok := r.b.enter(j, r.now)
	if ok && stops && !pass.dropping {
		t.Fatalf("%s entered a closed door", j.ID)
	}
	if !ok && !r.troubled(templateOf(j)) {
		t.Fatalf("%s is kept back although nothing of the kind failed", j.ID)
	}
	if ok {
		r.in = append(r.in, inside{j, pass})
	}
	if rapid.IntRange(0, 9).Draw(t, "dropped") == 0 && ok {
		r.b.noEffect(j, &r.in[len(r.in)-1].pass)
		r.leaveAt(t, len(r.in)-1, nothing)
	}
}

// troubled reports whether there is any reason to keep a template's jobs back: it
// failed itself, or two that it may share its trouble with did.
func (r *ruled) troubled(key ports.TemplateKey) bool {
	if r.failures[key] {
		return true
	}
	tenants := map[core.TenantID]int{}
	for other := range r.failures {
		tenants[other.Tenant]++
	}
	return len(tenants) > 1 || tenants[key.Tenant] > 1
}

func (r *ruled) leave(t *rapid.T) {
	if len(r.in) == 0 {
		return
	}
	v := rapid.SampledFrom([]Verdict{answered, answered, nothing, timeout, timeout, wrongKey, shape, limited(2 * time.Minute)}).Draw(t, "verdict")
	r.leaveAt(t, rapid.IntRange(0, len(r.in)-1).Draw(t, "which"), v)
}

func (r *ruled) leaveAt(t *rapid.T, i int, v Verdict) {
	it := r.in[i]
	r.in = append(r.in[:i], r.in[i+1:]...)
	key, id := templateOf(it.job), it.job.ID
	d := r.b.leave(it.job, &it.pass, v, r.now)
	if it.pass != (pass{}) {
		t.Fatal("a pass can be used twice")
	}
	switch {
	case v.kind == saysAnswered:
		delete(r.failures, key)
		for other := range r.handed {
			r.since[other] = true
		}
		delete(r.handed, id)
		if r.b.stops(it.job, r.now) {
			t.Fatalf("%s was answered and is kept back", key.Template)
		}
	case v.kind.failed():
		r.failures[key] = true
	}
	if d.handBack && !v.kind.failed() {
		t.Fatal("handed back though it did not fail")
	}
	if d.handBack {
		if r.since[id] {
			r.handed[id]++
			r.since[id] = false
		}
		if r.handed[id] > downLimit+1 {
			t.Fatalf("%s comes back for ever", id)
		}
		if _, there := r.handed[id]; !there {
			r.handed[id] = 0
		}
	} else if v.kind.failed() {
		delete(r.handed, id)
	}
	if len(d.interrupt.Templates) > 0 {
		if !d.handBack || !d.interrupt.Why.Blocks() {
			t.Fatal("interrupted without a reason")
		}
		r.over = append(r.over, d.interrupt)
	}
}

func (r *ruled) pass(t *rapid.T) {
	r.now = r.now.Add(time.Duration(rapid.IntRange(0, 40_000).Draw(t, "ms")) * time.Millisecond)
}

func (r *ruled) interrupt(t *rapid.T) {
	if len(r.over) > 0 {
		i := rapid.IntRange(0, len(r.over)-1).Draw(t, "interruption")
		r.b.interrupted(r.over[i], r.now)
		r.over = append(r.over[:i], r.over[i+1:]...)
	}
}

// holds is what is true at any time.
func (r *ruled) holds(t *rapid.T) {
	probes := map[*outage]int{}
	counts := map[*circuit]int{}
	for _, it := range r.in {
		counts[it.pass.circuit]++
		if p := it.pass.probe; p != nil && p.number == it.pass.number {
			probes[p]++
		}
	}
	for o, n := range probes {
		if n > 1 || !o.probing {
			t.Fatalf("%d probes at once", n)
		}
	}
	for _, e := range r.b.endpoints {
		for key, c := range e.circuits {
			if c.inside != counts[c] {
				t.Fatalf("%v counts %d jobs and has %d", key, c.inside, counts[c])
			}
			if c.probing != (probes[&c.outage] > 0) {
				t.Fatalf("%v waits for a probe that is none", key)
			}
		}
		if e.whole.probing != (probes[&e.whole] > 0) {
			t.Fatal("all wait for a probe that is none")
		}
	}
	if n := len(r.b.suspects.jobs); n > mostSuspects || len(r.b.suspects.order) > 2*mostSuspects {
		t.Fatalf("%d suspects", n)
	}
	o := outlook{room: 16}
	r.b.look(&o, r.now)
	if !o.till.IsZero() && !o.till.After(r.now) {
		t.Fatal("looks again in the past")
	}
}

// At most one probe of an outage is under way, who has nothing to do with it is not kept
// back, no job comes back for ever, and all that was kept back is let in again in the end.
func TestBreakerProperties(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		r := newRuled()
		t.Repeat(map[string]func(*rapid.T){
			"enter": r.enter, "enters": r.enter, "leave": r.leave, "time": r.pass, "interrupted": r.interrupt, "": r.holds,
		})
		for len(r.in) > 0 {
			r.leaveAt(t, 0, nothing)
		}
		// Whatever happened: what comes within the longest wait is let in, and when all is
		// answered nothing is remembered but the files that failed.
		r.now = r.now.Add(quick.MaxOutage + preferOthers)
		for _, name := range []string{"a/t/1", "a/u/1", "a/v/1", "b/t/1", "b/u/1", "b/v/1"} {
			j := job(name)
			p, ok := r.b.enter(j, r.now)
			if !ok {
				t.Fatalf("%s is kept back for ever", name)
			}
			r.b.leave(j, &p, answered, r.now)
		}
		if len(r.b.endpoints) != 0 {
			t.Fatalf("an endpoint is left: %+v", r.b.stats(r.now))
		}
	})
}

// An outlook says when time alone changes it: at that time one that was kept back may
// enter.
func TestOutlookIsPunctual(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		r := newRuled()
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			rapid.SampledFrom([]func(*rapid.T){r.enter, r.leave, r.pass}).Draw(t, "step")(t)
		}
		for len(r.in) > 0 {
			r.leaveAt(t, 0, nothing)
		}
		for range 10 {
			o := outlook{room: 16}
			r.b.look(&o, r.now)
			if len(o.skip.Templates) == 0 {
				return
			}
			if o.till.IsZero() {
				t.Fatalf("%v wait for nothing", o.skip.Templates)
			}
			r.now = o.till
		}
		t.Fatal("they wait for ever")
	})
}

// Suspects are bounded, and the oldest are forgotten first.
func TestSuspectsAreBounded(t *testing.T) {
	t.Parallel()
	var s suspects
	for i := range 3 * mostSuspects {
		s.add(job(fmt.Sprint("acme/t/", i)), 1)
		if i%2 == 0 {
			s.forget(job(fmt.Sprint("acme/t/", i)))
		}
	}
	if len(s.jobs) > mostSuspects || len(s.order) > 2*mostSuspects {
		t.Fatalf("%d, %d", len(s.jobs), len(s.order))
	}
	if !s.failedIn(job(fmt.Sprint("acme/t/", 3*mostSuspects-1)), 1) || s.failedIn(job("acme/t/1"), 1) {
		t.Fatal("the wrong ones are forgotten")
	}
}
