package apiclients

import (
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/httpapi"
)

var write = flag.Bool("write", false, "write the Go client anew, instead of comparing it")

// node runs a program of npm's in a folder. Nothing is downloaded, and nobody is told.
func node(t *testing.T, dir string, env []string, program string, args ...string) string {
	t.Helper()
	packages, err := filepath.Abs("node_modules")
	require.NoError(t, err)
	require.DirExists(t, packages, "`make test` installs the tools, or run internal/apiclients/install.sh")
	if program != "" {
		args = append([]string{filepath.Join(packages, program)}, args...)
	}
	cmd := exec.CommandContext(t.Context(), "node", args...)
	cmd.Dir = dir
	cmd.Env = append(append(os.Environ(), "REDOCLY_TELEMETRY=off", "REDOCLY_SUPPRESS_UPDATE_NOTICE=true", "NO_COLOR=1"), env...)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%v\n%s", cmd.Args, out)
	return string(out)
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

// openapi-typescript makes types of the document, tsc checks a client by them, and the
// client plays the journey.
func TestTypeScriptClient(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	copyOf(t, dir, "journey.ts", "tsconfig.json", "package.json")
	packages, err := filepath.Abs("node_modules")
	require.NoError(t, err)
	require.NoError(t, os.Symlink(packages, filepath.Join(dir, "node_modules")))
	node(t, dir, nil, "openapi-typescript/bin/cli.js", document(t, dir), "--output", "schema.d.ts")
	node(t, dir, nil, "typescript/bin/tsc", "--project", ".")
	s := newServer(t)
	out := node(t, dir, []string{"REDRIVE_URL=" + s.url, "REDRIVE_OPERATOR=" + s.operator, "REDRIVE_TOKEN=" + s.token, "REDRIVE_TENANT=" + string(tenant)}, "", "journey.js")
	require.Equal(t, "journey done\n", out)
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
