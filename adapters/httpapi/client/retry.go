package client

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"math"
	mathrand "math/rand/v2"
	"net/http"
	"strconv"
	"time"
)

// NewKey makes an Idempotency-Key for one deed. Keep it until the deed has its answer: the
// same request under the same key has no further effect, whatever became of the first.
func NewKey() string { return rand.Text() }

const (
	firstWait = 200 * time.Millisecond
	mostWait  = 30 * time.Second
	// mostProblem bounds how much of a refusal is read, in bytes.
	mostProblem = 1 << 20
)

// WithRetries sends a request up to tries times, if a repeat cannot do anything twice: it is
// a GET, or has an Idempotency-Key. It is repeated if the connection breaks and after
// answers that time cures (unavailable, outcome_unknown, idempotency_in_progress, 429), not
// after others. Between two tries it waits as long as Retry-After says, at most half a
// minute, else up to 0.2 s and up to twice as long each time. A body that is a stream is
// sent once. If the answer of an API key that was made got lost, the repeat is refused as
// secret_not_repeated, which names the key in made: it was made once. The option comes after WithHTTPClient.
func WithRetries(tries int) ClientOption {
	return func(c *Client) error {
		if tries < 1 {
			return errors.New("client.WithRetries: a request is sent at least once")
		}
		inner := c.Client
		if inner == nil {
			inner = http.DefaultClient
		}
		c.Client = &retrying{inner: inner, tries: tries}
		return nil
	}
}

type retrying struct {
	inner HttpRequestDoer
	tries int
}

// Do implements HttpRequestDoer.
func (r *retrying) Do(req *http.Request) (*http.Response, error) {
	repeatable := (req.Method == http.MethodGet || req.Method == http.MethodHead || req.Header.Get("Idempotency-Key") != "") &&
		(req.Body == nil || req.Body == http.NoBody || req.GetBody != nil)
	for try := 1; ; try++ {
		resp, err := r.inner.Do(req)
		if !repeatable || try == r.tries || req.Context().Err() != nil {
			return resp, err
		}
		pause := backoff(try)
		if err == nil {
			again, err := curable(resp)
			if err != nil || !again {
				return resp, err
			}
			pause = retryAfter(resp.Header, pause)
		}
		if err := sleep(req.Context(), pause); err != nil {
			return nil, err
		}
		if req.GetBody != nil {
			if req.Body, err = req.GetBody(); err != nil {
				return nil, err
			}
		}
	}
}

// curable reports whether time cures an answer. Its body can be read as before.
func curable(resp *http.Response) (bool, error) {
	switch resp.StatusCode {
	case http.StatusTooManyRequests, http.StatusServiceUnavailable, http.StatusInternalServerError, http.StatusConflict,
		http.StatusBadGateway, http.StatusGatewayTimeout:
	default:
		return false, nil
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, mostProblem))
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return false, err
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	switch CodeOf(failed(resp.StatusCode, body)) {
	case "unavailable", "outcome_unknown", "idempotency_in_progress":
		return true, nil
	case "": // a proxy's answer
		return resp.StatusCode != http.StatusConflict && resp.StatusCode != http.StatusInternalServerError, nil
	default:
		return resp.StatusCode == http.StatusTooManyRequests, nil
	}
}

func backoff(try int) time.Duration {
	full := float64(firstWait) * math.Pow(2, float64(try-1))
	return time.Duration(min(full, float64(mostWait)) * (0.5 + mathrand.Float64()/2)) //nolint:gosec // spreads clients out, keeps no secret
}

func retryAfter(h http.Header, otherwise time.Duration) time.Duration {
	seconds, err := strconv.Atoi(h.Get("Retry-After"))
	if err != nil || seconds < 0 {
		return otherwise
	}
	return min(time.Duration(seconds)*time.Second, mostWait)
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
