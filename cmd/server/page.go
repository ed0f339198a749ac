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

// pageParts is what the page needs of the server.
type pageParts struct {
	svc      *app.Service
	executor ports.Executor
	auth     *httpapi.Auth
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
		cfg.MaxFileBytes = min(cfg.MaxFileBytes, a.MaxFileBytes()) // the page says so before an upload
	}
	if c.Demo {
		cfg.Demo = []webui.DemoUser{{Name: "admin", Actor: demoAdmin}, {Name: "operator", Actor: demoOperator}}
	}
	return httpapi.Paced(webui.New(p.svc, cfg), c.pace())
}

const (
	// lettersShown is how many messages that no server could read a page lists.
	lettersShown = 20
	// queueAnswers is how long a page waits for the queue.
	queueAnswers = 3 * time.Second
)

// operations is what this server knows of its own work, and of the queue.
func (p pageParts) operations(ctx context.Context) webui.Operations {
	s := p.pool.Stats()
	o := webui.Operations{Running: s.Running, Waiting: s.Waiting + s.Parked, Unsaved: s.Unsaved, Received: s.Received, Settled: s.Settled}
	for _, b := range s.Breakers {
		o.Breakers = append(o.Breakers, breakerOf(b))
	}
	ctx, cancel := context.WithTimeout(ctx, queueAnswers)
	defer cancel()
	o.Queue, o.QueueErr = p.queue.Stats(ctx)
	var letters []watermillqueue.DeadLetter
	letters, o.LettersErr = p.queue.DeadLetters().List(ctx, lettersShown)
	for _, l := range letters {
		o.DeadLetters = append(o.DeadLetters, webui.DeadLetter{ID: l.ID, At: l.At, Reason: l.Reason})
	}
	return o
}

// breakerOf says how it stands with a provider.
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

// beside gives the page its paths and the API all others.
func beside(page, api http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		switch path := req.URL.Path; {
		case path == "/", path == "/ui", path == "/favicon.ico", strings.HasPrefix(path, webui.Prefix):
			page.ServeHTTP(w, req)
		default:
			api.ServeHTTP(w, req)
		}
	})
}
