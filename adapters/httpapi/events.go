package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/ports"
)

// codeTooManyStreams: the tenant has as many streams open as it may have.
const codeTooManyStreams core.Code = "too_many_streams"

// StreamConfig says how runs' events are streamed. A zero field means its default.
type StreamConfig struct {
	MaxStreams          int // on this server at once; default 1,000
	MaxStreamsPerTenant int // of those, of one tenant; default 100
	MaxStreamsPerCaller int // and of one caller; default 50

	RunningEvery time.Duration // how often a running run is polled; default 500 ms
	ClosedEvery  time.Duration // and a closed one, which may be continued; default 2 s
	TenantEvery  time.Duration // how often a tenant is polled for its own stream; default 1 s
	// Heartbeat is how often a line is sent on an idle stream, so that no proxy closes
	// it; default 15 s.
	Heartbeat time.Duration
	// CheckEvery is how often the client's permission to read the run is checked again;
	// default 15 s.
	CheckEvery time.Duration
	// WriteTimeout is how long a client may take to accept an event before its stream
	// is cut; default 10 s.
	WriteTimeout time.Duration

	Log *slog.Logger // nil: slog.Default()
}

func (c StreamConfig) withDefaults() StreamConfig {
	for _, d := range []struct {
		field *time.Duration
		value time.Duration
	}{
		{&c.RunningEvery, 500 * time.Millisecond},
		{&c.ClosedEvery, 2 * time.Second},
		{&c.TenantEvery, time.Second},
		{&c.Heartbeat, 15 * time.Second},
		{&c.CheckEvery, 15 * time.Second},
		{&c.WriteTimeout, 10 * time.Second},
	} {
		if *d.field <= 0 {
			*d.field = d.value
		}
	}
	if c.MaxStreams <= 0 {
		c.MaxStreams = 1000
	}
	if c.MaxStreamsPerTenant <= 0 {
		c.MaxStreamsPerTenant = 100
	}
	if c.MaxStreamsPerCaller <= 0 {
		c.MaxStreamsPerCaller = 50
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	return c
}

// Streams sends runs' and tenants' events (server-sent events) to all clients of this server that
// watch them. The API and a page with its own authentication share one Streams, so that
// its bounds are those of the whole server.
type Streams struct {
	svc *app.Service
	cfg StreamConfig
	hub *hub
	all *tenantHub

	stopped context.Context // ends with Stop
	stop    context.CancelFunc

	mu      sync.Mutex
	open    map[core.TenantID]int // streams by their client's tenant; "" are platform admins
	callers map[core.Actor]int
	total   int
}

// NewStreams makes Streams. Call Stop when the server stops:
//
//	server.RegisterOnShutdown(streams.Stop)
func NewStreams(svc *app.Service, cfg StreamConfig) *Streams {
	cfg = cfg.withDefaults()
	ctx, stop := context.WithCancel(context.Background())
	return &Streams{
		svc: svc, cfg: cfg, hub: newHub(ctx, svc, cfg), all: newTenantHub(ctx, svc, cfg), stopped: ctx, stop: stop,
		open: map[core.TenantID]int{}, callers: map[core.Actor]int{},
	}
}

// Stop ends all streams at once, each with an event that says so, and refuses new ones.
func (s *Streams) Stop() { s.stop() }

// maxCheckFailures is how many checks of a client's permission may fail in a row before
// its stream is ended.
const maxCheckFailures = 4

// Serve streams a run's events to a client until it disconnects, may no longer read the
// run, or is too slow, or the server stops. The actor is the caller. allowed is called
// from time to time to check that the client still is that actor. If it gives a
// *core.Error, the stream ends with an end event that has its code and reason. Any
// other error is a fault, and the check is repeated.
//
// An error means that nothing was written: the run is unknown, the actor may not read
// it, or there are too many streams, for which Retry-After is set.
func (s *Streams) Serve(w http.ResponseWriter, r *http.Request, actor core.Actor, id core.RunID, allowed func(context.Context) error) error {
	view, err := s.svc.Run(r.Context(), actor, id)
	if err != nil {
		return err
	}
	return s.serve(w, r, actor, allowed, func() source {
		return s.hub.watch(ports.RunKey{Tenant: view.Run.Tenant, Run: id}, r.Header.Get("Last-Event-ID"))
	})
}

// ServeTenant is Serve for what happens in a tenant: it streams its runs and its balance.
func (s *Streams) ServeTenant(w http.ResponseWriter, r *http.Request, actor core.Actor, tenant core.TenantID, allowed func(context.Context) error) error {
	if _, err := s.svc.Balance(r.Context(), actor, tenant); err != nil { // unknown, or not the actor's to read
		return err
	}
	return s.serve(w, r, actor, allowed, func() source { return s.all.watch(tenant, r.Header.Get("Last-Event-ID")) })
}

// source is what a stream sends.
type source interface {
	// next gives what the client has to get now; nothing if it is up to date.
	next() ([]byte, error)
	// moved is signalled when next may have something.
	moved() <-chan struct{}
	stop()
}

// serve streams what watch begins to watch. The caller has checked that the actor may read it.
func (s *Streams) serve(w http.ResponseWriter, r *http.Request, actor core.Actor, allowed func(context.Context) error, watch func() source) error {
	if r.Method == http.MethodHead {
		streamHeader(w.Header(), r)
		w.WriteHeader(http.StatusOK)
		return nil
	}
	leave, err := s.enter(actor)
	if err != nil {
		w.Header().Set("Retry-After", retryAfterStreams)
		return err
	}
	defer leave()
	out := &stream{w: w, control: http.NewResponseController(w), timeout: s.cfg.WriteTimeout}
	if err := out.begin(r); err != nil {
		return err
	}
	from := watch()
	defer from.stop()
	if err := s.run(r, out, from, allowed); err != nil {
		s.cfg.Log.Debug("events: stream cut", "path", r.URL.Path, "error", err)
	}
	return nil
}

// run sends the events. Its error is that of a client that disconnected or is too slow.
func (s *Streams) run(r *http.Request, out *stream, from source, allowed func(context.Context) error) error {
	heartbeat, check := time.NewTicker(s.cfg.Heartbeat), time.NewTicker(s.cfg.CheckEvery)
	defer heartbeat.Stop()
	defer check.Stop()
	failures := 0
	for {
		now, err := from.next()
		if err != nil {
			return err
		}
		if len(now) > 0 {
			if err := out.send(now); err != nil {
				return err
			}
			heartbeat.Reset(s.cfg.Heartbeat)
		}
		select {
		case <-from.moved():
		case <-heartbeat.C:
			if err := out.send([]byte(": still here\n\n")); err != nil {
				return err
			}
		case <-check.C:
			err := s.check(r.Context(), allowed)
			if err == nil {
				failures = 0
				continue
			}
			refusal, refused := errors.AsType[*core.Error](err)
			if failures++; !refused && failures < maxCheckFailures {
				s.cfg.Log.Warn("events: a client's permission to read a run cannot be checked", "error", err)
				continue
			}
			if !refused {
				refusal = unavailable("your permission to read this cannot be checked at the moment; connect again")
			}
			return out.end(refusal)
		case <-s.stopped.Done():
			return out.end(unavailable("the server stops; connect again"))
		case <-r.Context().Done():
			return r.Context().Err()
		}
	}
}

func unavailable(why string) *core.Error { return refused(codeUnavailable, "%s", why) }

// check calls allowed once, with a timeout.
func (s *Streams) check(ctx context.Context, allowed func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	return allowed(ctx)
}

// retryAfterStreams is the Retry-After header when there are too many streams, in seconds.
const retryAfterStreams = "5"

// enter takes a place among the open streams; leave releases it.
func (s *Streams) enter(actor core.Actor) (leave func(), err error) {
	tenant := actor.Tenant
	if actor.Role == core.RolePlatformAdmin {
		tenant = "" // they take no tenant's places
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.stopped.Err() != nil:
		return nil, unavailable("the server stops; connect again")
	case s.total >= s.cfg.MaxStreams:
		return nil, unavailable("this server has as many event streams open as it can; read the run instead, or try again in a while")
	case s.open[tenant] >= s.cfg.MaxStreamsPerTenant:
		return nil, refused(codeTooManyStreams, "%d event streams are open already; close some, or read the run instead", s.open[tenant])
	case s.callers[actor] >= s.cfg.MaxStreamsPerCaller:
		return nil, refused(codeTooManyStreams, "you have %d event streams open already; close some, or read the run instead", s.callers[actor])
	}
	s.total++
	s.open[tenant]++
	s.callers[actor]++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.total--
		if s.callers[actor]--; s.callers[actor] == 0 {
			delete(s.callers, actor)
		}
		if s.open[tenant]--; s.open[tenant] == 0 {
			delete(s.open, tenant)
		}
	}, nil
}

// stream is the answer to one client.
type stream struct {
	w       http.ResponseWriter
	control *http.ResponseController
	timeout time.Duration
}

func streamHeader(h http.Header, r *http.Request) {
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // a proxy that buffers answers must not buffer this one
	if r.ProtoMajor == 1 {
		h.Set("Connection", "close") // its deadlines must not apply to a next request
	}
}

// begin sends the head of the answer. It lifts the deadlines that the server sets for
// every request: a stream has a deadline for each event instead.
func (o *stream) begin(r *http.Request) error {
	if err := errors.Join(o.control.SetReadDeadline(time.Time{}), o.control.SetWriteDeadline(time.Time{})); err != nil {
		return fmt.Errorf("the server cannot stream events: %w", err)
	}
	streamHeader(o.w.Header(), r)
	o.w.WriteHeader(http.StatusOK)
	// The random delay keeps the clients of a server that stops from all reconnecting at
	// the same moment. A write error shows again at the first event.
	_ = o.send(fmt.Appendf(nil, "retry: %d\n\n", 1000+rand.IntN(2000))) //nolint:gosec // it spreads them, and is no secret
	return nil
}

func (o *stream) send(b []byte) error {
	if err := o.control.SetWriteDeadline(time.Now().Add(o.timeout)); err != nil {
		return err
	}
	if _, err := o.w.Write(b); err != nil {
		return err
	}
	return o.control.Flush()
}

// end says why the stream ends.
func (o *stream) end(why *core.Error) error {
	data, err := json.Marshal(endJSON{Code: string(why.Code), Reason: why.Message})
	if err != nil {
		return err
	}
	return o.send(frame(nil, "end", "", data))
}

// streamEvents is GET /workflow-runs/{id}/events.
func (a *api) streamEvents(w http.ResponseWriter, r *request) error {
	id, err := r.runID()
	if err != nil {
		return err
	}
	return a.cfg.Streams.Serve(w, r.Request, r.actor, id, a.stillAllowed(r))
}

// streamTenant is GET /events.
func (a *api) streamTenant(w http.ResponseWriter, r *request) error {
	tenant, err := r.queryTenant()
	if err != nil {
		return err
	}
	return a.cfg.Streams.ServeTenant(w, r.Request, r.actor, tenant, a.stillAllowed(r))
}

// stillAllowed checks that a stream's caller is still the one who opened it.
func (a *api) stillAllowed(r *request) func(context.Context) error {
	if r.ticket {
		until := time.Now().Add(ticketStream)
		return func(context.Context) error {
			if time.Now().Before(until) {
				return nil
			}
			return refused(codeUnauthenticated, "a stream that was opened with a ticket ends after %s; get a new ticket and connect again", ticketStream)
		}
	}
	return func(ctx context.Context) error {
		actor, _, err := a.actorOf(r.WithContext(ctx))
		if err == nil && actor != r.actor {
			err = refused(codeUnauthenticated, "this token is for another caller; connect again")
		}
		return err
	}
}
