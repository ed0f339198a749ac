package worker

import (
	"sync"
	"time"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// lanes gather what is to be written of a kind, a lane for each tenant. While one
// group of a lane is being written the next gathers, so groups grow with the load;
// lanes do not wait for each other.
type lanes struct {
	kind   kind
	runs   *runsInUse
	linger time.Duration // before the first group of a lane that was empty
	cost   func(*entry) int
	write  func(take func() []*entry) // take gives the group; call it as late as possible
	active *sync.WaitGroup

	// Guarded by runs.mu.
	waiting map[core.TenantID][]*entry // a tenant that is here has a goroutine
	closing bool                       // runs are not waited for any more
}

// kind is what a transaction does with its runs.
type kind int

const (
	claiming kind = iota
	settling
	handingBack
	kinds
)

func newLanes(k kind, runs *runsInUse, active *sync.WaitGroup, cost func(*entry) int, write func(func() []*entry)) *lanes {
	return &lanes{kind: k, runs: runs, cost: cost, write: write, active: active, waiting: map[core.TenantID][]*entry{}}
}

// add puts entries of one tenant into its lane; they are written soon. It does
// not block.
func (l *lanes) add(entries ...*entry) {
	if len(entries) == 0 {
		return
	}
	tenant := entries[0].job.Tenant
	l.runs.mu.Lock()
	defer l.runs.mu.Unlock()
	gathered, busy := l.waiting[tenant]
	l.waiting[tenant] = append(gathered, entries...)
	if busy {
		l.runs.changed.Broadcast()
		return
	}
	l.active.Go(func() { l.run(tenant) })
}

func (l *lanes) run(tenant core.TenantID) {
	if l.linger > 0 {
		time.Sleep(l.linger) // by the machine's clock: it is about company, not about what time it is
	}
	for l.more(tenant) {
		l.write(func() []*entry { return l.take(tenant) })
	}
}

// more waits until something can be written; it is false if nothing is left, and
// then the lane ends.
func (l *lanes) more(tenant core.TenantID) bool {
	l.runs.mu.Lock()
	defer l.runs.mu.Unlock()
	for len(l.waiting[tenant]) > 0 {
		for _, e := range l.waiting[tenant] {
			if l.closing || l.runs.available(runOf(e.job), l.kind) {
				return true
			}
		}
		l.runs.changed.Wait()
	}
	delete(l.waiting, tenant)
	return false
}

// take takes what can be written of what has gathered, up to a cost but at least
// one, and its runs into use.
func (l *lanes) take(tenant core.TenantID) []*entry {
	l.runs.mu.Lock()
	defer l.runs.mu.Unlock()
	var group, left []*entry
	cost, full := 0, false
	mine := map[ports.RunKey]bool{}
	for _, e := range l.waiting[tenant] {
		run := runOf(e.job)
		can, known := mine[run]
		if !known {
			can = l.closing || l.runs.available(run, l.kind)
			mine[run] = can
		}
		if c := l.cost(e); can && !full && (len(group) == 0 || cost+c <= groupCost) {
			group, cost = append(group, e), cost+c
			l.runs.use(run, l.kind)
			continue
		} else if can {
			full = true
		}
		left = append(left, e)
	}
	l.waiting[tenant] = left
	return group
}

// takeRun takes everything out that waits for one run.
func (l *lanes) takeRun(run ports.RunKey) (group []*entry) {
	l.runs.mu.Lock()
	defer l.runs.mu.Unlock()
	gathered, there := l.waiting[run.Tenant]
	if !there {
		return nil
	}
	var left []*entry
	for _, e := range gathered {
		if runOf(e.job) == run {
			group = append(group, e)
		} else {
			left = append(left, e)
		}
	}
	l.waiting[run.Tenant] = left
	l.runs.wantNoMore(run, l.kind)
	l.runs.changed.Broadcast()
	return group
}

// close makes the lanes give out what waits for runs that are in use.
func (l *lanes) close() {
	l.runs.mu.Lock()
	defer l.runs.mu.Unlock()
	l.closing = true
	l.runs.changed.Broadcast()
}

// runsInUse are the runs that this process is writing, so that its own
// transactions do not meet at a run's lock: the one that came second would find it
// held, and have been for nothing. Nothing depends on it but speed.
type runsInUse struct {
	mu      sync.Mutex
	changed *sync.Cond
	runs    map[ports.RunKey]*runUse
}

// runUse says who writes a run, who wrote it last, and who wants to.
type runUse struct {
	busy   bool
	last   kind
	wanted [kinds]bool
}

func newRunsInUse() *runsInUse {
	r := &runsInUse{runs: map[ports.RunKey]*runUse{}}
	r.changed = sync.NewCond(&r.mu)
	return r
}

// available reports whether a kind may use a run now, and remembers that it wants
// to if not. Kinds take turns. The caller holds mu.
func (r *runsInUse) available(run ports.RunKey, k kind) bool {
	u := r.runs[run]
	if u == nil {
		return true
	}
	free := !u.busy
	if free && u.last == k {
		for other, wanted := range u.wanted {
			free = free && (!wanted || kind(other) == k)
		}
	}
	u.wanted[k] = !free
	return free
}

func (r *runsInUse) use(run ports.RunKey, k kind) {
	u := r.runs[run]
	if u == nil {
		u = &runUse{}
		r.runs[run] = u
	}
	u.busy, u.last, u.wanted[k] = true, k, false
}

// free ends the use of the runs of these entries.
func (r *runsInUse) free(entries []*entry) {
	if len(entries) == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range entries {
		if u := r.runs[runOf(e.job)]; u != nil {
			u.busy = false
			r.forget(runOf(e.job), u)
		}
	}
	r.changed.Broadcast()
}

func (r *runsInUse) wantNoMore(run ports.RunKey, k kind) {
	if u := r.runs[run]; u != nil {
		u.wanted[k] = false
		r.forget(run, u)
	}
}

func (r *runsInUse) forget(run ports.RunKey, u *runUse) {
	if !u.busy && u.wanted == [kinds]bool{} {
		delete(r.runs, run)
	}
}
