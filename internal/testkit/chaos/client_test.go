package chaos

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"sync/atomic"
	"time"
)

// requestTimeout is after what time a client gives up on a server and tries another. For
// some requests with a key (in hundredths) it is shortTimeout: they are repeated while the
// first server may still be working on them.
const (
	requestTimeout = 10 * time.Second
	impatient      = 30
	shortTimeout   = 25 * time.Millisecond
	again          = 20 // in hundredths: answered requests that are sent again
)

// errNonsense is a complete answer that is not a valid one.
var errNonsense = errors.New("not an answer")

// client is a user's program: it repeats a request, to any server, until one answers it.
type client struct {
	cluster cluster
	http    *http.Client
	token   string
	counts  *counts
}

// counts are of all clients together.
type counts struct {
	requests, repeats, again               atomic.Int64
	initiated, continued, lost, refused    atomic.Int64
	cancelled, unavailable, outcomeUnknown atomic.Int64
}

// answer is a server's answer: a run or a problem.
type answer struct {
	status int // of HTTP
	run
	problem
}

// problem is the part of a refusal that the client reads.
type problem struct {
	Code   string `json:"code"`
	Detail string `json:"detail"`
	Run    string `json:"run"`
}

// run is the part of a run that the client reads.
type run struct {
	ID         string `json:"id"`
	Status     string `json:"status"`
	Attempt    int    `json:"attempt"`
	FileCounts struct {
		Completed int `json:"completed"`
	} `json:"fileCounts"`
	Continuable struct {
		OK   bool   `json:"ok"`
		Code string `json:"code"`
	} `json:"continuable"`
}

func (r run) closed() bool { return r.Status != "RUNNING" }

// doTwice is do, and repeats some requests; the repeat must get the same answer.
func (c *client) doTwice(ctx context.Context, r *rand.Rand, method, path, key string, body any) (answer, error) {
	first, err := c.do(ctx, r, method, path, key, body)
	if err != nil || r.IntN(100) >= again {
		return first, err
	}
	c.counts.again.Add(1)
	second, err := c.do(ctx, r, method, path, key, body)
	if err == nil && (second.ID != first.ID || second.Attempt != first.Attempt || second.Code != first.Code || second.Run != first.Run) {
		err = fmt.Errorf("%s %s under key %s: %d %s %s attempt %d, and then %d %s %s attempt %d", method, path, key,
			first.status, first.Code, first.ID, first.Attempt, second.status, second.Code, second.ID, second.Attempt)
	}
	return first, err
}

// do repeats a request until there is a definite answer: not a broken connection, and not
// a server's "try again". Otherwise it ends only with ctx.
func (c *client) do(ctx context.Context, r *rand.Rand, method, path, key string, body any) (answer, error) {
	encoded := []byte(nil)
	if body != nil {
		var err error
		if encoded, err = json.Marshal(body); err != nil {
			return answer{}, err
		}
	}
	for try := 0; ; try++ {
		timeout := requestTimeout
		if key != "" && try < 3 && r.IntN(100) < impatient {
			timeout = time.Duration(r.Int64N(int64(shortTimeout)))
		}
		a, err := c.once(ctx, timeout, r, method, path, key, encoded)
		if try > 0 {
			c.counts.repeats.Add(1)
		}
		switch {
		case errors.Is(err, errNonsense):
			return answer{}, err
		case err != nil: // the server is gone, and the outcome unknown
		case a.Code == "unavailable":
			c.counts.unavailable.Add(1)
		case a.Code == "outcome_unknown":
			c.counts.outcomeUnknown.Add(1)
		case a.status >= 500 && a.Code != "enqueue_failed":
			return a, fmt.Errorf("%s %s: %d %s: %s", method, path, a.status, a.Code, a.Detail)
		default:
			return a, nil
		}
		if ctx.Err() != nil {
			return answer{}, fmt.Errorf("%s %s was not answered: %w", method, path, ctx.Err())
		}
		_ = sleep(ctx, time.Duration(20+r.IntN(100))*time.Millisecond) // ctx is checked above
	}
}

func (c *client) once(ctx context.Context, timeout time.Duration, r *rand.Rand, method, path, key string, body []byte) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	base := c.cluster.any(r)
	if base == "" {
		return answer{}, errors.New("no server is up")
	}
	c.counts.requests.Add(1)
	req, err := http.NewRequestWithContext(ctx, method, base+path, bytes.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	req.Header.Set("Authorization", "Bearer "+c.token)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
	}
	res, err := c.http.Do(req)
	if err != nil {
		return answer{}, err
	}
	text, err := io.ReadAll(res.Body)
	if err := res.Body.Close(); err != nil {
		return answer{}, err
	}
	if err != nil {
		return answer{}, err
	}
	a := answer{status: res.StatusCode}
	into := any(&a.run)
	if res.StatusCode >= 400 {
		into = &a.problem
	}
	if err := json.Unmarshal(text, into); err != nil {
		return answer{}, fmt.Errorf("%w: %s %s: %d with a body that is not JSON: %w", errNonsense, method, path, res.StatusCode, err)
	}
	return a, nil
}
