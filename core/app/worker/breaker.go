package worker

import (
	"errors"
	"time"

	"github.com/sony/gobreaker/v2"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// verdict is what a job's results say about its provider.
type verdict struct {
	kind       verdictKind
	retryAfter time.Duration // the provider's wish; 0 for none
}

type verdictKind int

const (
	saysNothing  verdictKind = iota // it was not asked, or it is the file's own fault
	saysAnswered                    // it completed a file
	saysDown                        // no file of the job ended otherwise than by the provider's fault
)

// judge tells what the provider did from what the job's files did. A job of which
// something was completed has to be recorded, whatever else happened to it.
//
// A rate limit counts like any other failure and pauses nothing at once: a single
// one is what in-job retries are for, and others may well get through. Many in a
// row mean that nobody does; then the pause is as long as the provider asked for.
func judge(results []core.FileResult) verdict {
	v := verdict{kind: saysDown}
	if len(results) == 0 {
		v.kind = saysNothing
	}
	for i := range results {
		r := &results[i]
		switch {
		case r.Outcome == core.OutcomeCompleted:
			return verdict{kind: saysAnswered}
		case r.Outcome == core.OutcomePermanent || !r.Failure.ProviderDown():
			v.kind = saysNothing
		}
		v.retryAfter = max(v.retryAfter, r.RetryAfter)
	}
	return v
}

var (
	errDown    = errors.New("the provider failed a job")
	errNoUse   = errors.New("the job says nothing about the provider")
	allowProbe = uint32(1)
)

// endpoint is a provider with its breaker. Times are the machine's, since the
// breaker's are. All is guarded by Worker.mu.
type endpoint struct {
	name     string
	settings Breaker
	breaker  *gobreaker.TwoStepCircuitBreaker[struct{}]
	changed  func(e *endpoint, from, to gobreaker.State)
	inside   int // jobs let through that are not done with
	// stopped are the templates that it kept a job back of, to be named to the feed.
	stopped map[ports.TemplateKey]struct{}

	downSince time.Time // zero: not down
	openUntil time.Time
	notBefore time.Time // the provider's own wish
}

func newEndpoint(name string, s Breaker, changed func(e *endpoint, from, to gobreaker.State)) *endpoint {
	e := &endpoint{name: name, settings: s, changed: changed}
	e.renew()
	return e
}

// renew begins with a closed breaker.
func (e *endpoint) renew() {
	e.stopped = map[ports.TemplateKey]struct{}{}
	e.downSince, e.openUntil, e.notBefore = time.Time{}, time.Time{}, time.Time{}
	e.breaker = gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
		Name: e.name, MaxRequests: allowProbe, Timeout: e.settings.OpenFor,
		ReadyToTrip:   func(c gobreaker.Counts) bool { return int(c.ConsecutiveFailures) >= e.settings.Failures },
		IsExcluded:    func(err error) bool { return errors.Is(err, errNoUse) },
		OnStateChange: e.onStateChange,
	})
}

// onStateChange is called under the breaker's own lock.
func (e *endpoint) onStateChange(_ string, from, to gobreaker.State) {
	now := time.Now()
	switch to {
	case gobreaker.StateOpen:
		if e.downSince.IsZero() {
			e.downSince = now
		}
		e.openUntil = now.Add(e.settings.OpenFor)
	case gobreaker.StateClosed:
		e.stopped = map[ports.TemplateKey]struct{}{}
		e.downSince, e.openUntil, e.notBefore = time.Time{}, time.Time{}, time.Time{}
	case gobreaker.StateHalfOpen:
	}
	e.changed(e, from, to)
}

// givenUp reports whether the outage has lasted so long that nothing is kept back.
func (e *endpoint) givenUp(now time.Time) bool {
	return !e.downSince.IsZero() && now.Sub(e.downSince) >= e.settings.MaxOutage
}

// blocked reports whether nothing may go to the provider now. Nothing is changed.
func (e *endpoint) blocked(now time.Time) bool {
	if e.givenUp(now) {
		return false
	}
	switch e.breaker.State() {
	case gobreaker.StateOpen:
		return true
	case gobreaker.StateHalfOpen:
		counts := e.breaker.Counts()
		return now.Before(e.notBefore) || counts.Requests-counts.TotalExclusions >= allowProbe
	case gobreaker.StateClosed:
	}
	return false
}

// enter lets a job through, or not. report is nil if the outage was given up on:
// then the breaker is not asked.
func (e *endpoint) enter(now time.Time) (report func(error), ok bool) {
	if e.blocked(now) {
		return nil, false
	}
	if !e.givenUp(now) {
		var err error
		if report, err = e.breaker.Allow(); err != nil {
			return nil, false
		}
	}
	e.inside++
	return report, true
}

// leave takes in what a job that was let through says.
func (e *endpoint) leave(report func(error), v verdict, now time.Time) {
	e.inside--
	if v.kind == saysDown && v.retryAfter > 0 {
		if till := now.Add(v.retryAfter); till.After(e.notBefore) {
			e.notBefore = till
		}
	}
	switch {
	case report == nil && v.kind == saysAnswered && !e.downSince.IsZero():
		from := e.breaker.State()
		e.renew()
		e.changed(e, from, gobreaker.StateClosed)
	case report == nil:
	case v.kind == saysAnswered:
		report(nil)
	case v.kind == saysDown:
		report(errDown)
	default:
		report(errNoUse)
	}
}

// keepsBack reports whether a job that failed by the provider is better handed
// back than recorded.
func (e *endpoint) keepsBack(now time.Time) bool {
	return !e.givenUp(now) && e.breaker.State() != gobreaker.StateClosed
}

// forgettable reports whether a fresh one would be the same.
func (e *endpoint) forgettable() bool {
	return e.inside == 0 && len(e.stopped) == 0 && e.breaker.State() == gobreaker.StateClosed && e.breaker.Counts().ConsecutiveFailures == 0
}

// next is when time alone unblocks it; zero if it does not.
func (e *endpoint) next(now time.Time) time.Time {
	if !e.blocked(now) {
		return time.Time{}
	}
	givesUp := e.downSince.Add(e.settings.MaxOutage)
	probe := e.openUntil
	if e.notBefore.After(probe) {
		probe = e.notBefore
	}
	if !probe.After(now) || probe.After(givesUp) { // a probe is under way, or would come too late
		return givesUp
	}
	return probe
}
