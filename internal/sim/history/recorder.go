package history

import (
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// Recorder takes down what clients ask and are answered, and what others write.
// Its methods may be called by many goroutines at once.
type Recorder struct {
	// Prompt says that nothing happens behind a client's back: what became of a
	// request is settled when its client goes on, though the client may not know it.
	// So it is in a simulated world. A real store may commit later.
	Prompt bool

	mu      sync.Mutex
	tick    int64
	tenants map[core.TenantID]*recorded
	order   []core.TenantID
	times   []seen
}

// recorded is what there is of one tenant until it becomes a history.
type recorded struct {
	ops       []*Op
	templates map[core.TemplateID][]version
}

// version is a price that a template has had: it can have been read from since on,
// until the tick at which the next one was certainly there.
type version struct {
	price        core.Credits
	since, until int64
}

// seen is the month at a tick.
type seen struct {
	tick   int64
	period core.Period
}

// NewRecorder makes an empty Recorder.
func NewRecorder() *Recorder { return &Recorder{tenants: map[core.TenantID]*recorded{}} }

// Request is what a client asks.
type Request struct {
	Client        int
	Kind          Kind
	Tenant        core.TenantID
	Run           core.RunID      // what it is about, unless it is initiated
	Template      core.TemplateID // of the run
	Files         int             // Initiate
	MaxRetryCount int             // Initiate, Raise
	Key           core.Key
	Amount        core.Credits // Purchase
	// MaxPrice is the highest price that an Initiate or Continue accepts; nil for any.
	MaxPrice *core.Credits
}

// Answer is what a client is answered.
type Answer struct {
	Run     core.Run
	Balance core.Balance // Balance, Preview
	Refusal *core.Error  // Preview: what a Continue would be told
	Err     error
}

// Asked is a request under way.
type Asked struct {
	op     *Op
	tenant *recorded
}

func (q *Asked) forget() {
	q.tenant.ops = slices.DeleteFunc(q.tenant.ops, func(other *Op) bool { return other == q.op })
}

func (r *Recorder) now() int64 {
	r.tick++
	return r.tick
}

func (r *Recorder) tenant(id core.TenantID) *recorded {
	t := r.tenants[id]
	if t == nil {
		t = &recorded{templates: map[core.TemplateID][]version{}}
		r.tenants[id] = t
		r.order = append(r.order, id)
	}
	return t
}

func (r *Recorder) saw(at time.Time) {
	if p := core.PeriodOf(at); len(r.times) == 0 || r.times[len(r.times)-1].period != p {
		r.times = append(r.times, seen{r.tick, p})
	}
}

// Saw tells the recorder what time it is, or was for a process meanwhile.
func (r *Recorder) Saw(at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.now()
	r.saw(at)
}

// Ask takes down a request, before it is sent.
func (r *Recorder) Ask(q Request, at time.Time) *Asked {
	r.mu.Lock()
	defer r.mu.Unlock()
	o := &Op{Request: q, Call: r.now(), Return: never, Open: true, place: -1}
	r.saw(at)
	t := r.tenant(q.Tenant)
	t.ops = append(t.ops, o)
	return &Asked{o, t}
}

// Answered takes down the answer to a request.
func (r *Recorder) Answered(q *Asked, a Answer, at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	o := q.op
	o.Return = r.now()
	r.saw(at)
	var refusal *core.Error
	reads := o.Kind == Balance || o.Kind == Preview
	switch {
	case a.Err == nil:
	case reads: // it says nothing
		q.forget()
		return
	case errors.As(a.Err, &refusal):
		o.code, o.needed, o.available = refusal.Code, refusal.Needed, refusal.Available
	case errors.Is(a.Err, ports.ErrCommitUnknown):
		if !r.Prompt {
			o.Return = never
		}
		return
	default: // a fault before the commit: it had no effect
		q.forget()
		return
	}
	o.Open = false
	o.status, o.attempt = a.Run.Status, a.Run.Attempt
	o.credits = core.Split{Monthly: a.Run.CreditsFromMonthly, Purchased: a.Run.CreditsFromPurchased}
	o.balance = a.Balance
	if o.Kind == Preview && a.Refusal != nil {
		o.code = a.Refusal.Code
	}
	if a.Run.ID != "" && o.Run == "" {
		o.Run = a.Run.ID
	}
}

// Lost takes down that a client goes on without an answer.
func (r *Recorder) Lost(q *Asked) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.Prompt {
		q.op.Return = r.now()
	}
}

// Forget forgets a request that is known to have had no effect.
func (r *Recorder) Forget(q *Asked) {
	r.mu.Lock()
	defer r.mu.Unlock()
	q.forget()
}

// Write is what was written, but not for a client: by workers, recovery, the refill,
// and the set-up.
type Write struct {
	Run     core.RunID
	Status  core.RunStatus // of the run, if its row was written
	Files   []core.File
	Entries []core.Entry
	// Given is a run that was there before anybody asked for it, with Files.
	Given *core.Run
}

// Before gives the tick before a transaction that is not a client's.
func (r *Recorder) Before() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.now()
}

// Wrote takes down what was committed since a tick; 0 for just now.
func (r *Recorder) Wrote(tenant core.TenantID, since int64, writes ...Write) {
	r.mu.Lock()
	defer r.mu.Unlock()
	t, until := r.tenant(tenant), r.now()
	if since == 0 {
		since = until
	}
	for i := range writes {
		w := &writes[i]
		for _, e := range w.Entries {
			grant := e.Amount
			if e.Kind == core.EntryCharge {
				grant = core.Split{Monthly: -grant.Monthly, Purchased: -grant.Purchased}
			}
			t.ops = append(t.ops, &Op{Request: Request{Kind: Grant}, Call: since, Return: until, place: -1, periods: []core.Period{e.Period}, grant: grant})
		}
		if w.Given != nil {
			o := &Op{Request: Request{Kind: Given, Run: w.Given.ID}, Call: since, Return: until, place: -1}
			o.given.Take(w.Given, w.Files)
			t.ops = append(t.ops, o)
			continue
		}
		if w.Run == "" {
			continue
		}
		o := &Op{Request: Request{Kind: Move, Run: w.Run}, Call: since, Return: until, place: -1, status: w.Status}
		for _, f := range w.Files {
			o.moves = append(o.moves, move{f.Index, f.Status, f.Failure.Code})
		}
		if len(o.moves) > 0 || o.status.Closed() {
			t.ops = append(t.ops, o)
		}
	}
}

// Priced takes down that a template has had a price since a tick; 0 for just now.
func (r *Recorder) Priced(tenant core.TenantID, id core.TemplateID, price core.Credits, since int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	t, until := r.tenant(tenant), r.now()
	if since == 0 {
		since = until
	}
	versions := t.templates[id]
	if n := len(versions); n > 0 {
		versions[n-1].until = until
	}
	t.templates[id] = append(versions, version{price, since, never})
}
