package chaos

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/redrive/redrive/cmd/server/fakellm"
)

// Shares of the provider's requests, in hundredths.
const (
	failingFiles    = 20 // of the dispatches of a file: every try fails
	failingRequests = 10 // of the other requests: the next try may succeed
	refusedFiles    = 1  // of the files, always
)

// provider decides what happens to each request, and counts them. The requests of one
// dispatch of a file have the same idempotency key.
type provider struct {
	seed uint64

	mu    sync.Mutex
	files map[string][]string // the keys of a file, in order of arrival
	calls map[string]*calls   // by key
}

// calls counts the requests under one key.
type calls struct {
	file      string
	requests  int
	completed int // answered with a result
}

func newProvider(seed uint64) *provider {
	return &provider{seed: seed, files: map[string][]string{}, calls: map[string]*calls{}}
}

// decide is the script. It depends on the file, on the number of this dispatch and of this
// request, and on the seed.
func (p *provider) decide(in fakellm.Request) fakellm.Action {
	key := in.Header.Get("Idempotency-Key")
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.calls[key]
	if c == nil {
		c = &calls{file: in.File}
		p.calls[key] = c
		p.files[in.File] = append(p.files[in.File], key)
	}
	c.requests++
	dispatch := slices.Index(p.files[in.File], key)

	if p.roll(in.File, "refused", 0, 0).IntN(100) < refusedFiles {
		return fakellm.Refuse("not this one")
	}
	r := p.roll(in.File, "request", dispatch, c.requests)
	if p.roll(in.File, "dispatch", dispatch, 0).IntN(100) < failingFiles || r.IntN(100) < failingRequests {
		failures := []fakellm.Action{
			fakellm.RateLimit(50 * time.Millisecond), fakellm.Status(http.StatusServiceUnavailable, "overloaded"),
			fakellm.Status(http.StatusGatewayTimeout, ""), fakellm.Malformed(), fakellm.Drop(),
		}
		return failures[r.IntN(len(failures))]
	}
	c.completed++
	return fakellm.Slow(time.Duration(r.IntN(40))*time.Millisecond, fakellm.OK())
}

func (p *provider) roll(file, what string, dispatch, request int) *rand.Rand {
	h := fnv.New64a()
	_, _ = fmt.Fprintf(h, "%s %s %d %d", file, what, dispatch, request) // a hash takes everything
	return rand.New(rand.NewPCG(p.seed, h.Sum64()))
}

// each calls do for every key.
func (p *provider) each(do func(key string, c calls)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for key, c := range p.calls {
		do(key, *c)
	}
}
