package sqlite_test

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/sqlite"
	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/ports"
)

// mayBeScanned are reads of a whole table, or of a whole index, that are meant.
var mayBeScanned = regexp.MustCompile(`^SCAN (CONSTANT ROW|json_each|w VIRTUAL|l$|of_run|\(subquery|[0-9]+-ROW VALUES|tenants$|bulk_continues USING INDEX bulk_continues_unended)`)

// ofRun are searches in tables that have many rows of a run: they have to go by the run.
var ofRun = regexp.MustCompile(`^SEARCH (files|f|outputs|o|attempts|attempt_file_rows|amendments) `)

// Everything that users, workers and recovery do goes by keys and indexes: no statement
// reads a table as a whole, however large it becomes.
func TestStatementsGoByKeys(t *testing.T) {
	t.Parallel()
	r := &recorder{}
	store := openStore(t, filepath.Join(t.TempDir(), "redrive.db"), sqlite.WithDriver(r))
	w := worldOn(t, store, noExecution)
	r.take()
	w.AddTenant(t, "acme")
	ctx := bounded(t)
	outcomes := func(i int) core.Outcome {
		return []core.Outcome{core.OutcomeCompleted, core.OutcomeTransient, core.OutcomePermanent, "", core.OutcomeTransient}[i%5]
	}
	run := w.Settled(t, 120, outcomes)
	_, err := w.Cancel(ctx, admin, run.ID)
	require.NoError(t, err)
	_, err = w.RaiseMaxRetryCount(ctx, admin, run.ID, 7)
	require.NoError(t, err)
	_, err = w.PreviewRetry(ctx, admin, run.ID)
	require.NoError(t, err)
	_, err = w.RetryFailed(ctx, admin, run.ID, app.RetryRequest{IdempotencyKey: "k"})
	require.NoError(t, err)
	_, err = w.Receipt(ctx, admin, run.ID)
	require.NoError(t, err)
	w.Clock.Advance(time.Hour)
	_, err = w.Recover(ctx, 100)
	require.NoError(t, err)
	_, err = w.Resume(ctx)
	require.NoError(t, err)
	w.Queue.FailWith(func() error { return errQueueDown })
	_, err = w.Start(ctx, "acme", 3)
	require.ErrorIs(t, err, errQueueDown)
	require.NoError(t, w.Refill(ctx))
	_, err = w.CheckLedger(ctx, admin, "acme")
	require.NoError(t, err)
	_, err = store.InterruptedRuns(ctx, time.Time{}, 10)
	require.NoError(t, err)
	_, err = store.AllTenants(ctx, "", 10)
	require.NoError(t, err)
	_, err = store.OpenTenants(ctx, "", 10)
	require.NoError(t, err)
	_, err = store.BulkContinues().DeleteEnded(ctx, w.Clock.Now(), 10)
	require.NoError(t, err)
	_, err = store.BulkContinues().Orphans(ctx, w.Clock.Now(), 10)
	require.NoError(t, err)
	_, err = store.Sessions().DeleteExpired(ctx, w.Clock.Now(), 10)
	require.NoError(t, err)
	_, err = store.EndSessions(ctx, "acme", "ada")
	require.NoError(t, err)
	require.NoError(t, store.View(ctx, "acme", func(tx ports.Tx) error {
		for _, f := range []ports.RunFilter{
			{Limit: 9},
			{Limit: 9, Statuses: []core.RunStatus{core.RunRunning}},
			{Limit: 9, Statuses: []core.RunStatus{core.RunRunning, core.RunFailed}, CreatedFrom: w.Clock.Now()},
			{Limit: 9, Template: "summarize", FileName: "x", Before: ports.RunCursor{CreatedAt: w.Clock.Now(), ID: "x"}},
		} {
			_, err := tx.Find().Runs(ctx, f, ports.Look{})
			require.NoError(t, err)
		}
		for _, f := range []ports.EntryFilter{
			{Limit: 9}, {Limit: 9, Before: 5}, {Limit: 9, Period: core.PeriodOf(w.Clock.Now())}, {Limit: 9, Run: run.ID, Kinds: []core.EntryKind{core.EntryCharge}},
		} {
			_, err := tx.Find().Entries(ctx, f, ports.Look{})
			require.NoError(t, err)
		}
		_, err := tx.FileViews().Page(ctx, run.ID, ports.FileFilter{From: 3, Limit: 9, Statuses: []core.FileStatus{core.FilePending}, Name: "x"})
		return err
	}))

	seen := map[string]bool{}
	for _, c := range r.take() {
		verb, _, _ := strings.Cut(strings.TrimSpace(c.sql), " ")
		if seen[c.sql] || !strings.Contains("SELECT INSERT UPDATE DELETE WITH", verb) {
			continue
		}
		seen[c.sql] = true
		values := make([]any, len(c.args))
		for i := range c.args {
			values[i] = c.args[i].Value
		}
		plan, err := store.Rows(ctx, `EXPLAIN QUERY PLAN `+c.sql, values...)
		require.NoError(t, err, c.sql)
		for _, step := range plan {
			line := step[3].(string)
			if strings.HasPrefix(line, "SCAN ") && !mayBeScanned.MatchString(line) {
				t.Errorf("%s\n%s", line, c.sql)
			}
			if ofRun.MatchString(line) && !strings.Contains(line, "run_id=?") {
				t.Errorf("%s\n%s", line, c.sql)
			}
			if strings.HasPrefix(line, "USE TEMP B-TREE") && !maySort(c.sql) {
				t.Errorf("%s\n%s", line, c.sql)
			}
		}
	}
	require.Greater(t, len(seen), 40, "the scenario has to have sent most of what there is")
}

// What was given up or is pending is found without the endpoint's whole log, by the page.
func TestDeliveriesOfAStatusGoByAnIndex(t *testing.T) {
	t.Parallel()
	r := &recorder{}
	store := openStore(t, filepath.Join(t.TempDir(), "redrive.db"), sqlite.WithDriver(r))
	ctx := bounded(t)
	for status, index := range map[core.DeliveryStatus]string{
		core.DeliveryPending: "webhook_deliveries_undelivered", core.DeliveryGivenUp: "webhook_deliveries_undelivered",
		core.DeliveryDelivered: "webhook_deliveries_log", "": "webhook_deliveries_log",
	} {
		for _, before := range []ports.DeliveryCursor{{}, {At: time.Unix(5, 0), ID: "evt"}} {
			r.take()
			require.NoError(t, store.View(ctx, "acme", func(tx ports.Tx) error {
				_, err := tx.WebhookDeliveries().List(ctx, ports.DeliveryFilter{Endpoint: "e", Status: status, Before: before, Limit: 9})
				return err
			}))
			looked := 0
			for _, c := range r.take() {
				if !strings.Contains(c.sql, "FROM webhook_deliveries") {
					continue
				}
				looked++
				values := make([]any, len(c.args))
				for i := range c.args {
					values[i] = c.args[i].Value
				}
				plan, err := store.Rows(ctx, `EXPLAIN QUERY PLAN `+c.sql, values...)
				require.NoError(t, err, c.sql)
				require.Len(t, plan, 1, "it is read in the order of the index: %v", plan)
				require.Contains(t, plan[0][3], "USING INDEX "+index+" (", "status %q", status)
			}
			require.Equal(t, 1, looked)
		}
	}
}

// maySort says whether a statement sorts what it has read on purpose: it is bounded by the
// statement itself.
func maySort(sql string) bool {
	return strings.Contains(sql, "UNION ALL") || strings.Contains(sql, "json_each")
}
