package main

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/redrive/redrive/adapters/httpapi"
	"github.com/redrive/redrive/adapters/watermillqueue"
	"github.com/redrive/redrive/adapters/webui"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/core/app/worker"
	"github.com/redrive/redrive/ports"
)

// pageParts are the parts of the server that the page needs.
type pageParts struct {
	svc      *app.Service
	executor ports.Executor
	auth     *httpapi.Auth
	provider webui.Provider // nil: none
	sessions ports.Sessions
	streams  *httpapi.Streams
	conns    *connections
	pool     *worker.Worker
	queue    *watermillqueue.Queue
	log      *slog.Logger
}

// page makes the handler of the page, under the API's deadlines.
func (c *serveCmd) page(p pageParts) http.Handler {
	cfg := webui.Config{
		Auth: p.auth, Sessions: p.sessions, Streams: p.streams, Log: p.log,
		MaxFileBytes: c.MaxFileBytes, MaxUploadBytes: c.MaxUploadBytes,
		SignedIn: func(req *http.Request) {
			p.conns.atWork(req.Context())
			httpapi.Known(req)
		},
		Uploads:    httpapi.Upload,
		Operations: p.operations,
	}
	if a, ok := p.executor.(ports.Acceptor); ok {
		cfg.MaxFileBytes = min(cfg.MaxFileBytes, a.MaxFileBytes()) // the page shows the limit before an upload
	}
	if p.provider != nil {
		cfg.Provider, cfg.ProviderName = p.provider, c.providerName()
	}
	if c.Demo {
		cfg.Demo = []webui.DemoUser{{Name: "admin", Actor: demoAdmin}, {Name: "operator", Actor: demoOperator}}
	}
	return httpapi.Paced(webui.New(p.svc, cfg), c.pace())
}

const (
	// lettersShown is how many dead letters the page lists.
	lettersShown = 20
	// queueTimeout is how long the page waits for the queue.
	queueTimeout = 3 * time.Second
)

// operations gives the state of this server's work and of the queue.
func (p pageParts) operations(ctx context.Context) webui.Operations {
	s := p.pool.Stats()
	o := webui.Operations{Running: s.Running, Waiting: s.Waiting + s.Parked, Unsaved: s.Unsaved, Received: s.Received, Settled: s.Settled}
	for _, b := range s.Breakers {
		o.Breakers = append(o.Breakers, breakerOf(b))
	}
	ctx, cancel := context.WithTimeout(ctx, queueTimeout)
	defer cancel()
	o.Queue, o.QueueErr = p.queue.Stats(ctx)
	var letters []watermillqueue.DeadLetter
	letters, o.LettersErr = p.queue.DeadLetters().List(ctx, lettersShown)
	for _, l := range letters {
		o.DeadLetters = append(o.DeadLetters, webui.DeadLetter{ID: l.ID, At: l.At, Reason: l.Reason})
	}
	return o
}

// breakerOf converts the state of a circuit breaker.
func breakerOf(b worker.BreakerStats) webui.Breaker {
	page := webui.Breaker{
		Endpoint: b.Endpoint, Open: b.State != "closed", DownSince: b.DownSince, Failures: b.Failures,
		Fault: b.Fault, Ours: b.Cause == "service",
	}
	if page.Open && !b.Whole {
		for _, c := range b.Circuits {
			page.Templates = append(page.Templates, string(c.Template.Tenant)+"/"+string(c.Template.Template))
		}
	}
	return page
}

// pageAndAPI routes the page's paths to the page and all others to the API.
func pageAndAPI(page, api http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		switch path := req.URL.Path; {
		case path == "/", path == "/ui", path == "/favicon.ico", strings.HasPrefix(path, webui.Prefix):
			page.ServeHTTP(w, req)
		default:
			api.ServeHTTP(w, req)
		}
	})
}
