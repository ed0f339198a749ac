package httpapi_test

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/httpapi"
)

var write = flag.Bool("write", false, "write the documents that are made of the code, instead of comparing them")

// written compares a document of the repository with what it is made of; with -write it
// is made anew.
func written(t *testing.T, path, want string) {
	t.Helper()
	path = "../../" + path
	if *write {
		require.NoError(t, os.WriteFile(path, []byte(want), 0o644))
	}
	got, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, want, string(got), "%s is behind: make generate", path)
}

// docs/errors.md is the table of codes.
func TestErrorsDocument(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	b.WriteString("# Errors\n\nMade from `adapters/httpapi/problemtable.go` by `make generate`. The server has a page for each (`/problems/{code}`, where a problem's `type` leads to), with an example and the requests that it may answer. " +
		"What they mean for credits and files is in the [specification](spec.md#9-errors).\n\n| status | code | when it comes | what to do |\n|---|---|---|---|\n")
	for _, p := range httpapi.ProblemKinds() {
		fmt.Fprintf(&b, "| %d | `%s` | %s | %s |\n", p.Status, p.Code, p.When, p.Do)
	}
	written(t, "docs/errors.md", b.String())
}
