package apiclients

import (
	"context"
	"io"
	"log/slog"
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
	"github.com/redrive/redrive/core/app/worker"
	"github.com/redrive/redrive/internal/testkit/install"
	"github.com/redrive/redrive/ports"
)

// tenant is that of the journeys, which make it.
const tenant core.TenantID = "acme"

// server is a whole Redrive behind a real listener: the API, and a worker on what is in
// memory.
type server struct {
	svc             *app.Service
	url             string
	operator, token string // of a platform admin, and of an admin of the tenant
}

func newServer(t *testing.T) *server {
	t.Helper()
	quiet := slog.New(slog.DiscardHandler)
	queue := memory.NewQueue()
	store := memory.NewStore()
	svc := install.Service(t, app.Deps{
		Store: store, Queue: queue, Executor: &capitals{},
		Webhooks: webhooks.New(webhooks.Config{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}),
	}, app.Options{})
	auth, err := httpapi.NewAuth([]byte("a secret that only these tests know of"))
	require.NoError(t, err)
	streams := httpapi.NewStreams(svc, httpapi.StreamConfig{RunningEvery: 20 * time.Millisecond, ClosedEvery: 20 * time.Millisecond, Log: quiet})
	listener := httptest.NewServer(httpapi.New(svc, httpapi.Config{Auth: httpapi.WithAPIKeys(svc, auth), Tickets: store.Tickets(), Streams: streams, Log: quiet}))
	t.Cleanup(listener.Close)
	t.Cleanup(streams.Stop)

	pool, err := worker.New(svc, queue, worker.Options{Concurrency: 4, DrainTimeout: -1, Log: quiet})
	require.NoError(t, err)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- pool.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		require.NoError(t, <-ended)
	})

	s := &server{svc: svc, url: listener.URL}
	s.operator, err = auth.Token(core.Actor{Subject: "pat", Role: core.RolePlatformAdmin}, time.Hour)
	require.NoError(t, err)
	s.token, err = auth.Token(core.Actor{Subject: "ann", Tenant: tenant, Role: core.RoleCustomerAdmin}, time.Hour)
	require.NoError(t, err)
	return s
}

// seed makes the tenant, with credits and a template at 2 credits a file.
func (s *server) seed(t *testing.T) {
	t.Helper()
	install.Make(t, s.svc, install.Tenant{ID: tenant, Purchased: 100, Templates: []core.Template{{ID: "summarise", Instructions: "Summarise the file.", CreditsPerRun: 2}}})
}

// capitals answers with the file in capitals. A file named fail-… fails the first time.
type capitals struct {
	mu     sync.Mutex
	failed map[string]bool // by its content
}

// Execute implements ports.Executor.
func (c *capitals) Execute(ctx context.Context, task ports.Task) ([]core.FileResult, error) {
	var results []core.FileResult
	for _, f := range task.Files {
		content, err := f.Open(ctx)
		if err != nil {
			return nil, err
		}
		text, err := io.ReadAll(content)
		if err != nil {
			return nil, err
		}
		if err := content.Close(); err != nil {
			return nil, err
		}
		r := core.FileResult{Index: f.Index, Outcome: core.OutcomeCompleted, Output: strings.ToUpper(string(text))}
		if strings.HasPrefix(f.Name, "fail-") && c.first(f.Name) {
			r = core.FileResult{Index: f.Index, Outcome: core.OutcomeTransient, Failure: core.Failure{Code: "rate_limited", Message: "the provider refused the request for now"}}
		}
		results = append(results, r)
	}
	return results, nil
}

func (c *capitals) first(name string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failed == nil {
		c.failed = map[string]bool{}
	}
	before := c.failed[name]
	c.failed[name] = true
	return !before
}
