package httpapi_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/httpapi"
	"github.com/redrive/redrive/adapters/memory"
	"github.com/redrive/redrive/adapters/webhooks"
	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/internal/testkit/install"
	"github.com/redrive/redrive/ports"
)

const (
	acme   core.TenantID = "acme"
	globex core.TenantID = "globex"
)

// startOfTest is what the world's clock shows until a test moves it.
var startOfTest = time.Date(2026, time.November, 15, 12, 0, 0, 0, time.UTC)

// world is a whole server: real use cases on the memory adapters, behind a real
// listener. Acme has 10 monthly and 90 purchased credits and the published
// template "summarise" at 2 credits a file; globex has 7 purchased credits.
type world struct {
	t      *testing.T
	store  *faultyStore
	queue  *faultyQueue
	files  *faultyFiles
	clock  *memory.ManualClock
	script *script
	svc    *app.Service
	auth   *httpapi.Auth
	logs   *logBuffer
	server *httptest.Server
	client *http.Client

	admin, user, platform, stranger string // tokens
}

// options are what a test may set otherwise.
type options struct {
	app  app.Options
	api  httpapi.Config
	auth *httpapi.Auth // nil: one with the tests' secret
	// executor, if set, stands in front of the script.
	executor func(*script) ports.Executor
}

func newWorld(t *testing.T, change ...func(*options)) *world {
	t.Helper()
	var o options
	for _, c := range change {
		c(&o)
	}
	w := &world{
		t: t, logs: &logBuffer{}, clock: memory.NewManualClock(startOfTest), script: &script{outcomes: map[string]core.Outcome{}},
		store: &faultyStore{Store: memory.NewStore()}, queue: &faultyQueue{Queue: memory.NewQueue()},
		files: &faultyFiles{Files: memory.NewFiles(), there: map[core.RunID]int{}},
	}
	log := slog.New(slog.NewJSONHandler(w.logs, &slog.HandlerOptions{Level: slog.LevelDebug}))
	var executor ports.Executor = w.script
	if o.executor != nil {
		executor = o.executor(w.script)
	}
	w.svc = install.Service(t, app.Deps{
		Store: w.store, Queue: w.queue, Executor: executor, Files: w.files,
		Clock: w.clock, IDs: memory.NewSequence("id"), Log: log, Webhooks: webhooks.New(webhooks.Config{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}),
	}, o.app)
	var err error
	if w.auth = o.auth; w.auth == nil {
		w.auth, err = httpapi.NewAuth([]byte(testSecret))
		require.NoError(t, err)
	}
	w.seed()

	o.api.Auth, o.api.Log = httpapi.WithAPIKeys(w.svc, w.auth), log
	w.server = httptest.NewServer(httpapi.New(w.svc, o.api))
	w.client = w.server.Client()
	w.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	t.Cleanup(func() {
		w.server.Close()
		for _, token := range []string{w.admin, w.user, w.platform, w.stranger} {
			require.NotContains(t, w.logs.String(), token, "a token is in the log")
		}
	})
	return w
}

const testSecret = "a secret that only these tests know of"

func (w *world) seed() {
	w.t.Helper()
	install.Make(w.t, w.svc,
		install.Tenant{ID: acme, Name: "Tenant acme", Granted: 10, Purchased: 90},
		install.Tenant{ID: globex, Name: "Tenant globex", Purchased: 7},
	)
	w.template("summarise", 2, core.ModePerFile)

	w.admin = w.token(core.Actor{Subject: "ann", Tenant: acme, Role: core.RoleCustomerAdmin})
	w.user = w.token(core.Actor{Subject: "ulf", Tenant: acme, Role: core.RoleCustomerUser})
	w.platform = w.token(core.Actor{Subject: "pat", Role: core.RolePlatformAdmin})
	w.stranger = w.token(core.Actor{Subject: "sam", Tenant: globex, Role: core.RoleCustomerAdmin})
}

// template makes a published template of acme's.
func (w *world) template(id core.TemplateID, price core.Credits, mode core.Mode) {
	w.t.Helper()
	install.Template(w.t, w.svc, acme, core.Template{
		ID: id, Name: "Template " + string(id), Instructions: "Do it.", CreditsPerRun: price, Mode: mode,
	})
}

func (w *world) token(actor core.Actor) string {
	w.t.Helper()
	token, err := w.auth.Token(actor, time.Hour)
	require.NoError(w.t, err)
	return token
}

// start initiates a run of acme's over files with these names.
func (w *world) start(names ...string) string {
	w.t.Helper()
	answer := w.post(w.admin, "/workflow-runs", inline("summarise", names...))
	require.Equal(w.t, http.StatusCreated, answer.status, answer.text())
	return answer.str("id")
}

// closed initiates a run and works it until it has closed. Files named "fail-…" fail,
// files named "bad-…" are refused for good.
func (w *world) closed(names ...string) string {
	w.t.Helper()
	for _, name := range names {
		switch {
		case strings.HasPrefix(name, "fail-"):
			w.script.set(name, core.OutcomeTransient)
		case strings.HasPrefix(name, "bad-"):
			w.script.set(name, core.OutcomePermanent)
		}
	}
	id := w.start(names...)
	w.work()
	return id
}

// work is the worker: it does every job that waits in the queue.
func (w *world) work() {
	w.t.Helper()
	for w.queue.Len() > 0 {
		deliveries, err := w.queue.Receive(w.t.Context(), 1, ports.Skip{})
		require.NoError(w.t, err)
		for _, d := range deliveries {
			require.NoError(w.t, w.svc.Work(w.t.Context(), d))
		}
	}
}

// script is an executor that answers by the file's name; a file without a set outcome
// completes with its content in capitals.
type script struct {
	mu       sync.Mutex
	outcomes map[string]core.Outcome
	executed []string // names, in order
}

func (s *script) set(name string, o core.Outcome) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.outcomes[name] = o
}

// heal makes every file complete from now on.
func (s *script) heal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.outcomes)
	s.executed = nil
}

func (s *script) names() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.executed...)
}

// Execute implements ports.Executor.
func (s *script) Execute(ctx context.Context, task ports.Task) ([]core.FileResult, error) {
	var results []core.FileResult
	for _, f := range task.Files {
		content, err := f.Open(ctx)
		if err != nil {
			return nil, err
		}
		text, err := io.ReadAll(content)
		if err := errors.Join(err, content.Close()); err != nil {
			return nil, err
		}
		s.mu.Lock()
		outcome := s.outcomes[f.Name]
		s.executed = append(s.executed, f.Name)
		s.mu.Unlock()
		r := core.FileResult{Index: f.Index, Outcome: core.OutcomeCompleted, Output: strings.ToUpper(string(text))}
		if outcome != "" && outcome != core.OutcomeCompleted {
			r = core.FileResult{Index: f.Index, Outcome: outcome, Failure: core.Failure{Code: "scripted", Message: "the script says so"}}
		}
		results = append(results, r)
	}
	return results, nil
}
