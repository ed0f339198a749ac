// Package archtest keeps the import rules of the architecture:
// core ← ports ← core/app ← adapters/* ← cmd/*.
package archtest

import (
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const module = "github.com/redrive/redrive"

// pkg is the part of go list's output for a package.
type pkg struct {
	ImportPath string
	Standard   bool
	Imports    []string
	Deps       []string
}

// list runs go list for packages of this module, or for their dependencies.
func list(t *testing.T, args ...string) []pkg {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list", "-json=ImportPath,Standard,Imports,Deps"}, args...)...)
	cmd.Dir = "../../.."
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		t.Fatalf("go list: %s", exit.Stderr)
	}
	require.NoError(t, err)
	var packages []pkg
	for decoder := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return packages
		} else if err != nil {
			t.Fatal(err)
		}
		packages = append(packages, p)
	}
}

func within(path, dir string) bool { return path == dir || strings.HasPrefix(path, dir+"/") }

// pure are the packages that decide from values, and what they may import of this module.
var pure = map[string][]string{
	"core":                      nil,
	"core/app/worker/scheduler": {"core", "ports"},
}

// Pure packages read no clock, make no random numbers and do no I/O. Apart from the
// packages above they import only parts of the standard library that cannot. They use
// ports, which imports context, for its plain values.
func TestPurePackages(t *testing.T) {
	t.Parallel()
	forbidden := []string{
		"context", "os", "io", "io/fs", "net", "database/sql", "log", "log/slog",
		"math/rand", "math/rand/v2", "crypto/rand", "sync", "sync/atomic", "syscall", "runtime", "unsafe", "testing",
	}
	standard := map[string]bool{}
	for _, p := range list(t, "std") {
		standard[p.ImportPath] = true
	}
	for dir, own := range pure {
		packages := list(t, module+"/"+dir)
		require.Len(t, packages, 1)
		require.NotEmpty(t, packages[0].Imports)
		for _, path := range packages[0].Imports {
			if inner, ours := strings.CutPrefix(path, module+"/"); ours {
				require.Contains(t, own, inner, "%s imports %s", dir, path)
				continue
			}
			require.True(t, standard[path], "%s imports %s, which is not of the standard library", dir, path)
			require.False(t, slices.ContainsFunc(forbidden, func(f string) bool { return within(path, f) }), "%s imports %s", dir, path)
		}
	}
}

// Reading the clock needs no forbidden import, so the test looks for it by name.
func TestPurePackagesReadNoClock(t *testing.T) {
	t.Parallel()
	clocks := []string{"Now", "Since", "Until", "After", "AfterFunc", "Tick", "NewTicker", "NewTimer", "Sleep", "Local"}
	for dir := range pure {
		inspect(t, dir, func(n ast.Node) (wrong bool) {
			call, ok := n.(*ast.SelectorExpr)
			if !ok {
				return false
			}
			from, ok := call.X.(*ast.Ident)
			return ok && from.Name == "time" && slices.Contains(clocks, call.Sel.Name)
		})
	}
}

// The scheduler handles one event after the other: it has no goroutine and no channel.
func TestSchedulerHasNoChannel(t *testing.T) {
	t.Parallel()
	inspect(t, "core/app/worker/scheduler", func(n ast.Node) (wrong bool) {
		switch n.(type) {
		case *ast.GoStmt, *ast.ChanType, *ast.SelectStmt, *ast.SendStmt:
			return true
		}
		return false
	})
}

// The rules and the use cases start no goroutine, so that a deterministic scheduler can
// control every interleaving; the goroutines of a process are in core/app/worker.
func TestUseCasesStartNoGoroutine(t *testing.T) {
	t.Parallel()
	for _, dir := range []string{"core", "core/app", "core/app/worker/scheduler"} {
		inspect(t, dir, func(n ast.Node) (wrong bool) {
			switch n := n.(type) {
			case *ast.GoStmt:
				return true
			case *ast.CallExpr:
				method, ok := n.Fun.(*ast.SelectorExpr)
				return ok && method.Sel.Name == "Go"
			}
			return false
		})
	}
}

// inspect fails the test for every wrong node of a package's files, without its tests.
func inspect(t *testing.T, dir string, wrong func(ast.Node) bool) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join("../../..", dir, "*.go"))
	require.NoError(t, err)
	files := token.NewFileSet()
	parsed := 0
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(files, path, nil, 0)
		require.NoError(t, err)
		parsed++
		ast.Inspect(file, func(n ast.Node) bool {
			if n != nil && wrong(n) {
				t.Errorf("%s: not allowed here", files.Position(n.Pos()))
			}
			return true
		})
	}
	require.NotZero(t, parsed, "no files in %s", dir)
}

// Imports flow one way. A layer may import itself and the layers before it.
func TestImportsFlowOneWay(t *testing.T) {
	t.Parallel()
	layers := []struct {
		dir     string
		imports []string // of this module
	}{
		// The simulator's entry for embedders: no other package of Redrive imports it.
		{"core/app/simulate", []string{"core", "ports", "core/app", "internal/sim"}},
		{"core/app/worker/scheduler", []string{"core", "ports"}},
		{"core/app/worker", []string{"core", "ports", "core/app", "core/app/worker/scheduler"}},
		{"core/app", []string{"core", "ports"}},
		{"core", nil},
		{"ports", []string{"core"}},
		// The suites that every adapter passes, for embedders too: a store is driven with
		// a queue and files in memory, and judged by the model.
		{"adapters/adaptertest", []string{"core", "ports", "core/app", "adapters/memory", "adapters/adaptertest", "internal/testkit/model", "internal/testkit/written"}},
		{"internal/apiclients", []string{"adapters"}}, // tests, and the examples that they run
		{"internal/locktable", []string{"core", "ports"}},
		{"internal/rowtext", []string{"core"}},
		{"internal/answerjson", []string{"core", "internal/rowtext"}},
		// The reader of what the pool counts, which an embedder gives it whole.
		{"adapters/metrics", []string{"core", "ports", "core/app", "core/app/worker"}},
		{"adapters", []string{"core", "ports", "core/app", "internal/locktable", "internal/answerjson", "internal/bulkjson", "internal/rowtext"}},
		{"internal/bulkjson", []string{"core"}},
		{"internal/sim", []string{"core", "ports", "core/app", "core/app/worker/scheduler", "adapters/memory", "internal/sim", "internal/testkit/model"}},
		{"internal/testkit", []string{"core", "ports", "core/app", "adapters", "internal/testkit"}},
		{"cmd/server/fakellm", nil},
		{"cmd/server", []string{"core", "ports", "core/app", "core/app/worker", "adapters", "cmd/server"}},
		{"cmd/sim", []string{"core", "core/app", "internal/sim"}},
	}
	packages := list(t, module+"/...")
	require.Greater(t, len(packages), 8)
	for _, p := range packages {
		own := strings.TrimPrefix(p.ImportPath, module+"/")
		at := slices.IndexFunc(layers, func(l struct {
			dir     string
			imports []string
		},
		) bool {
			return within(own, l.dir)
		})
		require.GreaterOrEqual(t, at, 0, "%s is in no layer; give it one here", own)
		for _, path := range p.Imports {
			if !within(path, module) {
				continue
			}
			imported := strings.TrimPrefix(path, module+"/")
			allowed := slices.ContainsFunc(layers[at].imports, func(l string) bool {
				if l == "adapters" || l == "adapters/adaptertest" || l == "cmd/server" || strings.HasPrefix(l, "internal") {
					return within(imported, l)
				}
				return imported == l
			})
			require.True(t, allowed, "%s must not import %s", own, imported)
		}
	}
}

// Adapters do not import each other: any one can be replaced or left out. The suites are
// none: an adapter's tests import them, and they import one of memory.
func TestAdaptersDoNotImportEachOther(t *testing.T) {
	t.Parallel()
	adapters := list(t, module+"/adapters/...")
	require.NotEmpty(t, adapters)
	for _, p := range adapters {
		name, _, _ := strings.Cut(strings.TrimPrefix(p.ImportPath, module+"/adapters/"), "/")
		if name == "adaptertest" {
			continue
		}
		for _, path := range p.Deps {
			other, found := strings.CutPrefix(path, module+"/adapters/")
			if found {
				require.True(t, within(other, name), "%s imports adapter %s", p.ImportPath, other)
			}
		}
	}
}

// What is shipped has nothing in it that is made for tests. The simulator's oracle follows
// the sequential model, which is there to judge.
func TestTheProductHasNoTestKit(t *testing.T) {
	t.Parallel()
	for _, p := range list(t, module+"/...") {
		own := strings.TrimPrefix(p.ImportPath, module+"/")
		if within(own, "internal/testkit") || within(own, "adapters/adaptertest") {
			continue
		}
		simulator := within(own, "internal/sim") || within(own, "cmd/sim") || within(own, "core/app/simulate")
		for _, path := range p.Deps {
			if simulator && path == module+"/internal/testkit/model" {
				continue
			}
			made := within(path, module+"/internal/testkit") || within(path, module+"/adapters/adaptertest")
			require.False(t, made || path == "testing" || within(path, "github.com/stretchr/testify"), "%s has %s in it", own, path)
		}
	}
}
