package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/redrive/redrive/adapters/httpapi"
	"github.com/redrive/redrive/adapters/llm"
	"github.com/redrive/redrive/adapters/memory"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/core/app/worker"
	"github.com/redrive/redrive/internal/testkit/fakellm"
	"github.com/redrive/redrive/ports"
)

// Bounds on what a client may take its time with. Uploads have no bound of
// their own besides their size: a large one over a slow line is legitimate.
const (
	readHeaderTimeout = 10 * time.Second
	idleTimeout       = 2 * time.Minute
	shutdownTimeout   = 30 * time.Second
)

// Run serves until ctx ends, then stops gracefully: readiness fails, nothing
// more is claimed, requests under way are answered, running jobs finish or are
// handed back. A graceful stop is no error.
func (c *serveCmd) Run(ctx context.Context, to streams) (err error) {
	if err := c.check(); err != nil {
		return err
	}
	log := c.logger(to)
	executor, closeLLM, err := c.executor(log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeLLM()) }()
	auth, err := httpapi.NewAuth([]byte(c.JWTSecret))
	if err != nil {
		return err
	}
	kept, err := c.backend(ctx, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, kept.close()) }()
	queue, err := c.openQueue(ctx, kept.database, c.Lease, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, queue.Close()) }()
	svc, err := app.New(app.Deps{
		Store: kept.store, Queue: queue, Executor: executor, Files: kept.files,
		Clock: memory.SystemClock{}, IDs: memory.UUIDs{}, Log: log,
	}, c.options())
	if err != nil {
		return err
	}
	pool, err := worker.New(svc, queue, c.workers(log))
	if err != nil {
		return err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", c.Listen)
	if err != nil {
		return fmt.Errorf("cannot listen: %w; choose another address with --listen", err)
	}
	url := "http://" + listener.Addr().String()
	log.Info("listening", "url", url)
	if c.Demo {
		if err := seed(ctx, svc); err != nil {
			return errors.Join(err, listener.Close())
		}
		if err := welcome(to.out, auth, url, kept.database != nil); err != nil {
			return errors.Join(err, listener.Close())
		}
	}
	var stopping atomic.Bool
	events := httpapi.NewStreams(svc, httpapi.StreamConfig{Log: log})
	server := &http.Server{
		Handler: httpapi.New(svc, httpapi.Config{
			Auth: auth, Log: log, Streams: events, MaxFileBytes: c.MaxFileBytes, MaxUploadBytes: c.MaxUploadBytes,
			Ready: func(ctx context.Context) error {
				if stopping.Load() {
					return errors.New("stopping")
				}
				return kept.ready(ctx)
			},
		}),
		ReadHeaderTimeout: readHeaderTimeout, IdleTimeout: idleTimeout,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	server.RegisterOnShutdown(events.Stop) // else a stop would wait for them
	return runUntil(ctx, log, server, listener, pool, func() { stopping.Store(true) })
}

// runUntil runs the server and the pool until ctx ends or one of them fails,
// and then stops both.
func runUntil(ctx context.Context, log *slog.Logger, server *http.Server, listener net.Listener, pool *worker.Worker, stopping func()) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 2)
	go func() {
		err := server.Serve(listener)
		if errors.Is(err, http.ErrServerClosed) {
			err = nil
		}
		ended <- err
	}()
	go func() { ended <- pool.Run(ctx) }()

	var failure error
	left := cap(ended)
	select {
	case <-ctx.Done():
		log.Info("stopping")
	case failure = <-ended:
		left--
		log.Error("stopping after a failure", "error", failure)
	}
	stopping()
	stop()
	within, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	if err := server.Shutdown(within); err != nil {
		// Requests that still are not answered will not be.
		failure = errors.Join(failure, err, server.Close())
	}
	for range left {
		failure = errors.Join(failure, <-ended)
	}
	if failure == nil {
		log.Info("stopped")
	}
	return failure
}

// executor is the configured LLM, or for the demo the bundled fake one, which
// fails some files the first time.
func (c *serveCmd) executor(log *slog.Logger) (_ ports.Executor, closeLLM func() error, err error) {
	cfg := llm.Config{BaseURL: c.LLMBaseURL, APIKey: c.LLMAPIKey, Model: c.LLMModel, Timeout: c.LLMTimeout, Log: log}
	closeLLM = func() error { return nil }
	if c.LLMBaseURL == "" {
		fake := fakellm.New(fakellm.Demo(fakellm.DemoOptions{Failures: c.options().Retry.MaxTries}))
		if cfg.BaseURL, err = fake.Listen("127.0.0.1:0"); err != nil {
			return nil, nil, err
		}
		cfg.Model, closeLLM = "demo", fake.Close
	}
	executor, err := llm.New(cfg)
	if err != nil {
		return nil, nil, errors.Join(err, closeLLM())
	}
	return executor, closeLLM, nil
}
