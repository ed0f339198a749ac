package scheduler

import (
	"time"

	"github.com/redrive/redrive/core"
)

// cause is why jobs are kept back.
type cause int

const (
	causeNone    cause = iota
	causeDown          // the provider's trouble in passing
	causeBlocked       // a fault of ours
)

func (c cause) String() string {
	switch c {
	case causeDown:
		return "provider"
	case causeBlocked:
		return "service"
	case causeNone:
	}
	return ""
}

const (
	// firstProbe is after what time the first probe is made of a fault of ours, which an
	// operator may mend any moment and costs a refused request; it doubles with each.
	firstProbe = time.Second
	// preferOthers is how long a probe that is due is kept for a job that is not known to
	// fail: one that waits in the queue comes at once.
	preferOthers = 5 * time.Second
)

// outage is a time in which jobs are kept back but for one at a time, the probe. The
// zero value is none.
type outage struct {
	number       int // 0: there is none; each has another
	cause        cause
	failure      core.Failure // the latest
	since        time.Time
	blockedSince time.Time // while its cause is a fault of ours
	probeAt      time.Time // no probe before
	step         time.Duration
	probing      bool // one is under way
	probes       int  // that failed
	warned       time.Time
}

func (o *outage) open() bool { return o.number != 0 }

// givenUp reports whether the provider has been away for so long that nothing is kept
// back. A fault of ours ends runs in another way, see interrupts.
func (o *outage) givenUp(now time.Time, s *Breaker) bool {
	return o.open() && o.cause == causeDown && now.Sub(o.since) >= s.MaxOutage
}

// holds reports whether jobs are kept back, but for a probe.
func (o *outage) holds(now time.Time, s *Breaker) bool { return o.open() && !o.givenUp(now, s) }

// due reports whether a probe may be made now.
func (o *outage) due(now time.Time) bool { return !o.probing && !now.Before(o.probeAt) }

// interrupts reports whether a fault of ours has lasted for so long that runs are not
// to wait for its end any more.
func (o *outage) interrupts(now time.Time, s *Breaker) bool {
	return o.cause == causeBlocked && now.Sub(o.blockedSince) >= s.InterruptAfter
}

// begin starts an outage with what shows it.
func (o *outage) begin(number int, v Verdict, now time.Time, s *Breaker) {
	*o = outage{number: number, since: now}
	o.met(v, now)
	o.delay(v, now, s)
}

// probed takes in what a probe that failed says. turned is true if it shows for the
// first time that the fault is ours.
func (o *outage) probed(v Verdict, now time.Time, s *Breaker) (turned bool) {
	before := o.cause
	o.probes++
	o.met(v, now)
	o.delay(v, now, s)
	return o.cause != before && o.cause == causeBlocked
}

// late takes in the verdict of a job that was under way when the outage began. It may show
// that the fault is ours, and what the provider asks for; the rest is for probes.
func (o *outage) late(v Verdict, now time.Time, s *Breaker) (turned bool) {
	switch {
	case v.kind == saysBlocked && o.cause != causeBlocked:
		o.met(v, now)
		o.delay(v, now, s)
		return true
	case v.kind == saysDown && o.cause == causeDown:
		if at := now.Add(min(v.retryAfter, s.MaxOutage)); at.After(o.probeAt) {
			o.probeAt = at
		}
	}
	return false
}

func (o *outage) met(v Verdict, now time.Time) {
	o.failure = v.failure
	if v.kind == saysDown {
		o.cause, o.blockedSince = causeDown, time.Time{}
		return
	}
	if o.cause != causeBlocked {
		o.cause, o.blockedSince, o.step = causeBlocked, now, 0
	}
}

// delay puts off the next probe: for as long as the provider asks for, or, of a fault
// of ours, for longer each time, with one when it is time to interrupt.
func (o *outage) delay(v Verdict, now time.Time, s *Breaker) {
	if o.cause == causeDown {
		o.probeAt = now.Add(max(s.OpenFor, min(v.retryAfter, s.MaxOutage)))
		return
	}
	o.step = min(max(2*o.step, firstProbe), s.OpenFor)
	o.probeAt = now.Add(o.step)
	if at := o.blockedSince.Add(s.InterruptAfter); now.Before(at) && o.probeAt.After(at) {
		o.probeAt = at
	}
}

// hurry lets the next probe come at once.
func (o *outage) hurry(now time.Time) {
	o.step = 0
	if o.probeAt.After(now) {
		o.probeAt = now
	}
}

// prefers is until when a probe that is due is kept for a job that is not known to
// fail.
func (o *outage) prefers(s *Breaker) time.Time {
	wait := min(preferOthers, s.OpenFor)
	if o.cause == causeBlocked {
		wait = min(wait, max(o.step, firstProbe))
	}
	return o.probeAt.Add(wait)
}
