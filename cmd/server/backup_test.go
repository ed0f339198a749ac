package main

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/cmd/server/fakellm"
	"github.com/redrive/redrive/internal/testkit/pgtest"
)

// The backup of docs/operations.md: the database first, then the folder of files, while
// the server works. What is restored agrees with its ledger, and goes on: a run that was
// under way completes, and one with failed files can be continued. In the other order
// files that were paid for are lost.
func TestBackup(t *testing.T) {
	t.Parallel()
	postgres := pgtest.NewServer(t, pgtest.Options{})
	var healthy atomic.Bool
	held := make(chan struct{})
	provider := fakellm.New(func(r fakellm.Request) fakellm.Action {
		switch {
		case healthy.Load():
		case strings.Contains(r.Text, "held"):
			return fakellm.Hold(held, fakellm.OK())
		case strings.Contains(r.Text, "broken"):
			return fakellm.Respond(http.StatusServiceUnavailable, nil, "")
		}
		return fakellm.OK()
	})
	base, err := provider.Listen("127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, provider.Close()) })
	serve := func(database, files string) *process {
		return start(t, "--demo", "--database-url="+database, "--files="+files, "--lease=1s", "--recover-every=100ms",
			"--llm-base-url="+base, "--llm-model=m")
	}

	db, files := postgres.New(t).URL, t.TempDir()
	p := serve(db, files)
	failed, status := p.runFiles(t, `{"template":"summarise","files":[{"name":"a","text":"fine"},{"name":"b","text":"broken"}]}`)
	require.Equal(t, "COMPLETED_WITH_ERRORS", status)
	tooEarly := copyFolder(t, files)
	code, answer := p.call(t, demoAdmin, http.MethodPost, "/workflow-runs", `{"template":"summarise","files":[{"name":"c","text":"held"}]}`)
	require.Equal(t, http.StatusCreated, code, "%v", answer)
	underWay := answer["id"].(string)
	require.Eventually(t, func() bool {
		_, run := p.call(t, demoAdmin, http.MethodGet, "/workflow-runs/"+underWay, "")
		return run["files"].([]any)[0].(map[string]any)["status"] == "processing"
	}, time.Minute, 20*time.Millisecond)

	dump := filepath.Join(t.TempDir(), "redrive.dump")
	tool(t, postgres, "pg_dump", "--format=custom", "--file="+dump, db)
	later, _ := p.runFiles(t, `{"template":"summarise","files":[{"name":"d","text":"after the dump"}]}`)
	inTime := copyFolder(t, files)
	require.NoError(t, p.cmd.Process.Kill()) // the machine is lost
	_ = p.cmd.Wait()                         // killed
	healthy.Store(true)
	close(held)

	restored := func() string {
		to := postgres.NewEmpty(t).URL
		tool(t, postgres, "pg_restore", "--no-owner", "--exit-on-error", "--dbname="+to, dump)
		code, out, logs := command("ledger", "check", "--database-url="+to)
		require.Zero(t, code, "%s%s", out, logs)
		return to
	}

	t.Run("DatabaseFirst", func(t *testing.T) {
		t.Parallel()
		db := restored()
		p := serve(db, inTime)
		p.awaitClosed(t, underWay)
		_, run := p.call(t, demoAdmin, http.MethodGet, "/workflow-runs/"+underWay, "")
		require.Equal(t, "COMPLETED", run["status"])
		code, run := p.call(t, demoAdmin, http.MethodPost, "/workflow-runs/"+failed+"/retry-failed", "")
		require.Equal(t, http.StatusOK, code, "%v", run)
		p.awaitClosed(t, failed)
		_, run = p.call(t, demoAdmin, http.MethodGet, "/workflow-runs/"+failed, "")
		require.Equal(t, "COMPLETED", run["status"])
		_, balance := p.call(t, demoAdmin, http.MethodGet, "/balance", "")
		require.EqualValues(t, 150-20-10-10, balance["available"], "two files, the one under way, and the Continue of one")
		code, _ = p.call(t, demoAdmin, http.MethodGet, "/workflow-runs/"+later, "")
		require.Equal(t, http.StatusNotFound, code, "what came after the dump is gone, with its charge")
		require.Zero(t, p.stop(t))
		code, out, logs := command("ledger", "check", "--database-url="+db)
		require.Zero(t, code, "%s%s", out, logs)
	})

	t.Run("FilesFirst", func(t *testing.T) {
		t.Parallel()
		p := serve(restored(), tooEarly)
		p.awaitClosed(t, underWay)
		_, run := p.call(t, demoAdmin, http.MethodGet, "/workflow-runs/"+underWay, "")
		require.Equal(t, "INTERRUPTED", run["status"])
		require.Equal(t, "file_unreadable", run["failure"].(map[string]any)["code"])
		require.Zero(t, p.stop(t))
	})
}

func copyFolder(t *testing.T, from string) (to string) {
	t.Helper()
	to = t.TempDir()
	require.NoError(t, os.CopyFS(to, os.DirFS(from)))
	return to
}

// tool runs a program that came with the server.
func tool(t *testing.T, server *pgtest.Server, name string, args ...string) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), filepath.Join(server.Binaries(), name), args...).CombinedOutput()
	require.NoError(t, err, fmt.Sprintf("%s: %s", name, out))
}
