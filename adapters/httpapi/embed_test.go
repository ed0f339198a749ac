package httpapi_test

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/httpapi"
	"github.com/redrive/redrive/adapters/memory"
	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/internal/testkit/install"
	"github.com/redrive/redrive/ports"
)

// authenticate is an embedder's own authentication.
type authenticate func(*http.Request) (core.Actor, error)

// Authenticate implements httpapi.Authenticator.
func (f authenticate) Authenticate(r *http.Request) (core.Actor, error) { return f(r) }

// mount is the API under a prefix of an embedder's mux, beside his own pages.
type mount struct {
	t      *testing.T
	server *httptest.Server
	queue  *memory.Queue
	svc    *app.Service
}

func newMount(t *testing.T, auth httpapi.Authenticator) *mount {
	t.Helper()
	quiet := slog.New(slog.DiscardHandler)
	m := &mount{t: t, queue: memory.NewQueue()}
	m.svc = install.Service(t, app.Deps{Queue: m.queue}, app.Options{})
	seedForStreams(t, m.svc)
	mux := http.NewServeMux()
	mux.Handle("/redrive/", httpapi.New(m.svc, httpapi.Config{Auth: auth, Prefix: "/redrive", Log: quiet}))
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
	m.server = httptest.NewServer(mux)
	t.Cleanup(m.server.Close)
	return m
}

func (m *mount) send(method, path, body, user string) answer {
	m.t.Helper()
	req, err := http.NewRequestWithContext(m.t.Context(), method, m.server.URL+path, strings.NewReader(body))
	require.NoError(m.t, err)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-User", user)
	resp, err := m.server.Client().Do(req)
	require.NoError(m.t, err)
	content, err := io.ReadAll(resp.Body)
	require.NoError(m.t, err)
	require.NoError(m.t, resp.Body.Close())
	return answer{t: m.t, status: resp.StatusCode, header: resp.Header, body: content}
}

func TestOwnAuthentication(t *testing.T) {
	t.Parallel()
	m := newMount(t, authenticate(func(r *http.Request) (core.Actor, error) {
		switch user := r.Header.Get("X-User"); user {
		case "":
			return core.Actor{}, &httpapi.Unauthenticated{Challenge: `Session realm="acme"`, Message: "sign in at /login"}
		case "no challenge":
			return core.Actor{}, fmt.Errorf("session: %w", &httpapi.Unauthenticated{Message: "sign in"})
		case "away":
			return core.Actor{}, fmt.Errorf("directory: %w", ports.ErrUnavailable)
		case "broken":
			return core.Actor{}, errors.New("the secret of the directory")
		case "nobody":
			return core.Actor{}, nil
		case "no role":
			return core.Actor{Subject: user, Tenant: acme, Role: "owner"}, nil
		case "no tenant":
			return core.Actor{Subject: user, Role: core.RoleCustomerAdmin}, nil
		default:
			return core.Actor{Subject: user, Tenant: acme, Role: core.RoleCustomerAdmin}, nil
		}
	}))
	for user, want := range map[string]struct {
		status    int
		code      string
		challenge string
	}{
		"ann":          {http.StatusOK, "", ""},
		"":             {http.StatusUnauthorized, "unauthenticated", `Session realm="acme"`},
		"no challenge": {http.StatusUnauthorized, "unauthenticated", ""},
		"away":         {http.StatusServiceUnavailable, "unavailable", ""},
		"broken":       {http.StatusInternalServerError, "internal", ""},
		"nobody":       {http.StatusInternalServerError, "internal", ""},
		"no role":      {http.StatusInternalServerError, "internal", ""},
		"no tenant":    {http.StatusInternalServerError, "internal", ""},
	} {
		got := m.send(http.MethodGet, "/redrive/balance", "", user)
		require.Equal(t, want.status, got.status, "%q: %s", user, got.text())
		require.Equal(t, want.challenge, got.header.Get("WWW-Authenticate"), "%q", user)
		require.NotContains(t, got.text(), "secret")
		if want.code != "" {
			require.Equal(t, want.code, got.str("code"), "%q", user)
		}
	}
	require.Equal(t, "sign in at /login", m.send(http.MethodGet, "/redrive/balance", "", "").str("detail"))
}

// Everything that an answer gives the address of is under the prefix.
func TestUnderAPrefix(t *testing.T) {
	t.Parallel()
	everyone := authenticate(func(*http.Request) (core.Actor, error) {
		return core.Actor{Subject: "pat", Tenant: acme, Role: core.RolePlatformAdmin}, nil
	})
	m := newMount(t, everyone)
	get := func(path string) answer {
		t.Helper()
		return m.send(http.MethodGet, path, "", "")
	}
	create := func(path, body string) answer {
		t.Helper()
		made := m.send(http.MethodPost, path, body, "")
		require.Equal(t, http.StatusCreated, made.status, made.text())
		found := get(made.header.Get("Location"))
		require.Equal(t, http.StatusOK, found.status, made.header.Get("Location"))
		return made
	}
	create("/redrive/tenants", `{"id": "initech", "name": "Initech"}`)
	create("/redrive/templates", `{"id": "mine", "name": "Mine", "instructions": "Do it.", "creditsPerRun": 1, "mode": "per_file"}`)
	run := create("/redrive/workflow-runs", `{"template": "summarise", "files": [{"name": "a.txt", "text": "A"}]}`)
	deliveries, err := m.queue.Receive(t.Context(), 1, ports.Skip{})
	require.NoError(t, err)
	require.NoError(t, m.svc.Work(t.Context(), deliveries[0]))
	done := get(run.header.Get("Location"))
	require.Equal(t, "COMPLETED", done.str("status"))
	output, _ := done.at("files", 0, "outputUrl").(string)
	require.Equal(t, http.StatusOK, get(output).status, "%q in %s", output, done.text())

	missing := get("/redrive/no%20such")
	require.Equal(t, http.StatusNotFound, missing.status)
	require.Equal(t, "/redrive/no%20such", missing.str("instance"))
	require.Equal(t, "/redrive/problems/not_found", missing.str("type"))
	require.Equal(t, http.StatusNotFound, get("/redrive/redrive/balance").status)
	require.Equal(t, http.StatusTeapot, get("/balance").status, "the rest of the mux is the embedder's")
	require.Contains(t, get("/redrive/openapi.json").text(), `"url": "/redrive"`)
}

func TestPrefixesThatAreNone(t *testing.T) {
	t.Parallel()
	svc := install.Service(t, app.Deps{}, app.Options{})
	for _, prefix := range []string{"/", "redrive", "/redrive/", "//redrive", "/a/../b"} {
		require.Panics(t, func() {
			httpapi.New(svc, httpapi.Config{Auth: authenticate(nil), Prefix: prefix})
		}, prefix)
	}
	require.NotPanics(t, func() { httpapi.New(svc, httpapi.Config{Auth: authenticate(nil), Prefix: "/a/b"}) })
	require.Panics(t, func() { httpapi.New(svc, httpapi.Config{}) }, "nobody says who a caller is")
}
