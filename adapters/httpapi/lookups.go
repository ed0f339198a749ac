package httpapi

import (
	"net/http"
	"strings"
	"time"

	"golang.org/x/time/rate"

	"github.com/redrive/redrive/core"
)

const (
	// turnsAtOnce is how many look-ups, or exchanges, there are at once for all addresses
	// that have sent too many credentials that are not valid.
	turnsAtOnce = 4
	// turnWait is how long one of them waits for its turn.
	turnWait = 10 * time.Second
)

// LookUp is for what has to be read from the store before it is known whether a credential
// is valid: an API key, a ticket, a session. Anybody can make up credentials of the right
// form, so their number is bounded. An address looks up as many at once as it may still send
// that are not valid. Beyond that all such addresses share a few turns: an honest caller
// behind the same proxy waits a little, and is not refused unless it waits for ten seconds,
// with rate_limited. Call done once Refused was told of a credential that was not valid.
func (l *Limiter) LookUp(h http.Header, req *http.Request) (done func(), err error) {
	if l == nil {
		return func() {}, nil
	}
	return l.enter(h, req, l.lookUps)
}

// Exchange is LookUp for what is asked of an identity provider to find out who signs in.
// It has its own turns, since a provider may be slow.
func (l *Limiter) Exchange(h http.Header, req *http.Request) (done func(), err error) {
	if l == nil {
		return func() {}, nil
	}
	return l.enter(h, req, l.exchanges)
}

func (l *Limiter) enter(h http.Header, req *http.Request, turns chan struct{}) (done func(), err error) {
	if done := l.begin(req); done != nil {
		return done, nil
	}
	done = func() { <-turns }
	select {
	case turns <- struct{}{}: // also if it may wait for no time at all
		return done, nil
	default:
	}
	timeout := time.NewTimer(l.limits.wait)
	defer timeout.Stop()
	select {
	case turns <- struct{}{}:
		return done, nil
	case <-timeout.C:
	case <-req.Context().Done():
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.limits.now()
	tokens := l.addresses.of(networkOf(l.limits.Address(req)), now)
	return nil, l.tooManyFailed(h, tokens, now)
}

// begin counts a look-up of an address that may still send credentials that are not valid;
// nil if it may not. Those under way count as if they were not valid, else a burst of them
// would come before the first is known to be.
func (l *Limiter) begin(req *http.Request) (done func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.limits.now()
	b := l.addresses.bucket(networkOf(l.limits.Address(req)), now)
	if b == nil {
		return func() {}
	}
	if b.tokens.TokensAt(now)-float64(b.underWay) < 1 {
		return nil
	}
	b.underWay++
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		b.underWay--
	}
}

// tooManyFailed is the refusal for an address, which tells to connect anew: else guessing
// goes on for nothing.
func (l *Limiter) tooManyFailed(h http.Header, tokens *rate.Limiter, now time.Time) *core.Error {
	h.Set("Connection", "close")
	return rateLimited(h, tokens, now, "%s that were not valid came from your address; check the one that you send, and wait for %s", l.limits.Failed)
}

// known gives the caller of a request, or why it is not let in: it is not known, or comes
// too often.
func (a *api) known(h http.Header, rt route, r *request) (actor core.Actor, challenge string, err error) {
	if a.looksUp(rt, r) {
		done, err := a.cfg.Limiter.LookUp(h, r.Request)
		if err != nil {
			return core.Actor{}, "", err
		}
		defer done()
	}
	actor, challenge, err = a.callerOf(rt, r)
	return actor, challenge, a.limited(h, r.Request, actor, challenge, err)
}

// looksUp reports whether the store is read, or written to, before the caller is known.
func (a *api) looksUp(rt route, r *request) bool {
	if rt.stream && a.cfg.Tickets != nil && strings.HasPrefix(r.URL.Query().Get("ticket"), ticketPrefix) {
		return true
	}
	token, isKey := bearerKey(r.Header)
	if isKey {
		_, _, isKey = core.ParseAPIKey(token)
	}
	return isKey
}
