package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/cmd/server/fakellm"
	"github.com/redrive/redrive/internal/testkit/pgtest"
)

// command runs a command in this process and gives its exit code and output.
func command(args ...string) (code int, out, logs string) {
	var o, l bytes.Buffer
	code = run(context.Background(), args, &o, &l)
	return code, o.String(), l.String()
}

// runFiles starts a run of the demo's template and waits until it has closed.
func (p *process) runFiles(t *testing.T, body string) (id, status string) {
	t.Helper()
	code, created := p.call(t, demoAdmin, http.MethodPost, "/workflow-runs", body)
	require.Equal(t, http.StatusCreated, code, "%v", created)
	id = created["id"].(string)
	p.awaitClosed(t, id)
	_, run := p.call(t, demoAdmin, http.MethodGet, "/workflow-runs/"+id, "")
	return id, run["status"].(string)
}

func (p *process) awaitClosed(t *testing.T, id string) {
	t.Helper()
	require.Eventually(t, func() bool {
		_, run := p.call(t, demoAdmin, http.MethodGet, "/workflow-runs/"+id, "")
		return run["status"] != "RUNNING"
	}, 60*time.Second, 20*time.Millisecond)
}

func (p *process) ready(t *testing.T) int {
	t.Helper()
	res, err := http.Get(p.url + "/readyz")
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	return res.StatusCode
}

const twoFiles = `{"template":"summarise","files":[{"name":"a","text":"A"},{"name":"b-rate-limit","text":"B"}]}`

// Runs and their results are there after a restart, the ledger agrees with them, and
// `ledger check` finds a difference.
func TestServerOnPostgres(t *testing.T) {
	t.Parallel()
	db := pgtest.NewEmpty(t)
	flag := "--database-url=" + db.URL

	code, out, _ := command("migrate", "--status", flag)
	require.Zero(t, code)
	require.Contains(t, out, "pending")
	code, _, logs := command("serve", "--demo", "--listen=127.0.0.1:0", "--no-migrate", flag, "--files="+t.TempDir())
	require.Equal(t, 1, code)
	require.Contains(t, logs, "redrive migrate")
	code, out, _ = command("migrate", flag)
	require.Zero(t, code)
	require.Contains(t, out, "applied")
	code, out, _ = command("migrate", flag)
	require.Zero(t, code)
	require.Contains(t, out, "up to date")

	files := "--files=" + t.TempDir()
	p := start(t, "--demo", "--no-migrate", flag, files)
	id, status := p.runFiles(t, twoFiles)
	require.Equal(t, "COMPLETED_WITH_ERRORS", status)
	require.Zero(t, p.stop(t))

	p = start(t, "--demo", flag, files) // the file that failed is read again after the restart
	_, balance := p.call(t, demoAdmin, http.MethodGet, "/balance", "")
	require.InDelta(t, 130, balance["available"], 0, "the demo's credits were granted twice, or the charge is gone")
	code, run := p.call(t, demoAdmin, http.MethodPost, "/workflow-runs/"+id+"/retry-failed", "")
	require.Equal(t, http.StatusOK, code, "%v", run)
	p.awaitClosed(t, id)
	_, balance = p.call(t, demoAdmin, http.MethodGet, "/balance", "")
	require.InDelta(t, 120, balance["available"], 0)
	require.Zero(t, p.stop(t))

	t.Run("LedgerCheck", func(t *testing.T) {
		code, out, logs := command("ledger", "check", flag)
		require.Zero(t, code, logs)
		require.Regexp(t, `demo +4 +1 +0`, out)
		code, _, logs = command("ledger", "check", "--tenant=unknown", flag)
		require.Equal(t, 1, code)
		require.Contains(t, logs, "tenant_not_found")

		conn, err := pgx.Connect(t.Context(), db.URL)
		require.NoError(t, err)
		defer func() { require.NoError(t, conn.Close(t.Context())) }()
		_, err = conn.Exec(t.Context(), `UPDATE credits SET purchased = purchased + 7`)
		require.NoError(t, err)
		code, out, logs = command("ledger", "check", "--tenant=demo", flag)
		require.Equal(t, 1, code)
		require.Contains(t, out, "purchased balance")
		require.Contains(t, logs, "differ")
		_, err = conn.Exec(t.Context(), `UPDATE credits SET purchased = purchased - 7`)
		require.NoError(t, err)
	})

	t.Run("LedgerExport", func(t *testing.T) {
		code, out, logs := command("ledger", "export", flag)
		require.Zero(t, code, logs)
		rows, err := csv.NewReader(strings.NewReader(out)).ReadAll()
		require.NoError(t, err)
		require.Len(t, rows, 5)
		require.Equal(t, "tenant", rows[0][0])
		require.Equal(t, []string{"demo", "4", "charge/" + id + "/1", "charge"}, rows[4][:4])
		require.Equal(t, "-10", rows[4][14])

		code, out, logs = command("ledger", "export", "--tenant=demo", "--format=jsonl", flag)
		require.Zero(t, code, logs)
		lines := strings.Split(strings.TrimSpace(out), "\n")
		require.Len(t, lines, 4)
		var last map[string]any
		require.NoError(t, json.Unmarshal([]byte(lines[3]), &last))
		require.Equal(t, id, last["run"])
		require.InDelta(t, -10, last["changesCredit"], 0)
	})
}

// Readiness fails while the database is down; the server survives and goes on.
func TestServerSurvivesARestartOfTheDatabase(t *testing.T) {
	t.Parallel()
	postgres := pgtest.NewServer(t, pgtest.Options{})
	p := start(t, "--demo", "--database-url="+postgres.New(t).URL, "--files="+t.TempDir())
	require.Equal(t, http.StatusOK, p.ready(t))
	_, status := p.runFiles(t, `{"template":"summarise","files":[{"name":"a","text":"A"}]}`)
	require.Equal(t, "COMPLETED", status)

	postgres.Stop(t)
	require.Eventually(t, func() bool { return p.ready(t) == http.StatusServiceUnavailable }, 30*time.Second, 20*time.Millisecond)
	code, problem := p.call(t, demoAdmin, http.MethodPost, "/workflow-runs", twoFiles)
	require.Equal(t, http.StatusServiceUnavailable, code)
	require.Equal(t, "unavailable", problem["code"])

	postgres.Start(t)
	require.Eventually(t, func() bool { return p.ready(t) == http.StatusOK }, 30*time.Second, 20*time.Millisecond)
	_, status = p.runFiles(t, `{"template":"summarise","files":[{"name":"b","text":"B"}]}`)
	require.Equal(t, "COMPLETED", status)
	require.Zero(t, p.stop(t))
}

func TestDatabaseCommandsNeedADatabase(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"migrate"}, {"ledger", "check"}, {"ledger", "export"}} {
		code, _, logs := command(append(args, "--database-url=memory:")...)
		require.Equal(t, 1, code)
		require.Contains(t, logs, "DATABASE_URL")
	}
	code, _, logs := command("migrate", "--database-url=postgres://someone:hunter2@127.0.0.1:1/x", "--db-connect-timeout=1s")
	require.Equal(t, 1, code)
	require.NotContains(t, logs, "hunter2")
}

// A job that a killed server had received from the queue and not claimed is worked by
// another server after --lease, and not after the queue's own longer timeout.
func TestKilledBetweenTakingAndClaiming(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	provider := fakellm.New(fakellm.Rules(fakellm.Rule{File: "held", Do: fakellm.Hold(release, fakellm.OK())}))
	base, err := provider.Listen("127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, provider.Close()) })
	db := pgtest.New(t).URL
	flags := []string{
		"--demo", "--workers=1", "--lease=1s", "--recover-every=200ms", "--redispatch-after=500ms",
		"--database-url=" + db, "--files=" + t.TempDir(), "--llm-base-url=" + base, "--llm-model=m",
	}
	p := start(t, flags...)
	// The only worker is busy, so the second run's job waits in the queue.
	code, _ := p.call(t, demoAdmin, http.MethodPost, "/workflow-runs", `{"template":"summarise","files":[{"name":"held","text":"A"}]}`)
	require.Equal(t, http.StatusCreated, code)
	within, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	require.NoError(t, provider.AwaitInFlight(within, 1))
	code, second := p.call(t, demoAdmin, http.MethodPost, "/workflow-runs", `{"template":"summarise","files":[{"name":"b","text":"B"}]}`)
	require.Equal(t, http.StatusCreated, code)

	// The claim of that job waits for this lock.
	conn, err := pgx.Connect(t.Context(), db)
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close(context.WithoutCancel(t.Context()))) }()
	tx, err := conn.Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), `SELECT FROM runs WHERE run_id = $1 FOR UPDATE`, second["id"])
	require.NoError(t, err)
	close(release)
	require.Eventually(t, func() bool {
		var taken bool
		require.NoError(t, tx.QueryRow(t.Context(), `SELECT EXISTS (SELECT FROM queue_messages WHERE deliveries > 0)`).Scan(&taken))
		return taken
	}, 30*time.Second, 5*time.Millisecond)
	require.NoError(t, p.cmd.Process.Kill())
	_ = p.cmd.Wait() // it was killed
	require.NoError(t, tx.Rollback(t.Context()))

	began := time.Now()
	p = start(t, flags...)
	p.awaitClosed(t, second["id"].(string))
	require.Less(t, time.Since(began), 15*time.Second)
	require.Zero(t, p.stop(t))
}
