package core

import (
	"errors"
	"time"
)

// RetryPolicy says how transient failures are retried inside a job before a
// file is called failed (spec 5).
type RetryPolicy struct {
	MaxTries  int           // executions of a job in all; 1 never retries
	BaseDelay time.Duration // upper bound of the first wait; doubles with every try
	MaxDelay  time.Duration // upper bound of any wait that the provider did not ask for
	Budget    time.Duration // a wait is not begun if it would end later than this after the first try
}

// Validate refuses a policy under which a job would never be executed, or retried without
// bound.
func (p RetryPolicy) Validate() error {
	if p.MaxTries < 1 || p.BaseDelay < 0 || p.MaxDelay < p.BaseDelay || p.Budget < 0 {
		return errors.New("retry policy: MaxTries must be 1 or more, 0 <= BaseDelay <= MaxDelay, Budget 0 or more")
	}
	return nil
}

// Delay says how long to wait after the try-th execution failed, and whether to try
// again at all. It is exponential backoff with full jitter. roll is a random number in
// [0, 1) that the caller draws, so that Delay is a pure function. retryAfter is the wait
// that the provider asks for; the result is never shorter.
func (p RetryPolicy) Delay(try int, spent, retryAfter time.Duration, roll float64) (wait time.Duration, again bool) {
	if try >= p.MaxTries {
		return 0, false
	}
	bound := Backoff(p.BaseDelay, p.MaxDelay, try-1)
	wait = max(time.Duration(roll*float64(bound)), retryAfter)
	return wait, wait <= p.Budget-spent
}

// Backoff is first × 2ⁿ, at most most: exponential backoff without jitter. It cannot
// overflow. A negative n counts as 0.
func Backoff(first, most time.Duration, n int) time.Duration {
	if first <= 0 {
		return 0
	}
	for ; n > 0 && first < most; n-- {
		if first > most/2 {
			return most
		}
		first *= 2
	}
	return min(first, most)
}
