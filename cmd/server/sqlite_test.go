package main

import (
	"context"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/cmd/server/fakellm"
)

// newcomer starts what make run starts, in a folder of its own, and gives the credential
// that it prints.
func newcomer(t *testing.T, folder string, args ...string) (p *process, credential string) {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command(self, append([]string{"serve", "--demo", "--listen=127.0.0.1:0"}, args...)...)
	cmd.Dir = folder
	printed := &logs{}
	cmd.Stdout = printed
	p = launch(t, cmd)
	found := regexp.MustCompile(`AUTH="Authorization: Bearer ([^"]+)"`)
	require.Eventually(t, func() bool { return found.MatchString(printed.String()) }, 30*time.Second, 5*time.Millisecond)
	require.Contains(t, printed.String(), "It keeps its data in data/redrive.db and the files in data/files")
	return p, found.FindStringSubmatch(printed.String())[1]
}

const fourFiles = `{"template":"summarise","files":[{"name":"a","text":"A"},{"name":"b","text":"B"},{"name":"c","text":"C"},{"name":"d","text":"D"}]}`

// completed counts the files of a run that are.
func completed(run map[string]any) int {
	n := 0
	files, _ := run["files"].([]any)
	for _, f := range files {
		if f.(map[string]any)["status"] == "completed" {
			n++
		}
	}
	return n
}

// A newcomer uploads, stops the server in the middle and starts it again, with no flag but
// those of make run: the run goes on by itself and at once, nothing is done or paid for
// twice, and the earlier credential is still good.
func TestRestartGoesOn(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*testing.T, *process){
		"CtrlC": func(t *testing.T, p *process) {
			require.NoError(t, p.cmd.Process.Signal(os.Interrupt))
			require.NoError(t, p.cmd.Wait(), "exit code must be 0: %s", p.log)
		},
		"Kill": func(t *testing.T, p *process) {
			require.NoError(t, p.cmd.Process.Kill())
			require.Error(t, p.cmd.Wait())
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			restarted := make(chan struct{})
			provider := fakellm.New(func(in fakellm.Request) fakellm.Action {
				if in.File == "a" || in.File == "b" {
					return fakellm.OK()
				}
				return fakellm.Hold(restarted, fakellm.OK())
			})
			base, err := provider.Listen("127.0.0.1:0")
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, provider.Close()) })
			folder := t.TempDir()
			args := []string{"--llm-base-url=" + base, "--llm-model=m", "--drain-timeout=100ms"} // jobs that hang shall not delay the test

			p, credential := newcomer(t, folder, args...)
			status, run := p.callWith(t, credential, http.MethodPost, "/workflow-runs", fourFiles)
			require.Equal(t, http.StatusCreated, status, "%v", run)
			path := "/workflow-runs/" + run["id"].(string)
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			require.NoError(t, provider.AwaitInFlight(ctx, 2))
			require.Eventually(t, func() bool {
				_, run = p.callWith(t, credential, http.MethodGet, path, "")
				return completed(run) == 2
			}, 30*time.Second, 50*time.Millisecond)

			// The file is this process's, and another one is told so.
			code, _, said := redrive(t, folder, nil, "ledger", "check")
			require.Equal(t, 1, code)
			require.Contains(t, said, "process "+strconv.Itoa(p.cmd.Process.Pid)+" has")

			end(t, p)
			began := time.Now()
			p, _ = newcomer(t, folder, args...)
			close(restarted)
			require.Eventually(t, func() bool {
				_, run = p.callWith(t, credential, http.MethodGet, path, "")
				return run["status"] == "COMPLETED"
			}, 30*time.Second, 50*time.Millisecond)
			require.Less(t, time.Since(began), 20*time.Second, "it waited for a lease or a grace of the process that was gone")
			_, balance := p.callWith(t, credential, http.MethodGet, "/balance", "")
			require.InDelta(t, 110, balance["available"], 0)
			for _, file := range []string{"a", "b"} {
				require.Equal(t, 1, provider.Count(file), file)
			}
			require.Zero(t, p.stop(t))

			code, out, said := redrive(t, folder, nil, "ledger", "check")
			require.Zero(t, code, said)
			require.Regexp(t, `demo +3 +1 +0`, out)
			info, err := os.Stat(filepath.Join(folder, "data", demoSecretFile))
			require.NoError(t, err)
			require.Equal(t, os.FileMode(0o600), info.Mode())
			require.DirExists(t, filepath.Join(folder, "data", "files"))
		})
	}
}

// The commands take a file as they take Postgres.
func TestCommandsOnSQLite(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "deep", "er", "redrive.db")
	file := "--database-url=sqlite:" + path
	for _, args := range [][]string{{"migrate", "--status"}, {"ledger", "check"}, {"ledger", "export"}} {
		code, _, logs := command(append(args, file)...)
		require.Equal(t, 1, code, "%s made a database", args)
		require.Contains(t, logs, "no such file")
		require.NoFileExists(t, path)
	}
	code, _, logs := command("serve", "--demo", "--listen=127.0.0.1:0", "--no-migrate", file)
	require.Equal(t, 1, code)
	require.Contains(t, logs, "redrive migrate")
	code, _, logs = command("ledger", "check", file)
	require.Equal(t, 1, code)
	require.Contains(t, logs, "redrive migrate")
	code, out, logs := command("migrate", "--status", file)
	require.Zero(t, code, logs)
	require.Contains(t, out, "pending")
	code, out, logs = command("migrate", file)
	require.Zero(t, code, logs)
	require.Contains(t, out, "applied")
	code, out, _ = command("migrate", file)
	require.Zero(t, code)
	require.Contains(t, out, "up to date")

	p := start(t, "--demo", "--no-migrate", file)
	_, status := p.runFiles(t, twoFiles)
	require.Equal(t, "COMPLETED_WITH_ERRORS", status)
	require.Equal(t, http.StatusOK, p.ready(t))
	require.Zero(t, p.stop(t))
	code, out, logs = command("ledger", "export", "--format=jsonl", file)
	require.Zero(t, code, logs)
	require.Regexp(t, `"kind":"charge"`, out)
	code, _, logs = command("queue", "dead", file)
	require.Equal(t, 1, code)
	require.Contains(t, logs, "in its server's memory")
}
