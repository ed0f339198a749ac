package httpapi

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/uptrace/bunrouter"
	"golang.org/x/sync/singleflight"

	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/ports"
)

// Limits of requests and answers.
const (
	// DefaultMaxFileBytes is the most bytes of one uploaded file.
	DefaultMaxFileBytes = 16 << 20
	// DefaultMaxUploadBytes is the most bytes of one upload altogether.
	DefaultMaxUploadBytes = 1 << 30

	// maxInlineBytes bounds an initiation with inline text, which is held in
	// memory as a whole; larger uploads are multipart, which is streamed.
	maxInlineBytes = 16 << 20
	// maxJSONBytes bounds every other body. The longest are a template's
	// instructions, 100,000 bytes that JSON may escape to six times as many.
	maxJSONBytes = 1 << 20

	readyTimeout = 5 * time.Second
	// retryAfter is the Retry-After header of a 503, in seconds.
	retryAfter = "1"
)

// Config is what the API needs besides the use cases. A zero number means its default.
type Config struct {
	Auth Authenticator // required
	Log  *slog.Logger  // nil: slog.Default()

	MaxFileBytes   int64 // of one uploaded file
	MaxUploadBytes int64 // of one upload altogether

	// Streams sends runs' events; nil: streams with default bounds, which end only when
	// their clients disconnect.
	Streams *Streams
	Pace    Pace // how fast clients have to be

	// Prefix is the path under which an embedder's mux has the API, such as "/redrive": it
	// begins with a slash and does not end in one. Addresses in answers begin with it.
	// Empty: the root.
	Prefix string

	// Tickets open event streams for clients that cannot send headers; nil: there are none.
	Tickets ports.Tickets

	// Authenticated is called for each request with a valid token, with its context, so
	// that a server that is short of connections knows which ones to keep; nil: not called.
	Authenticated func(context.Context)

	// Ready says whether the process can serve (GET /readyz); nil: always. Its
	// error goes to the log and not to the client.
	Ready func(context.Context) error
}

// api is the handlers with what they need.
type api struct {
	svc       *app.Service
	cfg       Config
	routes    []route
	checks    singleflight.Group      // of GET /readyz
	documents func() openAPIDocuments // made when they are first asked for
}

// New gives the handler of the whole API. It panics without Config.Auth, since a
// server without authentication must not start, and for a Config.Prefix that is none.
func New(svc *app.Service, cfg Config) http.Handler {
	a := newAPI(svc, cfg)
	return a.handler(a.admit)
}

func newAPI(svc *app.Service, cfg Config) *api {
	if svc == nil || cfg.Auth == nil {
		panic("httpapi.New: the service and Config.Auth are required")
	}
	if p := cfg.Prefix; p != "" && (p[0] != '/' || p == "/" || bunrouter.CleanPath(p) != p || strings.HasSuffix(p, "/")) {
		panic(fmt.Sprintf("httpapi.New: Config.Prefix %q must begin with a slash, be clean and not end in a slash", p))
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	if cfg.MaxFileBytes <= 0 {
		cfg.MaxFileBytes = DefaultMaxFileBytes
	}
	if cfg.MaxUploadBytes <= 0 {
		cfg.MaxUploadBytes = DefaultMaxUploadBytes
	}
	if cfg.Streams == nil {
		cfg.Streams = NewStreams(svc, StreamConfig{Log: cfg.Log})
	}
	cfg.Pace = cfg.Pace.withDefaults()
	a := &api{svc: svc, cfg: cfg, documents: openAPIAtRoot}
	if cfg.Prefix != "" {
		a.documents = sync.OnceValue(func() openAPIDocuments { return openAPIAt(cfg.Prefix) })
	}
	a.routes = a.allRoutes()
	return a
}

// handler serves the routes to the callers whom admit lets through. It panics for a route
// that does not say who may use it.
func (a *api) handler(admit func(*request, need) error) http.Handler {
	unrouted := bunrouter.HandlerFunc(a.unrouted)
	router := bunrouter.New(bunrouter.WithNotFoundHandler(unrouted), bunrouter.WithMethodNotAllowedHandler(unrouted))
	for _, rt := range a.routes {
		if err := rt.need.check(); err != nil {
			panic(fmt.Sprintf("httpapi.New: %s %s: %s", rt.method, rt.pattern, err))
		}
		router.Handle(rt.method, rt.pattern, a.serve(rt, admit))
		if rt.method == http.MethodGet {
			// net/http leaves the body out of what answers a HEAD.
			router.Handle(http.MethodHead, rt.pattern, a.serve(rt, admit))
		}
	}
	return http.StripPrefix(a.cfg.Prefix, &front{api: a, next: router})
}
