package scheduler

import (
	"time"

	"github.com/redrive/redrive/core"
)

// Verdict is what a job's results say about its provider.
type Verdict struct {
	kind       verdictKind
	failure    core.Failure  // of down and blocked
	retryAfter time.Duration // of down: the provider's wish; 0 for none
}

type verdictKind int

const (
	// saysNothing: it was not asked, or it is the file's own fault.
	saysNothing verdictKind = iota
	// saysAnswered: the provider did its work on a file.
	saysAnswered
	// saysDown: no file of the job ended otherwise than by the provider's trouble.
	saysDown
	// saysBlocked: a fault of ours that other files meet as well, and no file was
	// answered.
	saysBlocked
)

// failed reports whether the job could not be done because of the provider or of us.
func (k verdictKind) failed() bool { return k == saysDown || k == saysBlocked }

// Judge tells what the provider did from what the job's files did. A job of which
// something was answered has to be recorded, whatever else happened to it.
//
// A rate limit counts like any other failure and pauses nothing at once: a single
// one is what in-job retries are for, and others may well get through. Many in a
// row mean that none does; then the pause is as long as the provider asked for.
func Judge(results []core.FileResult) Verdict {
	down := Verdict{kind: saysDown}
	if len(results) == 0 {
		down.kind = saysNothing
	}
	var blocked Verdict
	for i := range results {
		r := &results[i]
		switch {
		case r.Outcome == core.OutcomeCompleted, r.Outcome == core.OutcomePermanent, r.Failure.Code == core.FailureOutputTooLarge:
			return Verdict{kind: saysAnswered}
		case r.Outcome == core.OutcomeInterrupted && r.Failure.Blocks():
			if blocked.kind == saysNothing {
				blocked = Verdict{kind: saysBlocked, failure: r.Failure}
			}
		case r.Outcome == core.OutcomeInterrupted || !r.Failure.ProviderDown():
			down.kind = saysNothing
		default:
			down.failure = r.Failure
			down.retryAfter = max(down.retryAfter, r.RetryAfter)
		}
	}
	if blocked.kind == saysBlocked {
		return blocked
	}
	if down.kind == saysNothing {
		return Verdict{}
	}
	return down
}

// ofTemplate reports whether a failure tells of one template alone, however many of
// them meet it: the model takes no request of its shape.
func ofTemplate(f core.Failure) bool { return f.Code == core.FailureRequestRefused }
