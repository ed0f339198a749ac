package llm

import (
	"context"
	"sync"
	"time"

	"github.com/redrive/redrive/core"
)

const (
	// pilotWait is how long files wait for the first request of their template. A wrong
	// credential or address is refused at once. An answer takes longer, and is not worth
	// waiting for.
	pilotWait = time.Second
	// maxPilots bounds the number of templates. When it is reached all are forgotten,
	// which costs each of them one wait.
	maxPilots = 4096
)

// pilots let one request of a template go first while the provider is not known to
// accept the template's requests: after the start, and after it refused one by a fault
// of ours. Otherwise many files that begin at the same moment would all be refused,
// before the worker learns of the fault.
//
// It may be used by many goroutines at once.
type pilots struct {
	mu        sync.Mutex
	templates map[templateKey]*pilot
}

// pilot is what is known of one template's requests.
type pilot struct {
	answered bool     // the provider accepts them
	first    *request // the one under way that the others wait for; nil: none
}

// request is one that other files wait for. refusal is set before done is closed.
type request struct {
	done    chan struct{}
	refusal *core.FileResult // the result of the waiting files as well; nil: they make their own requests
}

func newPilots() *pilots { return &pilots{templates: map[templateKey]*pilot{}} }

// before waits for the template's first request if it is under way. If that was refused
// by a fault of ours, refusal is the result of this file too, without a request. Else
// the caller makes its request, and passes the result to after.
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
		return func(r core.FileResult) { p.after(t, r); p.release(t) }, nil
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

// after records the result of a request. A result without an outcome is ignored.
func (p *pilots) after(t *pilot, r core.FileResult) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case r.Outcome == "":
	case blocksAll(r):
		t.answered = false
		if t.first != nil {
			t.first.refusal = &core.FileResult{Outcome: r.Outcome, Failure: r.Failure}
		}
	default:
		t.answered = true
	}
}

// release lets the files that wait for the first request go on.
func (p *pilots) release(t *pilot) {
	p.mu.Lock()
	defer p.mu.Unlock()
	close(t.first.done)
	t.first = nil
}
