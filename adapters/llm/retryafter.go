package llm

import (
	"errors"
	"math"
	"net/http"
	"strconv"
	"time"
)

// retryAfter is how long a provider asks to wait before the next request; 0 if it does
// not say, never more than limit. It reads Retry-After-Ms first, which is finer, then
// Retry-After in seconds or as an HTTP date. A date is compared with the answer's own
// Date, because the provider's clock may differ from ours, or with now if there is none.
func retryAfter(h http.Header, now time.Time, limit time.Duration) time.Duration {
	if d, ok := parseWait(h.Get("Retry-After-Ms"), time.Millisecond, limit); ok {
		return d
	}
	v := h.Get("Retry-After")
	if d, ok := parseWait(v, time.Second, limit); ok {
		return d
	}
	at, err := http.ParseTime(v)
	if err != nil {
		return 0
	}
	if sent, err := http.ParseTime(h.Get("Date")); err == nil {
		now = sent
	}
	return min(max(at.Sub(now), 0), limit)
}

// parseWait reads a number of units. It compares before it converts, because a number
// too large for a duration would become negative.
func parseWait(v string, unit, limit time.Duration) (time.Duration, bool) {
	n, err := strconv.ParseFloat(v, 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) || math.IsNaN(n) {
		return 0, false
	}
	switch {
	case n <= 0:
		return 0, true
	case n >= float64(limit)/float64(unit):
		return limit, true
	default:
		return time.Duration(n * float64(unit)), true
	}
}
