package apiclients

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/httpapi"
)

var write = flag.Bool("write", false, "write the Go client anew, instead of comparing it")

// runNode runs a program of npm's in a folder. Nothing is downloaded, and nobody is told.
func runNode(ctx context.Context, dir string, env []string, program string, args ...string) (string, error) {
	packages, err := filepath.Abs("node_modules")
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(packages); err != nil {
		return "", fmt.Errorf("`make test` installs the tools, or run internal/apiclients/install.sh: %w", err)
	}
	if program != "" {
		args = append([]string{filepath.Join(packages, program)}, args...)
	}
	cmd := exec.CommandContext(ctx, "node", args...)
	cmd.Dir = dir
	cmd.Env = append(append(os.Environ(), "REDOCLY_TELEMETRY=off", "REDOCLY_SUPPRESS_UPDATE_NOTICE=true", "NO_COLOR=1"), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%v: %w\n%s", cmd.Args, err, out)
	}
	return string(out), nil
}

func node(t *testing.T, dir string, env []string, program string, args ...string) string {
	t.Helper()
	out, err := runNode(t.Context(), dir, env, program, args...)
	require.NoError(t, err)
	return out
}

// document writes the OpenAPI document into a folder.
func document(t *testing.T, dir string) string {
	t.Helper()
	path := filepath.Join(dir, "openapi.json")
	require.NoError(t, os.WriteFile(path, httpapi.OpenAPI(), 0o600))
	return path
}

// copyOf copies files of this package into a folder.
func copyOf(t *testing.T, dir string, names ...string) {
	t.Helper()
	for _, name := range names {
		content, err := os.ReadFile(name)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), content, 0o600))
	}
}

// The linter that most of those know who write such documents has nothing to say.
func TestDocumentIsLinted(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	copyOf(t, dir, "redocly.yaml")
	out := node(t, dir, nil, "@redocly/cli/bin/cli.js", "lint", "--config", "redocly.yaml", document(t, dir))
	require.Contains(t, out, "Your API description is valid")
	require.NotContains(t, out, "Warning was generated")
}

// compiled is a folder with what is written in TypeScript. openapi-typescript made types of
// the document, and tsc found that the clients keep to them.
func compiled(t *testing.T) string {
	t.Helper()
	dir, err := typeScript()
	require.NoError(t, err)
	return dir
}

var typeScript = sync.OnceValues(func() (string, error) {
	packages, err := filepath.Abs("node_modules")
	if err != nil {
		return "", err
	}
	if err := os.Symlink(packages, filepath.Join(compiledDir, "node_modules")); err != nil {
		return "", err
	}
	if err := os.WriteFile(filepath.Join(compiledDir, "openapi.json"), httpapi.OpenAPI(), 0o600); err != nil {
		return "", err
	}
	for _, name := range []string{"journey.ts", "integration.ts", "tsconfig.json", "package.json", "examples/examples.ts"} {
		content, err := os.ReadFile(name)
		if err != nil {
			return "", err
		}
		if err := os.WriteFile(filepath.Join(compiledDir, filepath.Base(name)), content, 0o600); err != nil {
			return "", err
		}
	}
	if _, err := runNode(context.Background(), compiledDir, nil, "openapi-typescript/bin/cli.js", "openapi.json", "--output", "schema.d.ts"); err != nil {
		return "", err
	}
	_, err = runNode(context.Background(), compiledDir, nil, "typescript/bin/tsc", "--project", ".")
	return compiledDir, err
})

// compiledDir is removed when all tests have ended.
var compiledDir string

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(func() int {
		var err error
		if compiledDir, err = os.MkdirTemp("", "redrive-apiclients"); err != nil {
			panic(err)
		}
		defer os.RemoveAll(compiledDir) //nolint:errcheck // it is in the folder of temporary files
		return m.Run()
	}())
}

// The TypeScript client plays the journey.
func TestTypeScriptClient(t *testing.T) {
	t.Parallel()
	dir := compiled(t)
	s := newServer(t)
	out := node(t, dir, []string{"REDRIVE_URL=" + s.url, "REDRIVE_OPERATOR=" + s.operator, "REDRIVE_TOKEN=" + s.token, "REDRIVE_TENANT=" + string(tenant)}, "", "journey.js")
	require.Equal(t, "journey done\n", out)
}

// The TypeScript client plays the integration.
func TestTypeScriptClientIntegration(t *testing.T) {
	t.Parallel()
	dir := compiled(t)
	s := newServer(t)
	s.seed(t)
	out := node(t, dir, []string{"REDRIVE_URL=" + s.url, "REDRIVE_TOKEN=" + s.token, "REDRIVE_TENANT=" + string(tenant)}, "", "integration.js")
	require.Equal(t, "integration done\n", out)
}

// The Go client is what its generator makes of the document.
func TestGoClientIsFresh(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	fresh := filepath.Join(dir, "client.gen.go")
	cmd := exec.CommandContext(t.Context(), "go", "tool", "oapi-codegen", "-config", "config.yaml", "-o", fresh, document(t, dir))
	cmd.Dir = "oapicodegen"
	cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=readonly")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	want, err := os.ReadFile(fresh)
	require.NoError(t, err)
	const path = "../../adapters/httpapi/client/client.gen.go"
	if *write {
		require.NoError(t, os.WriteFile(path, want, 0o600))
	}
	got, err := os.ReadFile(path)
	require.NoError(t, err)
	require.True(t, string(want) == string(got), "%s is behind: make generate", path)
}
