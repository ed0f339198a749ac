package webui_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"mime/multipart"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/httpapi"
	"github.com/redrive/redrive/adapters/llm"
	"github.com/redrive/redrive/adapters/memory"
	"github.com/redrive/redrive/adapters/postgres"
	"github.com/redrive/redrive/adapters/webhooks"
	"github.com/redrive/redrive/adapters/webui"
	"github.com/redrive/redrive/cmd/server/fakellm"
	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/core/app/worker"
	"github.com/redrive/redrive/internal/testkit/install"
	"github.com/redrive/redrive/internal/testkit/pgtest"
	"github.com/redrive/redrive/ports"
)

const (
	acme   core.TenantID = "acme"
	globex core.TenantID = "globex"
	secret               = "a secret that only these tests know of"
)

var (
	ann = core.Actor{Subject: "ann", Tenant: acme, Role: core.RoleCustomerAdmin}
	ulf = core.Actor{Subject: "ulf", Tenant: acme, Role: core.RoleCustomerUser}
	pat = core.Actor{Subject: "pat", Role: core.RolePlatformAdmin}
	sam = core.Actor{Subject: "sam", Tenant: globex, Role: core.RoleCustomerAdmin}
)

// world is a whole server: use cases on a store, by default in memory, the worker
// pool, the fake LLM over HTTP, the API and the page behind one real listener. Acme
// has 10 monthly and 90 purchased credits and the published template "summarise" at
// 2 credits a file; globex has 7 purchased credits.
type world struct {
	t        *testing.T
	svc      *app.Service
	auth     *httpapi.Auth
	store    sessionStore
	provider *fakellm.Server
	clock    *shiftedClock
	server   *httptest.Server
	queue    *memory.Queue
	logs     *logBuffer
	streams  *countedStreams
}

// countedStreams knows how many streams of events pages have open.
type countedStreams struct {
	*httpapi.Streams
	ofRuns, ofTenants atomic.Int32
}

func (s *countedStreams) Serve(w http.ResponseWriter, r *http.Request, actor core.Actor, run core.RunID, allowed func(context.Context) error) error {
	s.ofRuns.Add(1)
	defer s.ofRuns.Add(-1)
	return s.Streams.Serve(w, r, actor, run, allowed)
}

func (s *countedStreams) ServeTenant(w http.ResponseWriter, r *http.Request, actor core.Actor, tenant core.TenantID, allowed func(context.Context) error) error {
	s.ofTenants.Add(1)
	defer s.ofTenants.Add(-1)
	return s.Streams.ServeTenant(w, r, actor, tenant, allowed)
}

// shiftedClock is the machine's clock plus an offset that a test sets.
type shiftedClock struct {
	app.SystemClock
	mu    sync.Mutex
	ahead time.Duration
}

func (c *shiftedClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.SystemClock.Now().Add(c.ahead)
}

func (c *shiftedClock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ahead += d
}

type logBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// sessionStore is a store that also keeps the users' sessions.
type sessionStore interface {
	ports.Store
	ports.SessionStore
}

// store chooses what a world keeps its data in.
type store = func(*options)

// onEachStore runs a test on each store that the server has.
func onEachStore(t *testing.T, test func(*testing.T, store)) {
	t.Parallel()
	t.Run("Memory", func(t *testing.T) {
		t.Parallel()
		test(t, func(*options) {})
	})
	t.Run("Postgres", func(t *testing.T) {
		t.Parallel()
		test(t, func(o *options) { o.store = postgresStore(t) })
	})
}

func postgresStore(t *testing.T) sessionStore {
	t.Helper()
	s, _ := pgtest.Open(t, postgres.Config{MaxConns: 10})
	return s
}

type options struct {
	store   sessionStore
	script  fakellm.Script
	page    webui.Config
	workers int  // below 0: none
	polls   bool // there are no events
	// maxStreams bounds the streams of all pages; 0: as in the product.
	maxStreams int
	files      ports.Files
	app        app.Options
	wrap       func(ports.Store) ports.Store // what the use cases have of it
}

func newWorld(t *testing.T, change ...func(*options)) *world {
	t.Helper()
	o := options{store: memory.NewStore(), script: fakellm.Demo(fakellm.DemoOptions{Failures: 1}), workers: 8, files: memory.NewFiles()}
	o.page.Demo = []webui.DemoUser{{Name: "admin", Actor: ann}, {Name: "operator", Actor: pat}}
	for _, c := range change {
		c(&o)
	}
	w := &world{t: t, provider: fakellm.New(o.script), clock: &shiftedClock{}, queue: memory.NewQueue(), logs: &logBuffer{}}
	log := slog.New(slog.NewTextHandler(w.logs, &slog.HandlerOptions{Level: slog.LevelDebug}))
	base, err := w.provider.Listen("127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, w.provider.Close()) })
	executor, err := llm.New(llm.Config{BaseURL: base, Model: "m", Timeout: 10 * time.Minute, Log: log})
	require.NoError(t, err)
	w.store = o.store
	store := ports.Store(w.store)
	if o.wrap != nil {
		store = o.wrap(w.store)
	}
	w.svc = install.Service(t, app.Deps{
		Store: store, Queue: w.queue, Executor: executor, Files: o.files, Clock: w.clock, Log: log,
		Webhooks: webhooks.New(webhooks.Config{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}),
	}, o.app)
	w.auth, err = httpapi.NewAuth([]byte(secret))
	require.NoError(t, err)
	w.seed()
	if o.workers >= 0 {
		w.work(o.workers, log)
	}
	streams := httpapi.NewStreams(w.svc, httpapi.StreamConfig{MaxStreams: o.maxStreams, RunningEvery: 20 * time.Millisecond, ClosedEvery: 50 * time.Millisecond, TenantEvery: 50 * time.Millisecond, CheckEvery: 50 * time.Millisecond, Log: log})
	t.Cleanup(streams.Stop)
	w.streams = &countedStreams{Streams: streams}
	o.page.Auth, o.page.Sessions, o.page.Streams, o.page.Log = w.auth, w.store.Sessions(), w.streams, log
	if o.polls {
		o.page.Streams = nil
	}
	mux := http.NewServeMux()
	mux.Handle("/", httpapi.New(w.svc, httpapi.Config{Auth: w.auth, Log: log, Streams: streams}))
	page := webui.New(w.svc, o.page)
	mux.Handle("/ui/", page)
	mux.Handle("GET /{$}", page)
	w.server = httptest.NewServer(mux)
	served := w.server
	t.Cleanup(func() { stopServer(served) })
	return w
}

// stopServer stops a server that pages may still have streams of events from. They would
// come back to it if it still listened when they are cut off.
func stopServer(s *httptest.Server) {
	_ = s.Listener.Close() // Close does it again and finds nothing wrong with that
	s.CloseClientConnections()
	s.Close()
}

func (w *world) work(n int, log *slog.Logger) {
	pool, err := worker.New(w.svc, w.queue, worker.Options{
		Concurrency: n, DrainTimeout: -1, Breaker: worker.Breaker{InterruptAfter: 50 * time.Millisecond}, Log: log,
	})
	require.NoError(w.t, err)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- pool.Run(ctx) }()
	w.t.Cleanup(func() {
		stop()
		require.NoError(w.t, <-ended)
	})
}

func (w *world) seed() {
	install.Make(w.t, w.svc,
		install.Tenant{ID: acme, Name: "Tenant acme", Granted: 10, Purchased: 90},
		install.Tenant{ID: globex, Name: "Tenant globex", Purchased: 7},
	)
	w.template("summarise", "Summarise", 2)
}

func (w *world) purchase(tenant core.TenantID, key core.Key, n core.Credits) {
	w.t.Helper()
	_, err := w.svc.PurchaseCredits(w.t.Context(), core.System, tenant, key, n)
	require.NoError(w.t, err)
}

func (w *world) template(id core.TemplateID, name string, price core.Credits) {
	w.t.Helper()
	install.Template(w.t, w.svc, acme, core.Template{ID: id, Name: name, Instructions: "Summarise the document.", CreditsPerRun: price})
}

func (w *world) price(n core.Credits) {
	w.t.Helper()
	_, err := w.svc.ChangeTemplate(w.t.Context(), core.System, acme, "summarise", core.TemplateChange{CreditsPerRun: &n})
	require.NoError(w.t, err)
}

func (w *world) token(actor core.Actor) string {
	w.t.Helper()
	token, err := w.auth.Token(actor, time.Hour)
	require.NoError(w.t, err)
	return token
}

// retry continues a run at any price.
func (w *world) retry(id core.RunID) {
	w.t.Helper()
	_, err := w.svc.RetryFailed(w.t.Context(), ann, id, app.RetryRequest{})
	require.NoError(w.t, err)
}

// run starts a run over files with these names.
func (w *world) run(names ...string) core.RunID {
	w.t.Helper()
	return w.runWith("summarise", names...)
}

func (w *world) closedWith(template core.TemplateID, names ...string) core.RunID {
	w.t.Helper()
	id := w.runWith(template, names...)
	w.await(id)
	return id
}

func (w *world) runWith(template core.TemplateID, names ...string) core.RunID {
	w.t.Helper()
	upload, err := w.svc.BeginUpload(w.t.Context(), ann, app.UploadRequest{Tenant: acme, Template: template, Files: len(names)})
	require.NoError(w.t, err)
	for _, name := range names {
		_, err := upload.Add(w.t.Context(), name, strings.NewReader("Text of "+name))
		require.NoError(w.t, err)
	}
	run, err := w.svc.Initiate(w.t.Context(), ann, app.InitiateRequest{Tenant: acme, Template: template, Upload: upload})
	require.NoError(w.t, err)
	return run.ID
}

// closed starts a run and waits until it has closed.
func (w *world) closed(names ...string) core.RunID {
	w.t.Helper()
	id := w.run(names...)
	w.await(id)
	return id
}

func (w *world) await(id core.RunID) core.Run {
	w.t.Helper()
	var run core.Run
	require.Eventually(w.t, func() bool {
		v, err := w.svc.Run(w.t.Context(), core.System, id)
		require.NoError(w.t, err)
		run = v.Run
		return run.Status.Closed()
	}, 30*time.Second, 5*time.Millisecond)
	return run
}

func (w *world) balance(tenant core.TenantID) core.Credits {
	w.t.Helper()
	b, err := w.svc.Balance(w.t.Context(), core.System, tenant)
	require.NoError(w.t, err)
	return b.Available()
}

// visitor is a browser without scripts: a client that keeps cookies.
type visitor struct {
	w      *world
	client *http.Client
}

func (w *world) visitor() *visitor {
	jar, err := cookiejar.New(nil)
	require.NoError(w.t, err)
	return &visitor{w: w, client: &http.Client{Jar: jar}}
}

// signedIn is a visitor who has signed in.
func (w *world) signedIn(actor core.Actor) *visitor {
	w.t.Helper()
	v := w.visitor()
	p := v.post("/ui/sign-in", url.Values{"token": {w.token(actor)}})
	require.Equal(w.t, http.StatusOK, p.status, p.text)
	require.NotContains(w.t, p.path, "sign-in")
	return v
}

// shown is a page that a visitor got, after all redirects.
type shown struct {
	status int
	path   string // with the query
	text   string
	header http.Header
}

func (v *visitor) do(req *http.Request) shown {
	v.w.t.Helper()
	res, err := v.client.Do(req)
	require.NoError(v.w.t, err)
	defer func() { require.NoError(v.w.t, res.Body.Close()) }()
	body, err := io.ReadAll(res.Body)
	require.NoError(v.w.t, err)
	return shown{status: res.StatusCode, path: res.Request.URL.RequestURI(), text: string(body), header: res.Header}
}

func (v *visitor) get(path string) shown {
	v.w.t.Helper()
	req, err := http.NewRequest(http.MethodGet, v.w.server.URL+path, nil)
	require.NoError(v.w.t, err)
	return v.do(req)
}

func (v *visitor) post(path string, form url.Values) shown {
	v.w.t.Helper()
	req, err := http.NewRequest(http.MethodPost, v.w.server.URL+path, bytes.NewReader([]byte(form.Encode())))
	require.NoError(v.w.t, err)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Origin", v.w.server.URL)
	return v.do(req)
}

// upload sends the form of a new run as a browser does.
func (v *visitor) upload(fields map[string]string, files map[string]string) shown {
	v.w.t.Helper()
	return v.sendFiles("/ui/runs/new", "files", fields, files)
}

// sendFiles sends a form with files in one of its fields.
func (v *visitor) sendFiles(path, field string, fields map[string]string, files map[string]string) shown {
	v.w.t.Helper()
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	for name, value := range fields {
		require.NoError(v.w.t, form.WriteField(name, value))
	}
	for name, content := range files {
		part, err := form.CreateFormFile(field, name)
		require.NoError(v.w.t, err)
		_, err = part.Write([]byte(content))
		require.NoError(v.w.t, err)
	}
	require.NoError(v.w.t, form.Close())
	req, err := http.NewRequest(http.MethodPost, v.w.server.URL+path, &body)
	require.NoError(v.w.t, err)
	req.Header.Set("Content-Type", form.FormDataContentType())
	return v.do(req)
}

// revokeAll ends every session, as an operator does on any server.
func (w *world) revokeAll() {
	w.t.Helper()
	for _, actor := range []core.Actor{ann, ulf, pat, sam} {
		_, err := w.store.EndSessions(w.t.Context(), actor.Tenant, actor.Subject)
		require.NoError(w.t, err)
	}
}
