package main

import (
	"net/http"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/cmd/server/fakellm"
	"github.com/redrive/redrive/internal/testkit/browser"
	"github.com/redrive/redrive/internal/testkit/pgtest"
)

// The operations page on a bad day: a provider that refuses the key, a run that was
// interrupted by it, jobs that wait for the trial job, and a message that no server can
// read. When the queue's tables cannot be read, the page still shows the rest.
func TestOperationsOnABadDay(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	provider := fakellm.New(func(in fakellm.Request) fakellm.Action {
		if strings.HasPrefix(in.File, "held") {
			return fakellm.Hold(release, fakellm.OK())
		}
		return fakellm.Unauthorized()
	})
	base, err := provider.Listen("127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, provider.Close()) })
	db := pgtest.NewEmpty(t)
	p := start(t, "--demo", "--database-url="+db.URL, "--files="+t.TempDir(), "--llm-base-url="+base, "--llm-model=m",
		"--llm-api-key=sk-wrong-key", "--breaker-interrupt-after=1ms", "--recover-every=1h", "--redispatch-after=1h")
	pool, err := pgxpool.New(t.Context(), db.URL)
	require.NoError(t, err)
	t.Cleanup(pool.Close)

	_, err = pool.Exec(t.Context(), `INSERT INTO queue_messages (tenant_id, message_id, template_id, jobs, metadata, payload)
		VALUES ('demo', gen_random_uuid(), 'other', 1, '{}', 'not a job')`)
	require.NoError(t, err)
	begin := func(files string) string {
		status, run := p.call(t, demoAdmin, http.MethodPost, "/workflow-runs", `{"template":"summarise","files":[`+files+`]}`)
		require.Equal(t, http.StatusCreated, status, "%v", run)
		return run["id"].(string)
	}
	interrupted := begin(`{"name":"a","text":"A"}`)
	p.awaitClosed(t, interrupted)
	begin(`{"name":"held-1","text":"A"},{"name":"held-2","text":"B"},{"name":"held-3","text":"C"}`)

	b := browser.OpenTab(t, p.url, 1280, 860)
	b.Open("/ui/sign-in?next=/ui/operations")
	b.Click(`form:has([value="operator"]) button`)
	facts := `Object.fromEntries([...document.querySelectorAll("#queue .facts div")].map(d => [d.children[0].innerText, d.children[1].innerText]))`
	// A job of the interrupted run may be in the queue too; it has no effect.
	b.Until(`(f => f["Waiting jobs"] >= 2 && f["Jobs in hand"] === "0" && f["Unreadable messages"] === "1" &&
		/\d\d:\d\d/.test(f["Oldest waiting since"]))(` + facts + `)`)
	require.Contains(t, b.Text("#queue"), "undecodable")
	require.Contains(t, b.Text("#queue"), "redrive queue dead")
	require.Contains(t, b.Text("#providers"), "Not used: it is down")
	require.Contains(t, b.Text("#providers"), "The provider refused this server's credential.")
	require.Contains(t, b.Text("#providers"), "To do: give the server a credential that the provider accepts (LLM_API_KEY)")
	require.Contains(t, b.Text("#operations"), interrupted)
	require.NotContains(t, b.Text("#operations"), "Nothing needs attention.")

	_, err = pool.Exec(t.Context(), `ALTER TABLE queue_messages RENAME TO away; ALTER TABLE queue_dead RENAME TO dead_away`)
	require.NoError(t, err)
	b.Until(`document.querySelector("#queue").innerText.includes("The queue did not answer")`)
	require.Contains(t, b.Text("#queue"), "They could not be listed.")
	require.NotContains(t, b.Text("body"), "queue_messages")
	require.Contains(t, b.Text("#operations"), interrupted)
	require.Contains(t, b.Text("#providers"), "LLM_API_KEY")
	require.Contains(t, p.log.String(), "operators do not see all of the queue")
	_, err = pool.Exec(t.Context(), `ALTER TABLE away RENAME TO queue_messages; ALTER TABLE dead_away RENAME TO queue_dead`)
	require.NoError(t, err)

	close(release)
	b.Until(`(f => f["Waiting jobs"] === "0" && f["Oldest waiting since"] === "–")(` + facts + `)`)
	require.Zero(t, p.stop(t))
}
