package postgres_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/postgres"
	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/internal/testkit/pgtest"
	"github.com/redrive/redrive/ports"
)

// isCommit and isBegin recognize the statements that end and begin a transaction; the
// first is a simple query ('Q'), the other is prepared ('P') once a connection.
func isCommit(kind byte, body string) bool { return kind == 'Q' && strings.HasPrefix(body, "commit") }

func isBegin(kind byte, body string) bool {
	return kind == 'P' && strings.Contains(body, "begin isolation")
}

// onNth gives a verdict on the nth message that matches (from 1); all others are
// passed on.
func onNth(n int32, v verdict, match func(byte, string) bool) func(byte, string) verdict {
	var seen atomic.Int32
	return func(kind byte, body string) verdict {
		if match(kind, body) && seen.Add(1) == n {
			return v
		}
		return forward
	}
}

// onAnswer gives a verdict on the first message after which a statement is answered: 'E'
// executes it, and its answer comes after the 'S'.
func onAnswer(v verdict) func(byte, string) verdict {
	var executed, done atomic.Bool
	return func(kind byte, _ string) verdict {
		switch {
		case kind == 'E':
			executed.Store(true)
		case kind == 'S' && executed.Load() && done.CompareAndSwap(false, true):
			return v
		}
		return forward
	}
}

// relayed is a store behind a relay with the tenant "acme", and a pool that goes
// past the relay.
func relayed(t *testing.T, c postgres.Config) (*postgres.Store, *relay, *pgxpool.Pool) {
	t.Helper()
	url := pgtest.New(t).URL
	r := newRelay(t, url)
	direct, pool := pgtest.Open(t, postgres.Config{URL: url})
	ctx := bounded(t)
	require.NoError(t, direct.InTx(ctx, "acme", func(tx ports.Tx) error {
		return tx.Tenants().Insert(ctx, core.Tenant{ID: "acme", Name: "before"})
	}))
	c.URL = r.url
	store, _ := pgtest.Open(t, c)
	return store, r, pool
}

// rename changes the tenant's name and counts how often it was run.
func rename(ctx context.Context, s *postgres.Store, runs *int) error {
	return s.InTx(ctx, "acme", func(tx ports.Tx) error {
		*runs++
		if err := ask(ctx, tx); err != nil { // with which it begins
			return err
		}
		return tx.Tenants().Save(ctx, core.Tenant{ID: "acme", Name: "after"})
	})
}

// ask asks the database something.
func ask(ctx context.Context, tx ports.Tx) error {
	_, err := tx.Tenants().Get(ctx)
	return err
}

// nameOnceFree waits for whoever still holds the tenant's row, so that the
// outcome is final, and reads its name.
func nameOnceFree(t *testing.T, pool *pgxpool.Pool) string {
	t.Helper()
	return names(t, pool, `SELECT name FROM tenants WHERE tenant_id = 'acme' FOR UPDATE`)[0]
}

func TestCommitUnknown(t *testing.T) {
	t.Parallel()
	t.Run("CommittedAndNotTold", func(t *testing.T) {
		t.Parallel()
		store, r, pool := relayed(t, postgres.Config{})
		r.on(onNth(1, forwardCut, isCommit))
		runs := 0
		require.ErrorIs(t, rename(bounded(t), store, &runs), ports.ErrCommitUnknown)
		require.Equal(t, 1, runs, "it must not be run again as if it had had no effect")
		require.Equal(t, "after", nameOnceFree(t, pool))
	})
	t.Run("NotCommittedAndNotTold", func(t *testing.T) {
		t.Parallel()
		store, r, pool := relayed(t, postgres.Config{})
		r.on(onNth(1, cut, isCommit))
		runs := 0
		require.ErrorIs(t, rename(bounded(t), store, &runs), ports.ErrCommitUnknown)
		require.Equal(t, 1, runs)
		require.Equal(t, "before", nameOnceFree(t, pool))
	})
	t.Run("NoAnswerInTime", func(t *testing.T) {
		t.Parallel()
		store, r, pool := relayed(t, postgres.Config{CommitTimeout: 50 * time.Millisecond})
		r.on(onNth(1, forwardMute, isCommit))
		runs := 0
		require.ErrorIs(t, rename(bounded(t), store, &runs), ports.ErrCommitUnknown)
		require.Equal(t, 1, runs)
		require.Equal(t, "after", nameOnceFree(t, pool))
	})
	t.Run("TheCallerGoesAway", func(t *testing.T) {
		t.Parallel()
		store, r, pool := relayed(t, postgres.Config{})
		ctx, cancel := context.WithCancel(bounded(t))
		r.on(func(kind byte, body string) verdict {
			if isCommit(kind, body) {
				cancel()
			}
			return forward
		})
		runs := 0
		require.NoError(t, rename(ctx, store, &runs), "a commit that is under way is not given up")
		require.Equal(t, "after", nameOnceFree(t, pool))
	})
}

// A statement outside any transaction is its own commit: if the answer is lost it may have
// had its effect, and nobody may be told that it had none.
func TestCommitUnknownOfAStatement(t *testing.T) {
	t.Parallel()
	ada := core.Actor{Subject: "ada", Tenant: "acme", Role: core.RoleCustomerAdmin}
	now := time.Now().UTC().Truncate(time.Second)
	ticket := ports.Ticket{ID: ports.TicketID("t"), Actor: ada, CreatedAt: now, ExpiresAt: now.Add(time.Hour)}
	reply := core.Reply{Operation: core.OperationBulkContinue, Key: "k", Fingerprint: "f", Result: []byte(`{}`), At: now}
	refusal := reply
	refusal.Result, refusal.Refusal = nil, &core.Error{Code: core.CodeBulkEmpty}
	bulk := core.Bulk{ID: "b", Key: "k", By: ada, ChangedBy: ada, CreatedAt: now, ChangedAt: now, Status: core.BulkRunning}
	other := ticket
	other.ID = ports.TicketID("other")
	for name, c := range map[string]struct {
		do   func(ctx context.Context, s *postgres.Store) error
		done string // counts what it made
	}{
		"Session": {func(ctx context.Context, s *postgres.Store) error {
			return s.Sessions().Insert(ctx, ports.Session{ID: ports.SessionID("s"), Actor: ada, Via: "token", CreatedAt: now, SeenAt: now, ExpiresAt: now.Add(time.Hour)})
		}, `SELECT count(*)::text FROM sessions`},
		"Ticket": {func(ctx context.Context, s *postgres.Store) error {
			return s.Tickets().Insert(ctx, ticket, ports.TicketBounds{OfTenant: 9, OfSubject: 9})
		}, `SELECT count(*)::text FROM event_tickets`},
		"TakenTicket": {func(ctx context.Context, s *postgres.Store) error {
			_, err := s.Tickets().Take(ctx, other.ID)
			return err
		}, `SELECT (1 - count(*))::text FROM event_tickets`},
		"BulkContinue": {func(ctx context.Context, s *postgres.Store) error { return s.BulkContinues().Insert(ctx, bulk, nil) }, `SELECT count(*)::text FROM bulk_continues`},
		"BulkContinueUnderAKey": {
			func(ctx context.Context, s *postgres.Store) error { return s.BulkContinues().Insert(ctx, bulk, &reply) },
			`SELECT count(*)::text FROM bulk_continues JOIN bulk_replies USING (key)`,
		},
		"Refusal": {func(ctx context.Context, s *postgres.Store) error { return s.BulkContinues().Refuse(ctx, refusal) }, `SELECT count(*)::text FROM bulk_replies`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store, r, pool := relayed(t, postgres.Config{})
			if name == "TakenTicket" {
				require.NoError(t, store.Tickets().Insert(bounded(t), other, ports.TicketBounds{OfTenant: 9, OfSubject: 9}))
			}
			r.on(onAnswer(forwardMute))
			ctx, cancel := context.WithCancel(bounded(t))
			failed := make(chan error, 1)
			go func() { failed <- c.do(ctx, store) }()
			require.Eventually(t, func() bool { return names(t, pool, c.done)[0] == "1" }, 20*time.Second, 5*time.Millisecond, "it has its effect")
			cancel()
			require.ErrorIs(t, <-failed, ports.ErrCommitUnknown)
		})
	}
	t.Run("Lost", func(t *testing.T) {
		t.Parallel()
		store, r, _ := relayed(t, postgres.Config{})
		r.on(onAnswer(forwardCut))
		require.ErrorIs(t, store.Tickets().Insert(bounded(t), ticket, ports.TicketBounds{OfTenant: 9, OfSubject: 9}), ports.ErrCommitUnknown)
		require.NoError(t, store.Tickets().Insert(bounded(t), other, ports.TicketBounds{OfTenant: 9, OfSubject: 9}), "the next one has another connection")
	})
	t.Run("NoConnection", func(t *testing.T) {
		t.Parallel()
		store, pool := pgtest.Open(t, postgres.Config{MaxConns: 1, LockTimeout: 20 * time.Millisecond, StatementTimeout: 20 * time.Millisecond, IdleTimeout: 10 * time.Second})
		held, err := pool.Acquire(bounded(t))
		require.NoError(t, err)
		defer held.Release()
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		err = store.Tickets().Insert(ctx, ticket, ports.TicketBounds{OfTenant: 9, OfSubject: 9})
		require.Error(t, err)
		require.NotErrorIs(t, err, ports.ErrCommitUnknown, "nothing was sent")
	})
}

func TestConnectionLost(t *testing.T) {
	t.Parallel()
	isUpdate := func(kind byte, body string) bool { return kind == 'P' && strings.Contains(body, "UPDATE tenants") }

	for name, v := range map[string]verdict{"BeforeAStatement": cut, "AfterAStatement": forwardCut} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store, r, pool := relayed(t, postgres.Config{})
			r.on(onNth(1, v, isUpdate))
			runs := 0
			err := rename(bounded(t), store, &runs)
			require.ErrorIs(t, err, ports.ErrUnavailable)
			require.NotErrorIs(t, err, ports.ErrCommitUnknown)
			require.Equal(t, 1, runs)
			require.Equal(t, "before", nameOnceFree(t, pool))
			require.NoError(t, rename(bounded(t), store, &runs), "the next one has another connection")
		})
	}
	t.Run("AtTheBegin", func(t *testing.T) {
		t.Parallel()
		store, r, _ := relayed(t, postgres.Config{})
		r.on(onNth(1, cut, isBegin))
		runs := 0
		require.NoError(t, rename(bounded(t), store, &runs), "nothing was run yet, so another connection is taken")
		require.Equal(t, 1, runs)
	})
	t.Run("AtEveryBegin", func(t *testing.T) {
		t.Parallel()
		store, r, _ := relayed(t, postgres.Config{MaxConns: 3})
		var begins atomic.Int32
		r.on(func(kind byte, body string) verdict {
			if isBegin(kind, body) {
				begins.Add(1)
				return cut
			}
			return forward
		})
		runs := 0
		require.ErrorIs(t, rename(bounded(t), store, &runs), ports.ErrUnavailable)
		require.Equal(t, 1, runs)
		require.EqualValues(t, 4, begins.Load(), "as many as the pool may have, and one")
	})
	t.Run("InAView", func(t *testing.T) {
		t.Parallel()
		store, r, _ := relayed(t, postgres.Config{})
		r.on(onNth(1, cut, func(kind byte, body string) bool { return kind == 'P' && strings.Contains(body, "FROM tenants") }))
		view := func() error {
			return store.View(bounded(t), "acme", func(tx ports.Tx) error {
				if _, err := tx.Templates().List(context.Background()); err != nil {
					return err
				}
				return ask(context.Background(), tx)
			})
		}
		require.ErrorIs(t, view(), ports.ErrUnavailable)
		require.NoError(t, view())
	})
	t.Run("InAReadOutsideTransactions", func(t *testing.T) {
		t.Parallel()
		store, r, _ := relayed(t, postgres.Config{})
		r.on(onNth(1, cut, func(kind byte, body string) bool { return kind == 'P' && strings.Contains(body, "tenant_id >") }))
		list, err := store.AllTenants(bounded(t), "", 10)
		require.NoError(t, err, "a read is repeated on another connection")
		require.Len(t, list, 1)
	})
	t.Run("ByTheIdleTimeout", func(t *testing.T) {
		t.Parallel()
		store, pool := pgtest.Open(t, postgres.Config{IdleTimeout: 20 * time.Millisecond})
		ctx := bounded(t)
		err := store.InTx(ctx, "acme", func(tx ports.Tx) error {
			if err := tx.Tenants().Insert(ctx, core.Tenant{ID: "acme", Name: "never"}); err != nil {
				return err
			}
			// A process that hangs: Postgres ends the transaction, and its locks with it.
			require.Eventually(t, func() bool {
				return len(names(t, pool, `SELECT pid::text FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in transaction%'`)) == 0
			}, testTimeout, 5*time.Millisecond)
			_, err := tx.Tenants().Get(ctx)
			return err
		})
		require.ErrorIs(t, err, ports.ErrUnavailable)
		require.Empty(t, names(t, pool, `SELECT tenant_id FROM tenants`))
	})
}

func TestUnavailable(t *testing.T) {
	t.Parallel()
	store, pool := pgtest.Open(t, postgres.Config{URL: "postgres:///nowhere?user=u&password=sesame&host=" + t.TempDir()})
	ctx := bounded(t)
	asking := func(tx ports.Tx) error { return ask(ctx, tx) }
	_, ownerErr := store.TenantOf(ctx, "r")
	_, dueErr := store.DueRuns(ctx, time.Now(), time.Hour, 1)
	_, tenantsErr := store.AllTenants(ctx, "", 1)
	for _, err := range []error{
		store.InTx(ctx, "acme", asking), store.View(ctx, "acme", asking), store.Ping(ctx), ownerErr, dueErr, tenantsErr,
	} {
		require.ErrorIs(t, err, ports.ErrUnavailable)
		require.NotContains(t, err.Error(), "sesame")
	}
	pool.Close()
	require.ErrorIs(t, store.InTx(ctx, "acme", asking), ports.ErrUnavailable, "a pool that was closed")
}

// The server is restarted under a pool full of connections: what ran meanwhile
// fails with ErrUnavailable and no effect, and what comes afterwards succeeds at
// once, although every connection of the pool is dead.
func TestServerRestart(t *testing.T) {
	t.Parallel()
	server := pgtest.NewServer(t, pgtest.Options{Durable: true})
	const conns = 8
	store, pool := pgtest.Open(t, postgres.Config{URL: server.New(t).URL, MaxConns: conns})
	ctx := bounded(t)
	require.NoError(t, store.InTx(ctx, "acme", func(tx ports.Tx) error {
		return tx.Tenants().Insert(ctx, core.Tenant{ID: "acme", Name: "before"})
	}))
	fill := func() { // every connection of the pool is open
		all := make(chan struct{})
		var arrived atomic.Int32
		for _, err := range together(conns, func(int) error {
			return store.View(ctx, "acme", func(tx ports.Tx) error {
				err := ask(ctx, tx)
				if arrived.Add(1) == conns {
					close(all)
				}
				<-all
				return err
			})
		}) {
			require.NoError(t, err)
		}
		require.EqualValues(t, conns, pool.Stat().TotalConns())
	}

	fill()
	server.Restart(t)
	for _, err := range together(conns, func(int) error {
		return store.View(ctx, "acme", func(tx ports.Tx) error { _, err := tx.Tenants().Get(ctx); return err })
	}) {
		require.NoError(t, err)
	}

	fill()
	err := store.InTx(ctx, "acme", func(tx ports.Tx) error {
		if err := tx.Tenants().Save(ctx, core.Tenant{ID: "acme", Name: "after"}); err != nil {
			return err
		}
		server.Stop(t)
		return nil // the COMMIT finds the server gone
	})
	// The session ended before the COMMIT, but its bytes may have been sent.
	require.True(t, errors.Is(err, ports.ErrUnavailable) || errors.Is(err, ports.ErrCommitUnknown), "%v", err)
	require.ErrorIs(t, store.Ping(ctx), ports.ErrUnavailable)
	require.ErrorIs(t, store.InTx(ctx, "acme", func(tx ports.Tx) error { return ask(ctx, tx) }), ports.ErrUnavailable)

	server.Start(t)
	require.NoError(t, store.Ping(ctx))
	runs := 0
	require.Equal(t, "before", nameOnceFree(t, pool), "what was not committed is gone, what was is there")
	require.NoError(t, rename(ctx, store, &runs))
	require.Equal(t, "after", nameOnceFree(t, pool))
}

// A network that swallows an answer holds nobody for longer than Postgres itself
// would take to time out, also where the caller has set no bound (as claims and
// settlements do, which must not be left in the dark).
func TestSilentNetwork(t *testing.T) {
	t.Parallel()
	for name, match := range map[string]func(byte, string) bool{
		"Begin":     isBegin,
		"Statement": func(kind byte, body string) bool { return kind == 'P' && strings.Contains(body, "UPDATE tenants") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store, r, _ := relayed(t, postgres.Config{StatementTimeout: 200 * time.Millisecond, LockTimeout: 100 * time.Millisecond, IdleTimeout: 500 * time.Millisecond})
			r.on(onNth(1, forwardMute, match))
			ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context())) // as claim and settle have it
			done := make(chan error, 1)
			runs := 0
			go func() { done <- rename(ctx, store, &runs) }()
			select {
			case err := <-done:
				require.ErrorIs(t, err, ports.ErrUnavailable)
			case <-time.After(testTimeout):
				cancel()
				t.Fatal("InTx waits for an answer that does not come")
			}
			cancel()
		})
	}
}
