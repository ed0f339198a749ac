package httpapi_test

import (
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/httpapi"
	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

func TestProblems(t *testing.T) {
	t.Parallel()

	t.Run("EveryCodeOfTheDomainHasARow", func(t *testing.T) {
		t.Parallel()
		codes := domainCodes(t)
		require.Greater(t, len(codes), 15, "the constants were not found")
		for name, code := range codes {
			require.NotZero(t, httpapi.ProblemStatus(code), "%s has no row in the table", name)
		}
	})

	t.Run("StatusesOfTheSpecification", func(t *testing.T) {
		t.Parallel()
		for code, status := range map[core.Code]int{
			"run_not_found": 404, "wrong_tenant": 403, "role_not_allowed": 403, "run_already_running": 409,
			"no_errors_to_retry": 400, "nothing_to_retry": 400, "max_retry_count_exceeded": 400,
			"insufficient_credits": 402, "enqueue_failed": 503, "idempotency_key_reused": 422, "invalid_request": 400,
		} {
			require.Equal(t, status, httpapi.ProblemStatus(code), code)
		}
	})

	t.Run("Faults", func(t *testing.T) {
		t.Parallel()
		secret := errors.New("password=hunter2")
		for _, c := range []struct {
			err    error
			code   core.Code
			logged bool
		}{
			{&core.Error{Code: core.CodeRunNotFound, Message: "no"}, core.CodeRunNotFound, false},
			{fmt.Errorf("wrapped: %w", &core.Error{Code: core.CodeTenantExists}), core.CodeTenantExists, false},
			{&core.Error{Code: core.CodeEnqueueFailed, Err: fmt.Errorf("%w: %w", ports.ErrUnavailable, secret)}, core.CodeEnqueueFailed, false},
			{&core.Error{Code: "a_code_of_the_future", Message: "password=hunter2"}, "internal", true},
			{fmt.Errorf("%w: %w", ports.ErrUnavailable, secret), "unavailable", true},
			{fmt.Errorf("%w: %w", ports.ErrLockTimeout, secret), "unavailable", true},
			{fmt.Errorf("%w: %w", ports.ErrDeadlock, secret), "unavailable", true},
			{fmt.Errorf("%w: %w", ports.ErrSerialization, secret), "unavailable", true},
			{fmt.Errorf("%w: %w", ports.ErrCommitUnknown, secret), "outcome_unknown", true},
			{errors.Join(ports.ErrUnavailable, ports.ErrCommitUnknown), "outcome_unknown", true},
			{context.Canceled, "internal", true},
			{secret, "internal", true},
		} {
			code, detail, logged := httpapi.Fault(c.err)
			require.Equal(t, c.code, code, c.err)
			require.Equal(t, c.logged, logged, c.err)
			require.NotContains(t, detail, "hunter2")
		}
	})
}

// domainCodes reads the constants of type core.Code from their source, so that a new one
// is looked for in the table too.
func domainCodes(t *testing.T) map[string]core.Code {
	t.Helper()
	codes := map[string]core.Code{}
	dir := filepath.Join("..", "..", "core")
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".go") || strings.HasSuffix(e.Name(), "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(dir, e.Name()), nil, 0)
		require.NoError(t, err)
		ast.Inspect(file, func(n ast.Node) bool {
			spec, ok := n.(*ast.ValueSpec)
			if !ok {
				return true
			}
			if typ, ok := spec.Type.(*ast.Ident); !ok || typ.Name != "Code" {
				return true
			}
			for i, name := range spec.Names {
				value, err := strconv.Unquote(spec.Values[i].(*ast.BasicLit).Value)
				require.NoError(t, err)
				codes[name.Name] = core.Code(value)
			}
			return true
		})
	}
	return codes
}

// A fault of the store is answered with its own code and logged once; the client gets no
// details.
func TestStoreFaults(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err    error
		status int
		code   core.Code
		retry  string
		level  string
	}{
		{ports.ErrUnavailable, 503, "unavailable", "1", "WARN"},
		{ports.ErrLockTimeout, 503, "unavailable", "1", "WARN"},
		{ports.ErrCommitUnknown, 500, "outcome_unknown", "", "ERROR"},
		{errors.New("syntax error at SELECT * FROM secrets"), 500, "internal", "", "ERROR"},
	} {
		t.Run(string(c.code)+"_"+strconv.Itoa(len(c.err.Error())), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			id := w.closed("fail-a")
			w.store.fail(fmt.Errorf("pool: %w", c.err))
			for _, ask := range []func() answer{
				func() answer { return w.get(w.admin, "/balance") },
				func() answer { return w.post(w.admin, "/workflow-runs/"+id+"/retry-failed", nil) },
				func() answer { return w.post(w.admin, "/workflow-runs", inline("summarise", "a")) },
			} {
				got := w.refused(c.status, c.code, ask)
				require.NotContains(t, got.text(), c.err.Error())
				require.Equal(t, c.retry, got.header.Get("Retry-After"))
				logged := 0
				for line := range strings.Lines(w.logs.String()) {
					if strings.Contains(line, got.str("requestId")) && strings.Contains(line, c.err.Error()) {
						logged++
						require.Contains(t, line, `"level":"`+c.level+`"`)
					}
				}
				require.Equal(t, 1, logged, "logged once, with the request's ID")
			}
			w.store.fail(nil)
			require.Equal(t, http.StatusOK, w.get(w.admin, "/balance").status)
		})
	}
}
