package llm

import (
	"context"
	"sync"
	"time"

	"github.com/redrive/redrive/core"
)

const (
	// pilotWait is how long files wait for the first request of their template. A
	// credential or an address that is wrong is refused at once; an answer takes
	// longer, and is not worth waiting for.
	pilotWait = time.Second
	// maxPilots bounds the templates that are known to be answered. Beyond it all are
	// forgotten, which costs each of them one wait.
	maxPilots = 4096
)

// pilots let one request of a template go first, as long as the provider is not known
// to take its requests: since the start, or since it last refused one by a fault of
// ours. Many files that begin at the same moment would else all be refused, before
// the worker knows better than to send them.
//
// It may be used by many goroutines at once.
type pilots struct {
	mu        sync.Mutex
	templates map[templateKey]*pilot
}

// pilot is what is known of one template's requests.
type pilot struct {
	answered bool     // the provider takes them
	first    *request // the one under way that the others wait for; nil: none
}

// request is one that others wait for. refusal is set before done is closed.
type request struct {
	done    chan struct{}
	refusal *core.FileResult // what the others have as well; nil: they ask themselves
}

func newPilots() *pilots { return &pilots{templates: map[templateKey]*pilot{}} }

// before waits for the template's first request if it is under way. If that was
// refused by a fault of ours, refusal is what this file has too, unasked. Else the
// caller asks, and tells the result to after.
func (p *pilots) before(ctx context.Context, key templateKey) (after func(core.FileResult), refusal *core.FileResult) {
	p.mu.Lock()
	t := p.templates[key]
	if t == nil {
		if len(p.templates) >= maxPilots {
			clear(p.templates)
		}
		t = &pilot{}
		p.templates[key] = t
	}
	first := t.first
	if !t.answered && first == nil {
		t.first = &request{done: make(chan struct{})}
		p.mu.Unlock()
		return func(r core.FileResult) { p.after(t, r); p.over(t) }, nil
	}
	p.mu.Unlock()
	if first != nil {
		timer := time.NewTimer(pilotWait)
		defer timer.Stop()
		select {
		case <-first.done:
			if first.refusal != nil {
				return nil, first.refusal
			}
		case <-timer.C:
		case <-ctx.Done():
		}
	}
	return func(r core.FileResult) { p.after(t, r) }, nil
}

// after takes in what a request came to. A result without an outcome says nothing.
func (p *pilots) after(t *pilot, r core.FileResult) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case r.Outcome == "":
	case everyFiles(r):
		t.answered = false
		if t.first != nil {
			t.first.refusal = &core.FileResult{Outcome: r.Outcome, Failure: r.Failure}
		}
	default:
		t.answered = true
	}
}

// over lets those go on who wait for the first request.
func (p *pilots) over(t *pilot) {
	p.mu.Lock()
	defer p.mu.Unlock()
	close(t.first.done)
	t.first = nil
}
