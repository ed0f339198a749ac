package fakellm

import (
	"net/http"
	"strings"
	"time"
)

// Parts of a file's name, in upper or lower case, with which the demo script fails the
// file. Other files succeed at once.
const (
	DemoRateLimit = "rate-limit" // 429 with Retry-After, then success
	DemoTimeout   = "timeout"    // no answer in time, then success
	DemoOutage    = "outage"     // 503, then success
	DemoMalformed = "malformed"  // an answer that is not JSON, then success
	DemoRefuse    = "refuse"     // the model declines, always
)

// DemoOptions are the numbers of the demo script. A zero value means the default.
type DemoOptions struct {
	// Failures is how many requests for the same file fail before one succeeds.
	// To have the first dispatch of a run end in failed files, give it the
	// number of tries of a job (core.RetryPolicy.MaxTries). Default 3.
	Failures int
	// RetryAfter is the wait that a rate limit asks for. Default 200 ms.
	RetryAfter time.Duration
	// Hold is how long a request for a timeout file waits before it is answered with a
	// 504. The client times out first if its own timeout is shorter. 0 answers at once.
	Hold time.Duration
}

// Demo is the script of `make run`. The answer for a file depends on its name and on the
// number of its requests so far: some failures, then a success, then the same again, so
// that the demo can be repeated against a running server.
func Demo(o DemoOptions) Script {
	if o.Failures <= 0 {
		o.Failures = 3
	}
	if o.RetryAfter <= 0 {
		o.RetryAfter = 200 * time.Millisecond
	}
	failures := []struct {
		part   string
		action Action
	}{
		{DemoRateLimit, RateLimit(o.RetryAfter)},
		{DemoTimeout, Slow(o.Hold, Status(http.StatusGatewayTimeout, "upstream_timeout"))},
		{DemoOutage, Status(http.StatusServiceUnavailable, "overloaded")},
		{DemoMalformed, Malformed()},
	}
	return func(in Request) Action {
		name := strings.ToLower(in.File)
		if strings.Contains(name, DemoRefuse) {
			return Refuse("I can't help with this document.")
		}
		if (in.Seen-1)%(o.Failures+1) == o.Failures {
			return OK()
		}
		for _, f := range failures {
			if strings.Contains(name, f.part) {
				return f.action
			}
		}
		return OK()
	}
}
