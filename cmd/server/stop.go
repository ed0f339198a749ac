package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/redrive/redrive/core/app/worker"
)

const (
	// leastDrain is the least time for requests under way, also if the workers have less.
	leastDrain = time.Second
	// cutOff is how long handlers may take to end once their connections are closed.
	cutOff = 2 * time.Second
)

// service is the HTTP server and the workers of a process.
type service struct {
	server   *http.Server
	listener net.Listener
	pool     *worker.Worker
	log      *slog.Logger
	drain    time.Duration
	stopping func() // called when it begins to stop
}

// runUntil runs the server and the pool until ctx ends or one of them fails, and then
// stops both. Clients can neither make the stop fail nor delay it: the connection of a
// request that is not answered in time is closed.
func (s *service) runUntil(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	requests, cut := s.countRequests(ctx)
	defer cut()
	ended := make(chan error, 2)
	go func() {
		err := s.server.Serve(s.listener)
		if errors.Is(err, http.ErrServerClosed) {
			err = nil
		}
		ended <- err
	}()
	go func() { ended <- s.pool.Run(ctx) }()

	var failure error
	left := cap(ended)
	select {
	case <-ctx.Done():
		s.log.Info("stopping")
	case failure = <-ended:
		left--
		s.log.Error("stopping after a failure", "error", failure)
	}
	s.stopping()
	stop()
	within, cancel := context.WithTimeout(context.WithoutCancel(ctx), max(s.drain, leastDrain))
	defer cancel()
	if err := s.server.Shutdown(within); err != nil {
		s.log.Warn("closed connections whose requests were not answered in time", "error", err)
		cut()
		_ = s.server.Close() // the listener is closed already, and clients may have disconnected
		if !requests.endWithin(cutOff) {
			s.log.Warn("some requests have not ended; the process ends without them")
		}
	}
	for range left {
		failure = errors.Join(failure, <-ended)
	}
	if failure == nil {
		s.log.Info("stopped")
	}
	return failure
}

// countRequests counts the requests that have not ended; cut cancels the contexts of all
// of them.
func (s *service) countRequests(ctx context.Context) (requests *counted, cut context.CancelFunc) {
	base, cut := context.WithCancel(context.WithoutCancel(ctx))
	s.server.BaseContext = func(net.Listener) context.Context { return base }
	requests = &counted{}
	handler := s.server.Handler
	s.server.Handler = http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		requests.group.Add(1)
		defer requests.group.Done()
		handler.ServeHTTP(w, req)
	})
	return requests, cut
}

// counted are requests that have not ended.
type counted struct{ group sync.WaitGroup }

// endWithin waits for them to end; no new ones may begin.
func (c *counted) endWithin(d time.Duration) bool {
	done := make(chan struct{})
	go func() {
		c.group.Wait()
		close(done)
	}()
	select {
	case <-done:
		return true
	case <-time.After(d):
		return false
	}
}

// closing closes a resource of the server. An error loses no data, since the store is the
// truth, and so does not make a graceful stop fail.
func closing(log *slog.Logger, what string, closeIt func() error) {
	if err := closeIt(); err != nil {
		log.Warn("did not close cleanly", "what", what, "error", err)
	}
}
