package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync/atomic"

	"github.com/alecthomas/kong"

	"github.com/redrive/redrive/adapters/httpapi"
	"github.com/redrive/redrive/adapters/llm"
	"github.com/redrive/redrive/cmd/server/fakellm"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/core/app/worker"
	"github.com/redrive/redrive/ports"
)

// Run serves until ctx ends, then stops gracefully: readiness fails, no more jobs are
// claimed, requests under way are answered, running jobs finish or are released. A
// graceful stop is no error.
func (c *serveCmd) Run(ctx context.Context, to streams, all *cli, parsed *kong.Context) (err error) {
	c.complete()
	if c.PrintConfig { // also one that is wrong: it is asked for to find out what is
		return errors.Join(all.printConfig(to.out, parsed), c.check(flagNamer(parsed)))
	}
	log := c.logger(to)
	for _, line := range misspelt(parsed.Kong) { // first: it may be the cause of what check finds
		log.Warn("unknown environment variable", "variable", line)
	}
	if all.file != nil && all.file.leaks {
		log.Warn("the configuration has secrets, and every user of this machine can read it; take that right away, for example with chmod o-r", "file", all.file.path)
	}
	if err := c.check(flagNamer(parsed)); err != nil {
		return err
	}
	if c.Demo && len(c.secrets()) == 0 {
		if c.JWTSecret, err = c.demoSecret(); err != nil {
			return err
		}
	}
	auth, provider, err := c.authentication(log)
	if err != nil {
		return err
	}
	c.warn(log)
	executor, closeLLM, err := c.executor(log)
	if err != nil {
		return err
	}
	defer closing(log, "the executor", closeLLM)
	kept, err := c.backend(ctx, log)
	if err != nil {
		return err
	}
	defer closing(log, "the store", kept.close)
	queue, err := c.openQueue(ctx, kept.pool, c.Lease, log)
	if err != nil {
		return err
	}
	defer closing(log, "the queue", queue.Close)
	sender, err := c.sender()
	if err != nil {
		return err
	}
	svc, err := app.New(app.Deps{
		Store: c.withOutbox(kept.store, queue), Queue: queue, Executor: executor, Files: kept.files,
		Webhooks: sender, Log: log,
	}, c.options())
	if err != nil {
		return err
	}
	if kept.sole {
		goOn(ctx, svc, log)
	}
	pool, err := worker.New(svc, queue, c.workers(log))
	if err != nil {
		return err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", c.Listen)
	if err != nil {
		return fmt.Errorf("cannot listen: %w; choose another address with --listen", err)
	}
	conns := limitConnections(listener, c.MaxConnections, c.MaxConnectionsPerAddress, log)
	if c.Demo && !loopback(listener.Addr().String()) { // localhost may be a name for anything
		return errors.Join(fmt.Errorf("a demo is for this machine alone, and %s is not: use 127.0.0.1", listener.Addr()), listener.Close())
	}
	url := "http://" + listener.Addr().String()
	log.Info("listening", "url", url)
	if c.Demo {
		if err := seed(ctx, svc); err != nil {
			return errors.Join(err, listener.Close())
		}
		if err := c.welcome(to.out, auth, url); err != nil {
			return errors.Join(err, listener.Close())
		}
	}
	var stopping atomic.Bool
	events := httpapi.NewStreams(svc, httpapi.StreamConfig{Log: log})
	api := httpapi.New(svc, httpapi.Config{
		Auth: httpapi.WithAPIKeys(svc, auth), Log: log, Streams: events, MaxFileBytes: c.MaxFileBytes, MaxUploadBytes: c.MaxUploadBytes,
		Tickets: kept.tickets, Pace: c.pace(), Authenticated: conns.atWork,
		Ready: func(ctx context.Context) error {
			if stopping.Load() {
				return errors.New("stopping")
			}
			return errors.Join(kept.ready(ctx), queue.Ready(ctx))
		},
	})
	page := c.page(pageParts{
		svc: svc, executor: executor, auth: auth, provider: provider, sessions: kept.sessions, streams: events, conns: conns, pool: pool, queue: queue, log: log,
	})
	server := c.server(pageAndAPI(page, api), conns, log)
	server.RegisterOnShutdown(events.Stop) // else a stop would wait for event streams
	s := service{
		server: server, listener: conns, pool: pool, log: log,
		drain: c.DrainTimeout, stopping: func() { stopping.Store(true) },
	}
	return s.runUntil(ctx)
}

// goOn takes up what the process before this one left. What fails is left to recovery, which
// takes longer and does the same.
func goOn(ctx context.Context, svc *app.Service, log *slog.Logger) {
	runs, err := svc.Resume(ctx)
	if runs > 0 {
		log.Info("going on with the runs of the process before this one", "runs", runs)
	}
	if err != nil {
		log.Warn("some runs of the process before this one go on later", "error", err)
	}
}

// warn logs settings that are allowed but not recommended.
func (c *serveCmd) warn(log *slog.Logger) {
	for i, secret := range c.secrets() { // on this machine alone: else check refuses it
		if why := httpapi.WeakSecret(secret); why != "" {
			log.Warn("a secret of REDRIVE_JWT_SECRET and REDRIVE_JWT_SECRETS may be guessed, and with it anyone can sign tokens for any user; make one with 'openssl rand -hex 32'", "secret", i+1, "why", why)
		}
	}
	if !loopback(c.Listen) {
		log.Warn("tokens and files are sent unencrypted, because this server has no TLS; put a TLS proxy in front of it, and let only the proxy reach it", "listen", c.Listen)
	}
}

// executor is the configured LLM, or for the demo the bundled fake one, which
// fails some files the first time.
func (c *serveCmd) executor(log *slog.Logger) (_ ports.Executor, closeLLM func() error, err error) {
	cfg := llm.Config{
		BaseURL: c.LLMBaseURL, APIKey: c.LLMAPIKey, Model: c.LLMModel, Timeout: c.LLMTimeout, MaxFileBytes: c.MaxFileBytes, Log: log,
		// Enough for the longest output in JSON, few bytes of which need an escape.
		MaxResponseBytes: 2*int64(c.MaxOutputBytes) + 1<<20,
	}
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
