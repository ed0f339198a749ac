package oidc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/redrive/redrive/ports"
)

// How often a provider is asked, at most. With a burst of two a refresh that fails can be
// tried again at once, and forged tokens cannot make this server ask in a loop.
const (
	askEvery = 10 * time.Second
	askBurst = 2
)

// Bounds of one request to a provider.
const (
	askTimeout   = 5 * time.Second
	maxDocument  = 1 << 20 // bytes
	maxRedirects = 3
)

// client gives the HTTP client for requests to a provider: with a timeout and bounded
// answers, whatever the transport is.
func client(transport http.RoundTripper) *http.Client {
	if transport == nil {
		transport = http.DefaultTransport
	}
	return &http.Client{
		Timeout: askTimeout, Transport: bounded{transport},
		CheckRedirect: func(req *http.Request, via []*http.Request) error {
			if len(via) > maxRedirects || req.URL.Scheme != via[0].URL.Scheme {
				return errors.New("the provider redirects too often, or from https to http")
			}
			return nil
		},
	}
}

// bounded cuts answers off that are longer than maxDocument: libraries read them whole.
type bounded struct{ next http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (b bounded) RoundTrip(req *http.Request) (*http.Response, error) {
	res, err := b.next.RoundTrip(req)
	if err == nil {
		res.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(res.Body, maxDocument), res.Body}
	}
	return res, err
}

// fetched is something of a provider that is fetched when it is needed, once for all that
// need it at the moment, and not too often when that fails.
type fetched[T any] struct {
	what  string // for the log
	fetch func(context.Context) (T, error)
	log   *slog.Logger
	limit *rate.Limiter
	now   func() time.Time

	mu     sync.Mutex
	value  T
	at     time.Time     // of the value; zero: there is none yet
	failed error         // of the last fetch
	flight chan struct{} // closed when the fetch under way ends; nil: there is none
}

func newFetched[T any](what string, now func() time.Time, log *slog.Logger, fetch func(context.Context) (T, error)) *fetched[T] {
	return &fetched[T]{what: what, fetch: fetch, log: log, now: now, limit: rate.NewLimiter(rate.Every(askEvery), askBurst)}
}

// known gives the value that was fetched last, its age, and whether the last fetch failed.
func (f *fetched[T]) known() (value T, at time.Time, failed error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.value, f.at, f.failed
}

// refresh fetches now, or waits for the fetch that is under way. It does not wait for the
// limit: if that has been reached it does nothing.
func (f *fetched[T]) refresh(ctx context.Context) {
	if flight := f.begin(ctx); flight != nil {
		select {
		case <-flight:
		case <-ctx.Done():
		}
	}
}

// begin begins to fetch, unless that is under way, and gives what is closed at its end; nil
// if the limit has been reached.
func (f *fetched[T]) begin(ctx context.Context) <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.flight == nil {
		if !f.limit.AllowN(f.now(), 1) {
			return nil
		}
		f.flight = make(chan struct{})
		// Not with the request's own end: others wait for the answer as well.
		go f.ask(context.WithoutCancel(ctx), f.flight)
	}
	return f.flight
}

func (f *fetched[T]) ask(ctx context.Context, flight chan struct{}) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	value, err := f.fetch(ctx)
	f.mu.Lock()
	defer f.mu.Unlock()
	was := f.failed
	f.failed, f.flight = err, nil
	if err == nil {
		f.value, f.at = value, f.now()
	}
	switch { // once for each outage
	case err != nil && was == nil:
		f.log.Warn("the identity provider cannot be asked", "for", f.what, "error", err)
	case err == nil && was != nil:
		f.log.Info("the identity provider can be asked again", "for", f.what)
	}
	close(flight)
}

// unavailable is that a provider could not be asked.
func unavailable(what string, err error) error {
	if err == nil {
		err = errors.New("it was asked a moment ago")
	}
	return fmt.Errorf("the identity provider's %s: %w: %w", what, err, ports.ErrUnavailable)
}
