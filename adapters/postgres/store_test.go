package postgres_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/postgres"
	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/ports"
)

func TestConfig(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]postgres.Config{
		"NegativeLockTimeout":      {LockTimeout: -1},
		"LockTimeoutBelow1ms":      {LockTimeout: time.Microsecond}, // Postgres would take it for 0, which is for ever
		"NegativeStatementTimeout": {StatementTimeout: -time.Second},
		"NegativeIdleTimeout":      {IdleTimeout: -time.Second},
		"NegativeCommitTimeout":    {CommitTimeout: -time.Second},
		"NegativeMaxTries":         {MaxTries: -1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.URL = "postgres://localhost/never"
			pool, err := postgres.Connect(t.Context(), c)
			require.NoError(t, err)
			defer pool.Close()
			_, err = postgres.New(pool, c)
			require.Error(t, err)
		})
	}
	t.Run("URL", func(t *testing.T) {
		t.Parallel()
		_, err := postgres.Connect(t.Context(), postgres.Config{})
		require.Error(t, err)
		_, err = postgres.Connect(t.Context(), postgres.Config{URL: "postgres://u:sesame@host:notaport/db"})
		require.Error(t, err)
		require.NotContains(t, err.Error(), "sesame")
	})
	t.Run("Pool", func(t *testing.T) {
		t.Parallel()
		pool, err := postgres.Connect(t.Context(), postgres.Config{URL: "postgres://localhost/never?pool_max_conns=7"})
		require.NoError(t, err)
		defer pool.Close()
		require.EqualValues(t, 7, pool.Config().MaxConns)
		require.Equal(t, 5*time.Second, pool.Config().ConnConfig.ConnectTimeout)
		require.Equal(t, "redrive", pool.Config().ConnConfig.RuntimeParams["application_name"])

		other, err := postgres.Connect(t.Context(), postgres.Config{
			URL: "postgres://localhost/never?pool_max_conns=7&application_name=mine&connect_timeout=9", MaxConns: 3, ConnectTimeout: time.Second,
		})
		require.NoError(t, err)
		defer other.Close()
		require.EqualValues(t, 3, other.Config().MaxConns)
		require.Equal(t, time.Second, other.Config().ConnConfig.ConnectTimeout)
		require.Equal(t, "mine", other.Config().ConnConfig.RuntimeParams["application_name"])
	})
}

// A caller may ask for any ID, and what Postgres cannot hold as text is not there.
func TestImpossibleIDs(t *testing.T) {
	t.Parallel()
	w := newWorld(t, postgres.Config{}, noExecution)
	ctx := bounded(t)
	for _, id := range []string{"\x00", "a\x00b", "\xff\xfe", "", strings.Repeat("x", 10_000)} {
		_, err := w.store.TenantOf(ctx, core.RunID(id))
		require.ErrorIs(t, err, ports.ErrNotFound, "%q", id)
		for _, in := range []func(context.Context, core.TenantID, func(ports.Tx) error) error{w.store.InTx, w.store.View} {
			require.NoError(t, in(ctx, "acme", func(tx ports.Tx) error {
				_, runErr := tx.Runs().Get(ctx, core.RunID(id))
				_, templateErr := tx.Templates().Get(ctx, core.TemplateID(id))
				_, answerErr := tx.Answers().Get(ctx, core.Key(id))
				_, entryErr := tx.Ledger().Entry(ctx, core.Key(id))
				_, attemptErr := tx.Attempts().Get(ctx, core.RunID(id), 0)
				for _, err := range []error{runErr, templateErr, answerErr, entryErr, attemptErr} {
					require.ErrorIs(t, err, ports.ErrNotFound, "%q", id)
				}
				_, err := tx.Files().ByIndex(ctx, core.RunID(id), []int{-1, 1 << 40})
				return err
			}))
			require.NoError(t, in(ctx, core.TenantID(id), func(tx ports.Tx) error {
				_, err := tx.Tenants().Get(ctx)
				require.ErrorIs(t, err, ports.ErrNotFound, "%q", id)
				_, err = tx.Ledger().Balance(ctx, core.PeriodOf(time.Now()))
				require.ErrorIs(t, err, ports.ErrNotFound, "%q", id)
				return nil
			}))
		}
		_, err = w.Run(ctx, admin, core.RunID(id))
		require.ErrorIs(t, err, core.ErrRunNotFound, "%q", id)
	}
}

// What an executor answers may hold what Postgres cannot: the run must close
// all the same.
func TestOutputThatIsNotText(t *testing.T) {
	t.Parallel()
	w := newWorld(t, postgres.Config{}, noExecution)
	ctx := bounded(t)
	run, err := w.Start(ctx, "acme", 2)
	require.NoError(t, err)
	jobs := w.Queue.Drain(t)
	_, _, err = w.Claim(ctx, jobs, app.WaitForLock)
	require.NoError(t, err)
	require.NoError(t, settle(ctx, w.Service, []core.Settlement{
		{Job: jobs[0], Results: []core.FileResult{{Index: 0, Outcome: core.OutcomeCompleted, Output: "a\x00b\xffc"}}},
		{Job: jobs[1], Results: []core.FileResult{{Index: 1, Outcome: core.OutcomeTransient, Failure: core.Failure{Code: "x\x00", Message: "\xff"}}}},
	}))
	require.Equal(t, core.RunCompletedWithErrors, w.Read(t, run.ID).Status)
	files := w.FilesOf(t, run.ID)
	require.Equal(t, "a\uFFFDb\uFFFDc", files[0].Output)
	require.Equal(t, core.Failure{Code: "x\uFFFD", Message: "\uFFFD"}, files[1].Failure)

	_, err = w.RetryFailed(ctx, core.Actor{Subject: "a\x00da", Tenant: "acme", Role: core.RoleCustomerAdmin}, run.ID, app.RetryRequest{IdempotencyKey: "key"})
	require.NoError(t, err)
}

// fn may not notice that a statement failed; nothing of it is committed, and the
// caller is told what it was.
func TestFailureThatFnHides(t *testing.T) {
	t.Parallel()
	w := newWorld(t, postgres.Config{}, noExecution)
	run := w.Settled(t, 1, allFail)
	ctx := bounded(t)
	err := w.store.InTx(ctx, "acme", func(tx ports.Tx) error {
		if err := tx.Tenants().Save(ctx, core.Tenant{ID: "acme", Name: "never"}); err != nil {
			return err
		}
		run.CreditsConsumed++ // the table refuses it
		if err := tx.Runs().Save(ctx, ports.RunRows{Run: run}); err == nil {
			t.Error("the table allowed it")
		}
		return nil
	})
	require.ErrorContains(t, err, "runs_credits")
	require.EqualValues(t, 1, w.Number(t, `SELECT count(*) FROM tenants WHERE name = 'Tenant acme'`))
}

// However a transaction ends, its connection goes back to the pool, without a
// transaction on it.
func TestConnectionsGoBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t, postgres.Config{MaxConns: 1}, noExecution)
	ctx := bounded(t)
	mine := errors.New("mine")
	for _, in := range []func(context.Context, core.TenantID, func(ports.Tx) error) error{w.store.InTx, w.store.View} {
		require.NoError(t, in(ctx, "acme", func(ports.Tx) error { return nil }))
		require.Equal(t, mine, in(ctx, "acme", func(ports.Tx) error { return mine }))
		require.PanicsWithValue(t, "oh", func() { _ = in(ctx, "acme", func(ports.Tx) error { panic("oh") }) })
		over, cancel := context.WithCancel(ctx)
		require.Error(t, in(over, "acme", func(tx ports.Tx) error {
			cancel()
			_, err := tx.Tenants().Get(over)
			return err
		}))
		require.ErrorIs(t, in(over, "acme", func(ports.Tx) error { return nil }), context.Canceled)
	}
	require.Zero(t, w.pool.Stat().AcquiredConns())
	require.EqualValues(t, 0, w.Number(t, `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in transaction%'`))
}

// Post never reads a balance that somebody else can change: it takes the lock
// itself if the caller did not.
func TestPostWithoutLock(t *testing.T) {
	t.Parallel()
	w := newWorld(t, postgres.Config{}, noExecution)
	ctx := bounded(t)
	const n = 20
	for _, err := range together(n, func(i int) error {
		return w.store.InTx(ctx, "acme", func(tx ports.Tx) error {
			e, err := core.NewPurchase("acme", core.Key(rune('a'+i)), 1, admin, w.Clock.Now())
			if err != nil {
				return err
			}
			_, err = tx.Ledger().Post(ctx, e)
			return err
		})
	}) {
		require.NoError(t, err)
	}
	require.EqualValues(t, 1_000_000+n, w.BalanceOf(t, "acme").Purchased)
	w.requireInvariants(t)
}

// If the count of entries were wrong, Post must say so and not call the entry a
// repeat, which callers take for done.
func TestPostOnWrongCount(t *testing.T) {
	t.Parallel()
	w := newWorld(t, postgres.Config{}, noExecution)
	ctx := bounded(t)
	_, err := w.pool.Exec(ctx, `UPDATE credits SET last_seq = 0`)
	require.NoError(t, err)
	_, err = w.PurchaseCredits(ctx, admin, "acme", "new", 1)
	require.ErrorContains(t, err, "entry 1 is there")
	require.NotErrorIs(t, err, ports.ErrExists)
	require.EqualValues(t, 1_000_000, w.BalanceOf(t, "acme").Purchased)
}
