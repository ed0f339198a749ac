package worker

import (
	"time"

	"github.com/redrive/redrive/core"
)

// verdict is what a job's results say about its provider.
type verdict struct {
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

// judge tells what the provider did from what the job's files did. partly says that
// results of the job were recorded before. A job of which something was answered has
// to be recorded, whatever else happened to it.
//
// A rate limit counts like any other failure and pauses nothing at once: a single
// one is what in-job retries are for, and others may well get through. Many in a
// row mean that none does; then the pause is as long as the provider asked for.
func judge(results []core.FileResult, partly bool) verdict {
	if partly {
		return verdict{kind: saysAnswered}
	}
	down := verdict{kind: saysDown}
	if len(results) == 0 {
		down.kind = saysNothing
	}
	var blocked verdict
	for i := range results {
		r := &results[i]
		switch {
		case r.Outcome == core.OutcomeCompleted, r.Outcome == core.OutcomePermanent, r.Failure.Code == core.FailureOutputTooLarge:
			return verdict{kind: saysAnswered}
		case r.Outcome == core.OutcomeInterrupted && r.Failure.Blocks():
			if blocked.kind == saysNothing {
				blocked = verdict{kind: saysBlocked, failure: r.Failure}
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
		return verdict{}
	}
	return down
}

// ofTemplate reports whether a failure tells of one template alone, however many of
// them meet it: the model takes no request of its shape.
func ofTemplate(f core.Failure) bool { return f.Code == core.FailureRequestRefused }

// whatToDo tells an operator how a fault of ours is mended.
func whatToDo(f core.Failure) string {
	switch f.Code {
	case core.FailureUnauthorized:
		return "give the service a credential that the provider takes"
	case core.FailureQuota:
		return "pay the provider's account, or raise its limit"
	case core.FailureMisconfigured:
		return "correct the provider's address or the name of the model"
	case core.FailureRequestRefused:
		return "look at what the template asks for: this model takes no such request"
	}
	return "look at what the provider answers"
}
