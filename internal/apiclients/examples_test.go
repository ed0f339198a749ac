package apiclients

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// languages are the examples, in the order of docs/examples.md. Each is one program, with
// a comment [Title] before each part.
var languages = []struct{ name, file, fence string }{
	{"curl", "examples.sh", "sh"}, {"Go", "main.go", "go"}, {"Python", "examples.py", "python"}, {"TypeScript", "examples.ts", "ts"},
}

// parts cuts an example into its parts. What stands under [] is not shown.
func parts(t *testing.T, file string) (titles []string, text map[string]string) {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("examples", file))
	require.NoError(t, err)
	text = map[string]string{}
	for _, part := range regexp.MustCompile(`(?m)^\t?(?:#|//) \[`).Split(string(content), -1)[1:] {
		title, code, found := strings.Cut(part, "]\n")
		require.True(t, found)
		if title == "" {
			continue
		}
		code = regexp.MustCompile(`(?m)^\t`).ReplaceAllString(code, "") // of Go, inside a function
		if title == lastTitle && file == "main.go" {
			code, _, _ = strings.Cut(code, "\treturn err\n}")
			code = regexp.MustCompile(`(?m)^return err\n}\n?`).ReplaceAllString(code, "")
		}
		titles, text[title] = append(titles, title), strings.TrimSpace(code)
	}
	return titles, text
}

const lastTitle = "See why a request is refused"

// docs/examples.md is made of the examples.
func TestExamplesDocument(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	b.WriteString("# Examples\n\nMade by `make generate` of the programs in `internal/apiclients/examples`, which a test runs against a server: they send the same requests. " +
		"`REDRIVE_URL` is the server's address, `REDRIVE_TOKEN` a credential of the role `customer_admin` ([how to get one](http.md)); " +
		"there is a published template `summarise` at 2 credits a file, and one file fails at first. Each deed has an `Idempotency-Key` of its own, so that it can be sent again when no answer comes. The Go client is the package `adapters/httpapi/client`.\n")
	all, text := map[string][]string{}, map[string]map[string]string{}
	for _, l := range languages {
		all[l.name], text[l.name] = parts(t, l.file)
	}
	require.Equal(t, all["Go"], all["Python"])
	require.Equal(t, all["Go"], all["TypeScript"])
	require.Equal(t, all["Go"][1:], all["curl"], "curl needs no setting up")
	for _, title := range all["Go"] {
		fmt.Fprintf(&b, "\n## %s\n", title)
		for _, l := range languages {
			if code, has := text[l.name][title]; has {
				fmt.Fprintf(&b, "\n%s\n\n```%s\n%s\n```\n", l.name, l.fence, code)
			}
		}
	}
	const path = "../../docs/examples.md"
	if *write {
		require.NoError(t, os.WriteFile(path, []byte(b.String()), 0o600))
	}
	got, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, b.String(), string(got), "%s is behind: make generate", path)
}

// recorder stands before a server and notes each request.
type recorder struct {
	mu       sync.Mutex
	requests []string
}

func (r *recorder) before(t *testing.T, to string) string {
	t.Helper()
	target, err := url.Parse(to)
	require.NoError(t, err)
	proxy := &httputil.ReverseProxy{
		Rewrite:       func(p *httputil.ProxyRequest) { p.SetURL(target) },
		FlushInterval: -1,
		// A client that has read enough of a stream leaves.
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
	}
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.mu.Lock()
		r.requests = append(r.requests, req.Method+" "+req.URL.RequestURI()+" "+req.Header.Get("Idempotency-Key"))
		r.mu.Unlock()
		proxy.ServeHTTP(w, req)
	}))
	t.Cleanup(front.Close)
	return front.URL
}

// sent are the requests, with one name for the run. A stream may have been asked for again.
func (r *recorder) sent() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var list []string
	for _, request := range r.requests {
		request = strings.TrimSpace(regexp.MustCompile(`/workflow-runs/[^/ ?]+`).ReplaceAllString(request, "/workflow-runs/{id}"))
		if len(list) == 0 || list[len(list)-1] != request || !strings.HasSuffix(request, "/events") {
			list = append(list, request)
		}
	}
	return list
}

// The examples run, and send the same requests.
func TestExamples(t *testing.T) {
	t.Parallel()
	want := []string{
		"POST /workflow-runs reports-of-november",
		"GET /workflow-runs/{id}/events",
		"GET /workflow-runs/{id}",
		"GET /workflow-runs/{id}/retry-failed",
		"POST /workflow-runs/{id}/retry-failed?maxPrice=2 reports-of-november-again",
		"GET /workflow-runs/{id}/events",
		"GET /workflow-runs/{id}/files/1/output",
		"GET /workflow-runs/{id}/receipt",
		"GET /balance",
		"POST /workflow-runs",
		"POST /workflow-runs/{id}/retry-failed",
	}
	for _, l := range languages {
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			command, dir := exampleCommand(t, l.file)
			s := newServer(t)
			s.seed(t)
			var r recorder
			ctx, stop := context.WithTimeout(t.Context(), 3*time.Minute)
			defer stop()
			cmd := exec.CommandContext(ctx, command[0], command[1:]...)
			cmd.Dir = dir
			cmd.Env = append(os.Environ(), "REDRIVE_URL="+r.before(t, s.url), "REDRIVE_TOKEN="+s.token)
			var errors strings.Builder
			cmd.Stderr = &errors
			out, err := cmd.Output()
			require.NoError(t, err, "%s\n%s", out, errors.String())
			require.Contains(t, string(out), "COSTS FELL.")
			require.Contains(t, string(out), "no_errors_to_retry")
			require.Equal(t, want, r.sent())
		})
	}
}

// exampleCommand is how an example is run, and where.
func exampleCommand(t *testing.T, file string) (command []string, dir string) {
	t.Helper()
	folder, err := filepath.Abs("examples")
	require.NoError(t, err)
	switch filepath.Ext(file) {
	case ".sh":
		return []string{"sh", filepath.Join(folder, file)}, t.TempDir()
	case ".py":
		return []string{"python3", filepath.Join(folder, file)}, t.TempDir()
	case ".go":
		program := filepath.Join(t.TempDir(), "examples")
		out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, "./examples").CombinedOutput()
		require.NoError(t, err, "%s", out)
		return []string{program}, t.TempDir()
	default:
		return []string{"node", "examples.js"}, compiled(t)
	}
}
