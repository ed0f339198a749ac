package main

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/cmd/server/fakellm"
)

// redrive backup while the server works: what is restored elsewhere agrees with its ledger
// and goes on, with the files that it needs.
func TestBackupCommand(t *testing.T) {
	t.Parallel()
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
	folder, backups := t.TempDir(), filepath.Join(t.TempDir(), "a", "new folder")
	db := "sqlite:" + filepath.Join(folder, "redrive.db")
	serve := func(database, files string) *process {
		return start(t, "--demo", "--database-url="+database, "--files="+files, "--recover-every=100ms", "--llm-base-url="+base, "--llm-model=m")
	}
	backup := func(name, filesTo string) (code int, out, logs string) {
		return command("backup", "--database-url="+db, "--to="+filepath.Join(backups, name), "--files-to="+filesTo)
	}

	p := serve(db, filepath.Join(folder, "files"))
	failed, status := p.runFiles(t, `{"template":"summarise","files":[{"name":"a","text":"fine"},{"name":"b","text":"broken"}]}`)
	require.Equal(t, "COMPLETED_WITH_ERRORS", status)
	copied := filepath.Join(backups, "files")
	code, out, logs := backup("first.db", copied)
	require.Zero(t, code, "%s%s", out, logs)
	require.Contains(t, out, "1 runs, 0 differences")
	require.Contains(t, out, "files: 2 copied")
	code, answer := p.call(t, demoAdmin, http.MethodPost, "/workflow-runs", `{"template":"summarise","files":[{"name":"c","text":"held"}]}`)
	require.Equal(t, http.StatusCreated, code, "%v", answer)
	underWay := answer["id"].(string)
	require.Eventually(t, func() bool {
		_, run := p.call(t, demoAdmin, http.MethodGet, "/workflow-runs/"+underWay, "")
		return run["files"].([]any)[0].(map[string]any)["status"] == "processing"
	}, time.Minute, 20*time.Millisecond)
	code, out, logs = backup("second.db", copied)
	require.Zero(t, code, "%s%s", out, logs)
	require.Contains(t, out, "files: 1 copied")
	require.Contains(t, out, "2 there", "what was copied before is not copied again")
	code, _, logs = backup("second.db", copied)
	require.Equal(t, 1, code)
	require.Contains(t, logs, "exist")
	later, _ := p.runFiles(t, `{"template":"summarise","files":[{"name":"d","text":"after the backup"}]}`)
	names, err := filepath.Glob(filepath.Join(backups, "*"))
	require.NoError(t, err)
	require.Len(t, names, 3, "two databases and the files, and nothing beside them: %v", names)
	require.NoError(t, p.cmd.Process.Kill()) // the machine is lost
	_ = p.cmd.Wait()                         // killed
	require.NoError(t, os.RemoveAll(folder))
	healthy.Store(true)
	close(held)

	db = "sqlite:" + filepath.Join(backups, "second.db")
	code, out, logs = command("ledger", "check", "--database-url="+db)
	require.Zero(t, code, "%s%s", out, logs)
	p = serve(db, copied)
	p.awaitClosed(t, underWay)
	_, run := p.call(t, demoAdmin, http.MethodGet, "/workflow-runs/"+underWay, "")
	require.Equal(t, "COMPLETED", run["status"])
	code, run = p.call(t, demoAdmin, http.MethodPost, "/workflow-runs/"+failed+"/retry-failed", "")
	require.Equal(t, http.StatusOK, code, "%v", run)
	p.awaitClosed(t, failed)
	_, run = p.call(t, demoAdmin, http.MethodGet, "/workflow-runs/"+failed, "")
	require.Equal(t, "COMPLETED", run["status"])
	_, balance := p.call(t, demoAdmin, http.MethodGet, "/balance", "")
	require.EqualValues(t, 150-20-10-10, balance["available"], "two files, the one under way, and the Continue of one")
	code, _ = p.call(t, demoAdmin, http.MethodGet, "/workflow-runs/"+later, "")
	require.Equal(t, http.StatusNotFound, code, "what came after the backup is gone, with its charge")
	require.Zero(t, p.stop(t))
	code, out, logs = command("ledger", "check", "--database-url="+db)
	require.Zero(t, code, "%s%s", out, logs)

	code, _, logs = command("backup", "--database-url=postgres://nowhere/x")
	require.Equal(t, 1, code)
	require.Contains(t, logs, "pg_dump")
	code, _, logs = command("backup", "--database-url=sqlite:"+filepath.Join(folder, "no.db"))
	require.Equal(t, 1, code, "no database is made by a mistyped name")
	require.NoFileExists(t, filepath.Join(folder, "no.db"))
	require.Contains(t, logs, "no.db")
}
