package httpapi_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/httpapi"
	"github.com/redrive/redrive/adapters/memory"
	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/internal/testkit/install"
	"github.com/redrive/redrive/ports"
)

// streamWorld is several servers on one store, inside a synctest bubble: its time is the
// bubble's, and its connections are pipes without buffers.
type streamWorld struct {
	t       *testing.T
	store   *countingStore
	tickets ports.Tickets
	queue   *memory.Queue
	work    *script
	svc     *app.Service
	auth    *httpapi.Auth
	logs    *logBuffer
}

// countingStore counts the reads of runs.
type countingStore struct {
	*faultyStore
	views atomic.Int64
}

// View implements ports.Store.
func (s *countingStore) View(ctx context.Context, tenant core.TenantID, fn func(ports.Tx) error) error {
	s.views.Add(1)
	return s.faultyStore.View(ctx, tenant, fn)
}

func newStreamWorld(t *testing.T) *streamWorld {
	t.Helper()
	kept := memory.NewStore()
	w := &streamWorld{
		t: t, store: &countingStore{faultyStore: &faultyStore{Store: kept}}, tickets: kept.Tickets(), queue: memory.NewQueue(),
		work: &script{outcomes: map[string]core.Outcome{}}, logs: &logBuffer{},
	}
	w.svc = install.Service(t, app.Deps{Store: w.store, Queue: w.queue, Executor: w.work, IDs: memory.NewSequence("id")}, app.Options{})
	var err error
	w.auth, err = httpapi.NewAuth([]byte(testSecret))
	require.NoError(t, err)
	seedForStreams(t, w.svc)
	return w
}

func seedForStreams(t *testing.T, svc *app.Service) {
	t.Helper()
	templates := []core.Template{{ID: "summarise", Instructions: "Do it.", CreditsPerRun: 2}}
	install.Make(t, svc,
		install.Tenant{ID: acme, Purchased: 1000, Templates: templates},
		install.Tenant{ID: globex, Purchased: 1000, Templates: templates},
	)
}

func ann(tenant core.TenantID) core.Actor {
	return core.Actor{Subject: "ann", Tenant: tenant, Role: core.RoleCustomerAdmin}
}

func startRun(t *testing.T, svc *app.Service, tenant core.TenantID, names ...string) core.RunID {
	t.Helper()
	upload, err := svc.BeginUpload(t.Context(), ann(tenant), app.UploadRequest{Tenant: tenant, Template: "summarise"})
	require.NoError(t, err)
	for _, name := range names {
		_, err := upload.Add(t.Context(), name, strings.NewReader("text of "+name))
		require.NoError(t, err)
	}
	run, err := svc.Initiate(t.Context(), ann(tenant), app.InitiateRequest{Tenant: tenant, Template: "summarise", Upload: upload})
	require.NoError(t, err)
	return run.ID
}

// step works the next job of the queue.
func (w *streamWorld) step() {
	w.t.Helper()
	deliveries, err := w.queue.Receive(w.t.Context(), 1, ports.Skip{})
	require.NoError(w.t, err)
	require.NoError(w.t, w.svc.Work(w.t.Context(), deliveries[0]))
}

func (w *streamWorld) token(actor core.Actor, ttl time.Duration) string {
	w.t.Helper()
	token, err := w.auth.Token(actor, ttl)
	require.NoError(w.t, err)
	return token
}

// streamServer is one server.
type streamServer struct {
	t       *testing.T
	streams *httpapi.Streams
	server  *http.Server
	client  *http.Client
}

// serve starts a server with the API, whose requests time out quickly.
func (w *streamWorld) serve(cfg httpapi.StreamConfig) *streamServer {
	cfg.Log = slog.New(slog.NewTextHandler(w.logs, nil))
	streams := httpapi.NewStreams(w.svc, cfg)
	return w.serveHandler(streams, httpapi.New(w.svc, httpapi.Config{Auth: w.auth, Log: slog.New(slog.DiscardHandler), Streams: streams, Tickets: w.tickets}))
}

func (w *streamWorld) serveHandler(streams *httpapi.Streams, h http.Handler) *streamServer {
	pipes := &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}
	transport := &http.Transport{DialContext: pipes.dial, DisableCompression: true}
	s := &streamServer{
		t: w.t, streams: streams, client: &http.Client{Transport: transport},
		server: &http.Server{Handler: h, ReadTimeout: 300 * time.Millisecond, WriteTimeout: 300 * time.Millisecond},
	}
	s.server.RegisterOnShutdown(streams.Stop)
	served := make(chan error, 1)
	go func() { served <- s.server.Serve(pipes) }()
	w.t.Cleanup(func() {
		streams.Stop()
		require.NoError(w.t, s.server.Close())
		require.ErrorIs(w.t, <-served, http.ErrServerClosed)
		transport.CloseIdleConnections()
	})
	return s
}

// pipeListener accepts pipes.
type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	select {
	case <-l.closed:
	default:
		close(l.closed)
	}
	return nil
}
func (l *pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

func (l *pipeListener) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	here, there := net.Pipe()
	select {
	case l.conns <- there:
		return here, nil
	case <-l.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// event is one event, or a comment, as it arrived.
type event struct {
	name, id, data string
	comment        string
	at             time.Time
}

func (e event) json(t *testing.T) map[string]any {
	t.Helper()
	var v map[string]any
	require.NoError(t, json.Unmarshal([]byte(e.data), &v), e.data)
	return v
}

// eventStream is a client's end of a stream.
type eventStream struct {
	t      *testing.T
	status int
	header http.Header
	body   io.ReadCloser
	lines  *bufio.Reader
}

// open asks for a run's events. The bodies of refusals are read as problems by the caller.
func openEvents(t *testing.T, client *http.Client, base, token string, id core.RunID, lastEventID string) *eventStream {
	t.Helper()
	return openStream(t, client, base+"/workflow-runs/"+string(id)+"/events", token, lastEventID)
}

// openStream asks for the events of an address; without a token if there is none.
func openStream(t *testing.T, client *http.Client, url, token, lastEventID string) *eventStream {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	require.NoError(t, err)
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	if lastEventID != "" {
		req.Header.Set("Last-Event-ID", lastEventID)
	}
	resp, err := client.Do(req)
	require.NoError(t, err)
	s := &eventStream{t: t, status: resp.StatusCode, header: resp.Header, body: resp.Body, lines: bufio.NewReader(resp.Body)}
	if s.status == http.StatusOK {
		require.Equal(t, "text/event-stream", s.header.Get("Content-Type"))
		line, err := s.lines.ReadString('\n')
		require.NoError(t, err)
		require.Regexp(t, `^retry: [12]\d{3}\n$`, line)
		_, err = s.lines.ReadString('\n')
		require.NoError(t, err)
	}
	return s
}

func (s *streamServer) events(token string, id core.RunID, lastEventID string) *eventStream {
	s.t.Helper()
	return openEvents(s.t, s.client, "http://server", token, id, lastEventID)
}

func (s *eventStream) close() { require.NoError(s.t, s.body.Close()) }

// any waits for the next event or comment; io.EOF when the server has ended the stream.
func (s *eventStream) any() (event, error) {
	var e event
	for {
		line, err := s.lines.ReadString('\n')
		if err != nil {
			return e, err
		}
		line = strings.TrimSuffix(line, "\n")
		name, value, _ := strings.Cut(line, ": ")
		switch name {
		case "":
			if line == "" {
				e.at = time.Now()
				return e, nil
			}
			e.comment = value
		case "event":
			e.name = value
		case "id":
			e.id = value
		case "data":
			e.data = value
		default:
			return e, fmt.Errorf("unexpected line %q", line)
		}
	}
}

// next waits for the next event, whose data must be as the document says.
func (s *eventStream) next(name string) event {
	s.t.Helper()
	for {
		e, err := s.any()
		require.NoError(s.t, err)
		if e.comment != "" && e.name == "" {
			continue
		}
		require.Equal(s.t, name, e.name, e.data)
		require.NoError(s.t, eventSchema(name).VisitJSON(e.json(s.t), openapi3.EnableJSONSchema2020()), e.data)
		return e
	}
}

// eventSchema is what the OpenAPI document says of an event's data.
func eventSchema(name string) *openapi3.Schema {
	of := map[string]string{"state": "RunState", "closed": "RunClosed", "end": "StreamEnd", "snapshot": "TenantSnapshot", "run": "RunEvent", "balance": "Balance"}[name]
	return document().Components.Schemas[of].Value
}

// ended waits for the end of the stream, after which nothing comes.
func (s *eventStream) ended() (code, reason string) {
	s.t.Helper()
	end := s.next("end").json(s.t)
	_, err := s.any()
	require.ErrorIs(s.t, err, io.EOF)
	s.close()
	return end["code"].(string), end["reason"].(string)
}

// problem reads a refusal.
func (s *eventStream) problem() map[string]any {
	s.t.Helper()
	defer s.close()
	var v map[string]any
	require.NoError(s.t, json.NewDecoder(s.body).Decode(&v))
	return v
}
