package main

import (
	"context"
	"log/slog"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/memory"
	"github.com/redrive/redrive/adapters/postgres"
	"github.com/redrive/redrive/adapters/watermillqueue"
	"github.com/redrive/redrive/cmd/server/fakellm"
	"github.com/redrive/redrive/internal/testkit/pgtest"
	"github.com/redrive/redrive/ports"
)

// A rolling deploy: what a stopping server hands back is worked by the next one at
// once. Neither a lease nor recovery could bring it there within the test.
func TestNextServerTakesOver(t *testing.T) {
	t.Parallel()
	provider := fakellm.New(fakellm.Rules(fakellm.Rule{To: 1, Do: fakellm.Hang()})) // each file the first time
	base, err := provider.Listen("127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, provider.Close()) })
	args := []string{
		"--demo", "--database-url=" + pgtest.NewEmpty(t).URL, "--files=" + t.TempDir(),
		"--llm-base-url=" + base, "--llm-model=m", "--workers=2", "--drain-timeout=10ms",
		"--lease=1h", "--recover-every=1h", "--redispatch-after=1h", "--dispatch-grace=1h",
	}
	first := start(t, args...)
	code, run := first.call(t, demoAdmin, http.MethodPost, "/workflow-runs",
		`{"template":"summarise","files":[{"name":"a","text":"A"},{"name":"b","text":"B"}]}`)
	require.Equal(t, http.StatusCreated, code, "%v", run)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	require.NoError(t, provider.AwaitInFlight(ctx, 2))
	second := start(t, args...)
	require.Zero(t, first.stop(t))
	id := run["id"].(string)
	second.awaitClosed(t, id)
	_, run = second.call(t, demoAdmin, http.MethodGet, "/workflow-runs/"+id, "")
	require.Equal(t, "COMPLETED", run["status"])
	require.Equal(t, 2, provider.Count("a"))
	require.Equal(t, 2, provider.Count("b"))
	require.Zero(t, second.stop(t))
}

// A message that no server can read is put aside with its reason, is in no
// other's way, and can be sent again.
func TestQueueDead(t *testing.T) {
	t.Parallel()
	db := pgtest.NewEmpty(t)
	flag := "--database-url=" + db.URL
	code, _, logs := command("migrate", flag)
	require.Zero(t, code, logs)
	conn, err := pgx.Connect(t.Context(), db.URL)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, conn.Close(context.Background())) })
	_, err = conn.Exec(t.Context(), `INSERT INTO queue_jobs (tenant_id, message_id, template_id, metadata, payload)
		VALUES ('demo', gen_random_uuid(), 'summarise', '{}', 'not a job')`)
	require.NoError(t, err)
	list := func() string {
		code, out, logs := command("queue", "dead", flag)
		require.Zero(t, code, logs)
		return out
	}
	require.Equal(t, 1, strings.Count(list(), "\n"), "a head and nothing else")

	p := start(t, "--demo", flag, "--files="+t.TempDir())
	_, status := p.runFiles(t, twoFiles)
	require.Equal(t, "COMPLETED_WITH_ERRORS", status)
	var id string
	require.Eventually(t, func() bool {
		m := regexp.MustCompile(`(?m)^(\S+) +\S+ +demo +undecodable .*not a job`).FindStringSubmatch(list())
		if m != nil {
			id = m[1]
		}
		return m != nil
	}, 30*time.Second, 20*time.Millisecond)

	code, out, logs := command("queue", "requeue", flag, id)
	require.Zero(t, code, logs)
	require.Contains(t, out, "sent again: 1")
	require.Eventually(t, func() bool { // it is as it was, so it comes back
		now := list()
		return strings.Contains(now, "not a job") && !strings.Contains(now, "\n"+id+" ")
	}, 30*time.Second, 20*time.Millisecond)
	code, out, logs = command("queue", "requeue", flag, id)
	require.Equal(t, 1, code)
	require.Contains(t, out, "sent again: 0")
	require.Contains(t, logs, "redrive queue dead")
	require.Zero(t, p.stop(t))
}

func TestQueueURL(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		args []string
		says string
	}{
		"UnknownScheme": {[]string{"serve", "--demo", "--database-url=memory:", "--queue-url=carrier-pigeon://x"}, "--queue-url"},
		"NoURL":         {[]string{"serve", "--demo", "--database-url=memory:", "--queue-url=%zz"}, "--queue-url"},
		"DeadInMemory":  {[]string{"queue", "dead", "--queue-url=memory:"}, "in memory"},
		"DeadNowhere":   {[]string{"queue", "dead"}, "DATABASE_URL"},
		"NoLimit":       {[]string{"queue", "dead", "--limit=0"}, "--limit"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			code, _, logs := command(c.args...)
			require.Equal(t, 1, code)
			require.Contains(t, logs, c.says)
		})
	}
}

// Transactions send jobs themselves where the queue is in the store's own database, and
// nowhere else.
func TestOutboxInOneDatabase(t *testing.T) {
	t.Parallel()
	config := postgres.Config{URL: pgtest.New(t).URL}
	pool, err := postgres.Connect(t.Context(), config)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	store, err := postgres.New(pool, config)
	require.NoError(t, err)
	quiet := watermillqueue.Options{Log: slog.New(slog.DiscardHandler)}
	beside, err := watermillqueue.OpenPostgres(pool, quiet)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, beside.Close()) })
	inProcess, err := watermillqueue.Open(t.Context(), "memory:", quiet)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, inProcess.Close()) })

	sends := func(s ports.Store) (sends bool) {
		require.NoError(t, s.InTx(t.Context(), "acme", func(tx ports.Tx) error {
			sends = ports.OutboxOf(tx) != nil
			return nil
		}))
		return sends
	}
	require.True(t, sends(queueFlags{}.withOutbox(store, beside)))
	require.False(t, sends(store), "the store itself is as it was")
	require.False(t, sends(queueFlags{QueueURL: "postgres://elsewhere/db"}.withOutbox(store, beside)), "the queue is in another database")
	require.False(t, sends(queueFlags{}.withOutbox(store, inProcess)))
	require.False(t, sends(queueFlags{}.withOutbox(memory.NewStore(), beside)))
}
