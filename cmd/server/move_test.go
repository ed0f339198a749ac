package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/blobfiles"
	"github.com/redrive/redrive/adapters/memory"
	"github.com/redrive/redrive/cmd/server/fakellm"
	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/internal/testkit/pgtest"
	"github.com/redrive/redrive/ports"
)

// 20 tenants with 200 runs in every status go from SQLite to Postgres, by a command that is
// killed twice in the middle and repeated. Whatever could be continued there is continued
// here, the runs that were under way complete, the ledgers agree. Then they go back, to a
// new file.
func TestMove(t *testing.T) {
	t.Parallel()
	postgres := pgtest.NewServer(t, pgtest.Options{}).New(t).URL
	folder := t.TempDir()
	from, filesTo := "sqlite:"+filepath.Join(folder, "redrive.db"), t.TempDir()
	source := fillForMove(t, from, 20)
	before := previews(t, from, source)

	args := []string{"--from=" + from, "--to=" + postgres, "--files-to=" + filesTo, "--all"}
	require.False(t, moveUntil(t, `msg="copying it" tenant=tenant-05`, args...), "killed while it copies")
	require.False(t, moveUntil(t, `msg="checking it on both sides" tenant=tenant-12`, args...), "killed while it checks")
	onlyWholeTenants(t, postgres, source)
	code, out, logs := command(append([]string{"move"}, args...)...)
	require.Zero(t, code, "%s%s", out, logs)
	require.Contains(t, out, "all 20 tenants live in the target")
	require.Contains(t, out, "tenant-00  moved before")
	require.Contains(t, out, "tenant-19  moved: 1 templates, 2 versions, 0 API keys, 10 runs, 30 files, ")
	code, out, logs = command(append([]string{"move"}, args...)...)
	require.Zero(t, code, "%s%s", out, logs)
	require.Equal(t, 20, strings.Count(out, "moved before"))
	for _, db := range []string{from, postgres} {
		code, out, logs := command("ledger", "check", "--database-url="+db)
		require.Zero(t, code, "%s%s", out, logs)
	}
	require.Equal(t, before, previews(t, postgres, source), "what Continue would do")

	// A server that is started at the source by mistake does nothing for them.
	base, provider := providerFor(t)
	old := start(t, "--database-url="+from, "--llm-base-url="+base, "--llm-model=m", "--recover-every=100ms")
	code, answer := old.call(t, source[0].admin, http.MethodPost, "/workflow-runs", `{"template":"summarise","files":[{"name":"a","text":"A"}]}`)
	require.Equal(t, http.StatusServiceUnavailable, code, "%v", answer)
	require.Zero(t, old.stop(t))
	require.Empty(t, provider.Requests(), "it took up no run")

	p := start(t, "--database-url="+postgres, "--files="+filesTo, "--llm-base-url="+base, "--llm-model=m", "--workers=32",
		"--recover-every=100ms", "--redispatch-after=100ms", "--dispatch-grace=100ms")
	continued, resumed := 0, 0
	for _, tenant := range source {
		for _, run := range tenant.runs {
			switch preview := before[run]; {
			case preview.Refusal == nil:
				continued++
				code, answer := p.call(t, tenant.admin, http.MethodPost, "/workflow-runs/"+string(run)+"/retry-failed", "")
				require.Equal(t, http.StatusOK, code, "%v", answer)
			case preview.Refusal.Code == core.CodeRunAlreadyRunning:
				resumed++
			}
		}
	}
	require.Equal(t, 6*20, continued)
	require.Equal(t, 2*20, resumed)
	require.Eventually(t, func() bool {
		for _, tenant := range source {
			_, list := p.call(t, tenant.admin, http.MethodGet, "/workflow-runs?status=RUNNING", "")
			if len(list["runs"].([]any)) > 0 {
				return false
			}
		}
		return true
	}, time.Minute, 50*time.Millisecond, "runs that were continued or under way close")
	require.Zero(t, p.stop(t))
	code, out, logs = command("ledger", "check", "--database-url="+postgres)
	require.Zero(t, code, "%s%s", out, logs)

	// Back, but not to where they are closed for good.
	back := []string{"move", "--from=" + postgres, "--files-from=" + filesTo, "--all"}
	code, out, logs = command(append(back, "--to="+from, "--leave-files")...)
	require.Equal(t, 1, code, "%s", out)
	require.Contains(t, logs, app.ErrTenantThere.Error())
	to := "sqlite:" + filepath.Join(t.TempDir(), "back.db")
	after := previews(t, postgres, source)
	code, out, logs = command(append(back, "--to="+to)...)
	require.Zero(t, code, "%s%s", out, logs)
	require.Equal(t, after, previews(t, to, source))
	code, out, logs = command("ledger", "check", "--database-url="+to)
	require.Zero(t, code, "%s%s", out, logs)
}

// Tenants go to a cluster of Citus, from SQLite and from plain Postgres, by a command that is
// killed in the middle and repeated. Whatever could be continued there is continued here, and
// the ledgers agree on both sides.
func TestMoveToCitus(t *testing.T) {
	t.Parallel()
	pgtest.CitusNodes(t)
	for name, from := range map[string]func(*testing.T) string{
		"SQLite":   func(t *testing.T) string { return "sqlite:" + filepath.Join(t.TempDir(), "redrive.db") },
		"Postgres": func(t *testing.T) string { return pgtest.New(t).URL },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			from, to := from(t), pgtest.Citus(t).URL
			source := fillForMove(t, from, 6)
			before := previews(t, from, source)
			args := []string{"--from=" + from, "--to=" + to, "--leave-files", "--all"}
			require.False(t, moveUntil(t, `msg="copying it" tenant=tenant-01`, args...), "killed while it copies")
			require.False(t, moveUntil(t, `msg="checking it on both sides" tenant=tenant-03`, args...), "killed while it checks")
			code, out, logs := command(append([]string{"move"}, args...)...)
			require.Zero(t, code, "%s%s", out, logs)
			require.Contains(t, out, "all 6 tenants live in the target")
			require.Contains(t, out, "tenant-05  moved: 1 templates, 2 versions, 0 API keys, 10 runs, 30 files, ")
			for _, db := range []string{from, to} {
				code, out, logs := command("ledger", "check", "--database-url="+db)
				require.Zero(t, code, "%s%s", out, logs)
				t.Logf("ledger check: %s", out)
			}
			require.Equal(t, before, previews(t, to, source), "what Continue would do")

			base, _ := providerFor(t)
			p := start(t, "--database-url="+to, "--files="+t.TempDir(), "--llm-base-url="+base, "--llm-model=m", "--recover-every=100ms", "--redispatch-after=100ms", "--dispatch-grace=100ms")
			for _, tenant := range source {
				for _, run := range tenant.runs {
					if before[run].Refusal == nil {
						code, answer := p.call(t, tenant.admin, http.MethodPost, "/workflow-runs/"+string(run)+"/retry-failed", "")
						require.Equal(t, http.StatusOK, code, "%v", answer)
					}
				}
			}
			require.Zero(t, p.stop(t))
			code, out, logs = command("ledger", "check", "--database-url="+to)
			require.Zero(t, code, "%s%s", out, logs)
		})
	}
}

// A move can be given up as long as the tenant did not arrive; the source then goes on.
func TestMoveCancelled(t *testing.T) {
	t.Parallel()
	from, to := "sqlite:"+filepath.Join(t.TempDir(), "a.db"), "sqlite:"+filepath.Join(t.TempDir(), "b.db")
	source := fillForMove(t, from, 1)
	args := []string{"--from=" + from, "--to=" + to, "--tenant=tenant-00"}
	require.False(t, moveUntil(t, `msg="copying it"`, args...))
	elsewhere := "sqlite:" + filepath.Join(t.TempDir(), "c.db")
	code, _, logs := command("move", "--from="+from, "--to="+elsewhere, "--tenant=tenant-00")
	require.Equal(t, 1, code)
	require.Contains(t, logs, app.ErrOtherMove.Error())
	code, out, logs := command(append([]string{"move", "--cancel"}, args...)...)
	require.Zero(t, code, "%s%s", out, logs)
	require.Contains(t, out, "it goes on at the source")
	withStore(t, from, func(svc *app.Service, _ ports.Store) {
		_, err := svc.PurchaseCredits(t.Context(), core.System, source[0].id, "later", 5)
		require.NoError(t, err)
	})
	code, out, logs = command("move", "--from="+from, "--to="+elsewhere, "--tenant=tenant-00", "--tenant=nobody")
	require.Equal(t, 1, code, "%s%s", out, logs)
	require.Contains(t, out, "tenant-00  moved: ")
	require.Contains(t, logs, "tenant nobody: tenant_not_found")
	code, out, _ = command("move", "--from="+from, "--to="+elsewhere, "--tenant=tenant-00", "--cancel")
	require.Zero(t, code)
	require.Contains(t, out, "nothing to cancel")
}

type movingTenant struct {
	id    core.TenantID
	admin core.Actor
	runs  []core.RunID
}

// aWhileAgo is when the source's service lives, so that no lease of its claims is valid.
type aWhileAgo struct{ ports.Clock }

func (c aWhileAgo) Now() time.Time { return time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC) }

// byName executes files by what they are called.
type byName struct{}

func (byName) Execute(_ context.Context, task ports.Task) ([]core.FileResult, error) {
	f := task.Files[0]
	r := core.FileResult{Index: f.Index, Outcome: core.OutcomeCompleted, Output: strings.Repeat("summary of "+f.Name+". ", 50)}
	switch {
	case strings.HasPrefix(f.Name, "broken"):
		r = core.FileResult{Index: f.Index, Outcome: core.OutcomeTransient, Failure: core.Failure{Code: "rate_limited", Message: "later"}}
	case strings.HasPrefix(f.Name, "refused"):
		r = core.FileResult{Index: f.Index, Outcome: core.OutcomePermanent, Failure: core.Failure{Code: "content_refused", Message: "never"}}
	}
	return []core.FileResult{r}, nil
}

// withStore lends a service on a database that no server has.
func withStore(t *testing.T, url string, fn func(*app.Service, ports.Store)) {
	t.Helper()
	withQueue(t, url, memory.NewQueue(), fn)
}

func withQueue(t *testing.T, url string, queue *memory.Queue, fn func(*app.Service, ports.Store)) {
	t.Helper()
	flags := moveSide(url)
	db, err := flags.openKept(t.Context())
	require.NoError(t, err)
	require.NoError(t, db.prepare(t.Context(), true, slog.New(slog.DiscardHandler)))
	folder := filepath.Join(flags.folder(), "files")
	if !strings.HasPrefix(url, "sqlite:") {
		folder = t.TempDir() // the default would be in the folder of the sources
	}
	files, err := blobfiles.OpenDir(folder)
	require.NoError(t, err)
	svc, err := app.New(app.Deps{
		Store: db.store, Queue: queue, Files: files, Executor: byName{}, Clock: aWhileAgo{app.SystemClock{}}, Log: slog.New(slog.DiscardHandler),
	}, app.Options{Retry: core.RetryPolicy{MaxTries: 1}})
	require.NoError(t, err)
	fn(svc, db.store)
	require.NoError(t, db.close())
	require.NoError(t, files.Close())
}

// fillForMove makes tenants with ten runs each, of every status and history.
func fillForMove(t *testing.T, url string, tenants int) (list []*movingTenant) {
	t.Helper()
	queue := memory.NewQueue()
	withQueue(t, url, queue, func(svc *app.Service, _ ports.Store) {
		for i := range tenants {
			list = append(list, fillTenant(t, svc, queue, core.TenantID(fmt.Sprintf("tenant-%02d", i))))
		}
	})
	return list
}

func fillTenant(t *testing.T, svc *app.Service, queue *memory.Queue, id core.TenantID) *movingTenant {
	t.Helper()
	ctx := t.Context()
	tenant := &movingTenant{id: id, admin: core.Actor{Subject: "ada", Tenant: id, Role: core.RoleCustomerAdmin}}
	_, err := svc.CreateTenant(ctx, core.System, id, "Tenant "+string(id), 100)
	require.NoError(t, err)
	require.NoError(t, svc.Refill(ctx))
	_, err = svc.PurchaseCredits(ctx, core.System, id, "invoice-1", 10_000)
	require.NoError(t, err)
	template := core.Template{ID: "summarise", Tenant: id, Name: "Summarise", Instructions: "Sum it up.", CreditsPerRun: 10, Mode: core.ModePerFile}
	_, err = svc.CreateTemplate(ctx, core.System, template)
	require.NoError(t, err)
	_, err = svc.PublishTemplate(ctx, core.System, id, template.ID)
	require.NoError(t, err)
	initiate := func(key core.Key, names ...string) core.RunID {
		up, err := svc.BeginUpload(ctx, tenant.admin, app.UploadRequest{Tenant: id, Template: template.ID})
		require.NoError(t, err)
		for _, name := range names {
			_, err := up.Add(ctx, name, strings.NewReader("text of "+name))
			require.NoError(t, err)
		}
		run, err := svc.Initiate(ctx, tenant.admin, app.InitiateRequest{Tenant: id, Template: template.ID, Upload: up, IdempotencyKey: key})
		require.NoError(t, err)
		tenant.runs = append(tenant.runs, run.ID)
		return run.ID
	}
	work := func() {
		for queue.Len() > 0 {
			deliveries, err := queue.Receive(ctx, 1, ports.Skip{})
			require.NoError(t, err)
			require.NoError(t, svc.Work(ctx, deliveries[0]))
		}
	}
	initiate("key-1", "a", "b", "c")
	initiate("", "refused a", "refused b", "refused c")
	initiate("", "a", "broken b", "refused c")
	initiate("", "broken a", "broken b", "broken c")
	again := initiate("", "a", "broken b", "c")
	instructions := "Sum it up in one sentence."
	work()
	_, err = svc.ChangeTemplate(ctx, core.System, id, template.ID, core.TemplateChange{Instructions: &instructions})
	require.NoError(t, err)
	_, err = svc.RetryFailed(ctx, tenant.admin, again, app.RetryRequest{IdempotencyKey: "key-2"})
	require.NoError(t, err)
	work()
	_, err = svc.RaiseMaxRetryCount(ctx, core.System, again, 5)
	require.NoError(t, err)
	for range 2 {
		cancelled := initiate("", "a", "b", "c")
		_, err = svc.Cancel(ctx, tenant.admin, cancelled)
		require.NoError(t, err)
	}
	initiate("", "a", "b", "broken c")
	work()
	initiate("", "a", "b", "c") // waits
	claimed := initiate("", "a", "b", "c")
	jobs := queue.Waiting()
	require.Equal(t, claimed, jobs[len(jobs)-1].Run)
	got, _, err := svc.Claim(ctx, jobs[len(jobs)-1:], app.WaitForLock)
	require.NoError(t, err)
	require.Len(t, got, 1)
	for queue.Len() > 0 { // the messages stay behind
		deliveries, err := queue.Receive(ctx, 1, ports.Skip{})
		require.NoError(t, err)
		require.NoError(t, deliveries[0].Ack(ctx))
	}
	require.Len(t, tenant.runs, 10)
	return tenant
}

// previews is what a Continue of each run would do, at one and the same moment.
func previews(t *testing.T, url string, tenants []*movingTenant) map[core.RunID]app.Preview {
	t.Helper()
	all := map[core.RunID]app.Preview{}
	withStore(t, url, func(svc *app.Service, _ ports.Store) {
		for _, tenant := range tenants {
			for _, run := range tenant.runs {
				preview, err := svc.PreviewRetry(t.Context(), tenant.admin, run)
				require.NoError(t, err)
				all[run] = preview
			}
		}
	})
	return all
}

// moveUntil runs the command and kills it as soon as it says something. It reports whether
// it had ended by itself.
func moveUntil(t *testing.T, says string, args ...string) (ended bool) {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, self, append([]string{"move"}, args...)...)
	said, err := cmd.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	lines := bufio.NewScanner(said)
	var all strings.Builder
	found := false
	for !found && lines.Scan() {
		all.WriteString(lines.Text() + "\n")
		found = strings.Contains(lines.Text(), says)
	}
	require.True(t, found, "it did not say %q: %s", says, all.String())
	require.NoError(t, cmd.Process.Kill())
	_, _ = io.Copy(io.Discard, said)
	return cmd.Wait() == nil
}

// onlyWholeTenants looks at a target in the middle of a move: what is there is whole, and
// what has not arrived takes no writes.
func onlyWholeTenants(t *testing.T, url string, tenants []*movingTenant) {
	t.Helper()
	states := map[ports.MoveState]int{}
	withStore(t, url, func(svc *app.Service, store ports.Store) {
		for _, tenant := range tenants {
			move, err := store.(ports.Mover).MoveOf(t.Context(), tenant.id)
			require.NoError(t, err)
			states[move.State]++
			runs, err := svc.Runs(t.Context(), core.System, tenant.id, ports.RunFilter{Limit: 100})
			if move.State == ports.MoveArrived || move.State == ports.MoveArriving {
				require.NoError(t, err)
				require.Len(t, runs, 10)
			} else {
				require.Empty(t, runs)
			}
			if move.State.Closed() {
				_, err := svc.CreateTenant(t.Context(), core.System, tenant.id, "another", 0)
				require.Error(t, err)
			}
		}
	})
	require.NotZero(t, states[ports.MoveArrived])
	require.NotZero(t, states[""], "some are still to come")
}

// providerFor answers everything.
func providerFor(t *testing.T) (base string, provider *fakellm.Server) {
	t.Helper()
	provider = fakellm.New(fakellm.Always(fakellm.OK()))
	base, err := provider.Listen("127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, provider.Close()) })
	return base, provider
}
