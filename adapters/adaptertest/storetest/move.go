package storetest

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/ports"
)

// testMoves: a tenant is moved from one store to another, whole; of every moment at most one
// of them takes writes.
func testMoves(t *testing.T, newStore Factory, o Options) {
	if o.NoMoves {
		require.NotImplements(t, (*ports.Mover)(nil), newStore(t), "it moves tenants: leave NoMoves out")
		return
	}
	_, ok := newStore(t).(ports.Mover)
	require.True(t, ok, "the store is no ports.Mover, or its wrapper hides that it is one; Options.NoMoves if that is meant")
	t.Run("RoundTrip", func(t *testing.T) { testMoveRoundTrip(t, newStore) })
	t.Run("LongAttempts", func(t *testing.T) { testMoveLongAttempts(t, newStore) })
	t.Run("ClosedTakesNoWrites", func(t *testing.T) { testMoveClosed(t, newStore) })
	t.Run("Sweeps", func(t *testing.T) { testMoveSweeps(t, newStore) })
	t.Run("APIKeys", func(t *testing.T) { testMoveAPIKeys(t, newStore) })
	t.Run("WaitsForWhatWrites", func(t *testing.T) { testMoveWaits(t, newStore) })
	t.Run("CompareAndSet", func(t *testing.T) { testMoveCompareAndSet(t, newStore) })
	t.Run("ImportIsAllOrNothing", func(t *testing.T) { testMoveAllOrNothing(t, newStore) })
	t.Run("Racing", func(t *testing.T) { testMoveRacing(t, newStore, o) })
	t.Run("RepliesAfter", func(t *testing.T) { testRepliesAfter(t, newStore) })
	t.Run("AnswersAfter", func(t *testing.T) { testAnswersAfter(t, newStore) })
}

func mover(t *testing.T, s ports.Store) ports.Mover {
	t.Helper()
	m, ok := s.(ports.Mover)
	require.True(t, ok)
	return m
}

// move is a Move of the tests, named by its state.
func move(state ports.MoveState) ports.Move {
	return ports.Move{ID: "move-1", State: state, At: at(90)}
}

func setMove(t *testing.T, s ports.Store, tenant core.TenantID, was, is ports.Move) {
	t.Helper()
	require.NoError(t, mover(t, s).SetMove(bounded(t), tenant, was, is))
}

// moved is what of a world is there after its move: bulk continues stay where they were made.
func (w *world) moved() Contents {
	c := w.contents()
	c.BulkRuns = map[core.BulkID][]core.BulkRun{}
	return c
}

// records are what a world owns, in the order of ports.Record.
func (w *world) records() []ports.Record {
	list := []ports.Record{w.tenant, w.template}
	for _, v := range w.versions {
		list = append(list, v)
	}
	list = append(list, w.apiKeys)
	for _, run := range []core.Run{w.running, w.closed} {
		list = append(list, run, w.files[:2], w.files[2:])
		for _, a := range w.attempts {
			if a.Run == run.ID {
				list = append(list, a)
			}
		}
		if w.amendment.Run == run.ID {
			list = append(list, w.amendment)
		}
	}
	list = append(list, w.entries[:1], w.entries[1:], w.contents().Balances, []core.Answer{w.answer, w.refusal}, []core.Reply{w.reply}, w.audit, w.low)
	for _, e := range w.endpoints {
		list = append(list, e)
	}
	return append(list, w.deliveries)
}

func given(list []ports.Record, then error) iter.Seq2[ports.Record, error] {
	return func(yield func(ports.Record, error) bool) {
		for _, r := range list {
			if !yield(r, nil) {
				return
			}
		}
		if then != nil {
			yield(nil, then)
		}
	}
}

// testMoveRoundTrip: every field of everything arrives, and goes on there.
func testMoveRoundTrip(t *testing.T, newStore Factory) {
	t.Parallel()
	s := newStore(t)
	build(t, s, "other") // which stays as it is
	w := newWorld("acme")
	setMove(t, s, "acme", ports.Move{}, move(ports.MoveExpected))
	require.NoError(t, mover(t, s).Import(bounded(t), "acme", move(ports.MoveExpected), move(ports.MoveArriving), given(w.records(), nil)))
	equal(t, w.moved(), MustRead(t, s, "acme", w.keys()...))
	for _, run := range []core.Run{w.running, w.closed} {
		owner, err := s.TenantOf(bounded(t), run.ID)
		require.NoError(t, err)
		equal(t, w.tenant.ID, owner)
	}
	same(t, move(ports.MoveArriving))(mover(t, s).MoveOf(bounded(t), "acme"))
	audit, err := app.CheckLedger(bounded(t), s, "acme")
	require.NoError(t, err)
	for _, d := range audit.Differences() {
		require.NotContains(t, d.What, "balance", "%+v", d) // the world's runs are of no rule's making
	}

	setMove(t, s, "acme", move(ports.MoveArriving), move(ports.MoveArrived))
	commit(t, s, "acme", func(ctx context.Context, tx ports.Tx) error {
		posted, err := tx.Ledger().Post(ctx, purchase("acme", "client/later", 5))
		require.NoError(t, err)
		require.EqualValues(t, len(w.entries)+1, posted.Seq)
		balance, err := tx.Ledger().Balance(ctx, march)
		require.NoError(t, err)
		require.Equal(t, w.contents().Balances[0].Purchased+5, balance.Purchased)
		return nil
	})
	other := newWorld("other")
	equal(t, other.contents(), MustRead(t, s, "other", other.keys()...))
}

// testMoveClosed: a closed tenant is read, not written, and passed over by lists of work;
// others go on; what is opened again goes on.
func testMoveClosed(t *testing.T, newStore Factory) {
	t.Parallel()
	s := newStore(t)
	w := build(t, s, "acme")
	build(t, s, "other")
	claim := writing{name: "Runs.Save of files only", call: func(ctx context.Context, tx ports.Tx, w *world) error {
		rows, err := tx.Runs().Lock(ctx, ports.WaitForLock, ports.FilesOf{Run: w.running.ID, Indexes: []int{0}})
		if err != nil {
			return err
		}
		rows[0].Files[0].Status, rows[0].Files[0].LeaseUntil, rows[0].FilesOnly = core.FileProcessing, at(99), true
		return tx.Runs().Save(ctx, rows...)
	}}
	refuses := func(state ports.MoveState) {
		for _, write := range append(slices.Clone(writings), claim) {
			err := s.InTx(bounded(t), "acme", func(tx ports.Tx) error { return write.call(bounded(t), tx, w) })
			require.ErrorIs(t, err, ports.ErrMoved, "%s: %s", state, write.name)
			require.ErrorIs(t, err, ports.ErrUnavailable, "%s: %s", state, write.name)
		}
	}
	setMove(t, s, "acme", ports.Move{}, move(ports.MoveLeaving))
	refuses(ports.MoveLeaving)
	setMove(t, s, "acme", move(ports.MoveLeaving), move(ports.MoveGone))
	refuses(ports.MoveGone)
	setMove(t, s, "acme", move(ports.MoveGone), move(ports.MoveLeaving))
	equal(t, w.contents(), MustRead(t, s, "acme", w.keys()...), "nothing was changed")

	due, err := s.DueRuns(bounded(t), at(10_000), horizon, 10)
	require.NoError(t, err)
	for _, key := range due {
		require.NotEqual(t, core.TenantID("acme"), key.Tenant)
	}
	require.NotEmpty(t, due, "runs of the other tenant")
	ungranted, err := s.Ungranted(bounded(t), "allowance/none", "", 10)
	require.NoError(t, err)
	require.Len(t, ungranted, 1)
	require.Equal(t, core.TenantID("other"), ungranted[0].ID)
	same(t, ungranted)(s.OpenTenants(bounded(t), "", 10))
	empty(t)(s.OpenTenants(bounded(t), "other", 10))
	orphans, err := s.BulkContinues().Orphans(bounded(t), at(10_000), 10)
	require.NoError(t, err)
	require.Equal(t, []ports.BulkPartKey{{Tenant: "other", Bulk: "bulk-1"}}, orphans)
	commit(t, s, "other", func(ctx context.Context, tx ports.Tx) error {
		_, err := tx.Ledger().Post(ctx, purchase("other", "client/open", 5))
		return err
	})

	setMove(t, s, "acme", move(ports.MoveLeaving), ports.Move{})
	commit(t, s, "acme", func(ctx context.Context, tx ports.Tx) error {
		_, err := tx.Ledger().Post(ctx, purchase("acme", "client/open", 5))
		return err
	})
	due, err = s.DueRuns(bounded(t), at(10_000), horizon, 10)
	require.NoError(t, err)
	require.Contains(t, due, ports.RunKey{Tenant: "acme", Run: w.running.ID})
	open, err := s.OpenTenants(bounded(t), "", 10)
	require.NoError(t, err)
	require.Len(t, open, 2)
}

// testMoveSweeps: a move counts what a tenant has before and after, so nothing of it is swept
// meanwhile. What is left of a tenant that lives elsewhere is not kept for longer than that of
// others.
func testMoveSweeps(t *testing.T, newStore Factory) {
	t.Parallel()
	sweeps := map[string]func(context.Context, ports.Store) (int, error){
		"Forget": func(ctx context.Context, s ports.Store) (int, error) { return s.Forget(ctx, at(10_000), 100) },
		"SweepDeliveries": func(ctx context.Context, s ports.Store) (int, error) {
			return s.SweepDeliveries(ctx, at(10_000), 100)
		},
		"SweepAPIKeys": func(ctx context.Context, s ports.Store) (int, error) { return s.SweepAPIKeys(ctx, "acme", at(10_000)) },
	}
	for _, left := range []ports.MoveState{ports.MoveGone, ports.MoveAbandoned} {
		s := newStore(t)
		w, ctx := build(t, s, "acme"), bounded(t)
		was := ports.Move{}
		for _, state := range []ports.MoveState{ports.MoveLeaving, ports.MoveExpected, ports.MoveArriving} {
			setMove(t, s, "acme", was, move(state))
			was = move(state)
			for name, sweep := range sweeps {
				n, err := sweep(ctx, s)
				require.NoError(t, err, name)
				require.Zero(t, n, "%s: %s", state, name)
			}
			equal(t, w.contents(), MustRead(t, s, "acme", w.keys()...))
		}
		setMove(t, s, "acme", was, move(left))
		for name, sweep := range sweeps {
			n, err := sweep(ctx, s)
			require.NoError(t, err, name)
			require.Positive(t, n, "%s: %s", left, name)
		}
	}
}

// testMoveWaits: when SetMove has closed a tenant, what a transaction wrote before is either
// committed, and seen by every later reader, or refused.
func testMoveWaits(t *testing.T, newStore Factory) {
	t.Parallel()
	s := newStore(t)
	bare(t, s, "acme")
	m, ctx := mover(t, s), bounded(t)
	wrote, goOn := make(chan error, 1), make(chan struct{})
	first := true
	writing := async(func() error {
		return s.InTx(ctx, "acme", func(tx ports.Tx) error {
			_, err := tx.Ledger().Post(ctx, purchase("acme", "client/before", 5))
			if first { // it may be run again
				first = false
				wrote <- err
				<-goOn
			}
			return err
		})
	})
	require.NoError(t, await(t, "the write", wrote))
	closing := async(func() error { return m.SetMove(ctx, "acme", ports.Move{}, move(ports.MoveLeaving)) })
	waits := true
	select {
	case err := <-closing: // a store need not wait if it refuses the commit
		require.NoError(t, err)
		waits = false
	case <-time.After(grace):
	}
	close(goOn)
	if waits {
		require.NoError(t, await(t, "closing", closing))
	}
	there, err := entries(ctx, s, "acme")
	require.NoError(t, err)
	if err := await(t, "the transaction", writing); err != nil || !waits {
		require.ErrorIs(t, err, ports.ErrMoved)
		require.Zero(t, there)
		return
	}
	require.Equal(t, 1, there, "what was committed is seen when the tenant is closed")
}

// testMoveCompareAndSet: a Move is changed only by a caller that names its present state.
func testMoveCompareAndSet(t *testing.T, newStore Factory) {
	t.Parallel()
	s := newStore(t)
	m := mover(t, s)
	same(t, ports.Move{})(m.MoveOf(bounded(t), "acme"))
	setMove(t, s, "acme", ports.Move{}, move(ports.MoveExpected))
	another := ports.Move{ID: "move-2", State: ports.MoveExpected, At: at(91)}
	for _, was := range []ports.Move{{}, another, move(ports.MoveArriving)} {
		require.ErrorIs(t, m.SetMove(bounded(t), "acme", was, another), ports.ErrMoveChanged)
		require.ErrorIs(t, m.SetMove(bounded(t), "acme", was, move(ports.MoveArrived)), ports.ErrMoveChanged)
	}
	require.ErrorIs(t, m.SetMove(bounded(t), "acme", another, ports.Move{}), ports.ErrMoveChanged)
	same(t, move(ports.MoveExpected))(m.MoveOf(bounded(t), "acme"))
	same(t, ports.Move{})(m.MoveOf(bounded(t), "other"))
	for _, state := range []ports.MoveState{
		ports.MoveArriving, ports.MoveArrived, ports.MoveLeaving, ports.MoveLeaving, ports.MoveGone, ports.MoveAbandoned,
	} {
		now, err := m.MoveOf(bounded(t), "acme")
		require.NoError(t, err)
		setMove(t, s, "acme", now, move(state))
		same(t, move(state))(m.MoveOf(bounded(t), "acme"))
	}
	setMove(t, s, "acme", move(ports.MoveAbandoned), ports.Move{})
	same(t, ports.Move{})(m.MoveOf(bounded(t), "acme"))
}

// testMoveAllOrNothing: an import that fails leaves nothing, and can be repeated.
func testMoveAllOrNothing(t *testing.T, newStore Factory) {
	t.Parallel()
	s := newStore(t)
	m := mover(t, s)
	w, expected, arriving := newWorld("acme"), move(ports.MoveExpected), move(ports.MoveArriving)
	all := w.records()
	setMove(t, s, "acme", ports.Move{}, expected)
	broken := errors.New("the source broke")
	for n := range all {
		require.ErrorIs(t, m.Import(bounded(t), "acme", expected, arriving, given(all[:n], broken)), broken)
	}
	require.Error(t, m.Import(bounded(t), "acme", expected, arriving, given([]ports.Record{all[0], 7}, nil)), "no record")
	require.ErrorIs(t, m.Import(bounded(t), "acme", arriving, arriving, given(all, nil)), ports.ErrMoveChanged)
	equal(t, Contents{}, onlyWhatIsThere(MustRead(t, s, "acme", w.keys()...)))
	same(t, expected)(m.MoveOf(bounded(t), "acme"))
	_, err := s.TenantOf(bounded(t), w.running.ID)
	require.ErrorIs(t, err, ports.ErrNotFound)

	require.NoError(t, m.Import(bounded(t), "acme", expected, arriving, given(all, nil)))
	require.ErrorIs(t, m.Import(bounded(t), "acme", expected, arriving, given(all, nil)), ports.ErrMoveChanged, "twice")
	require.ErrorIs(t, m.Import(bounded(t), "acme", arriving, arriving, given(all, nil)), ports.ErrExists, "it is there")
	equal(t, w.moved(), MustRead(t, s, "acme", w.keys()...))

	// A run's ID is one of all tenants.
	taken := newWorld("other")
	taken.running.ID = w.running.ID
	setMove(t, s, "other", ports.Move{}, expected)
	require.ErrorIs(t, m.Import(bounded(t), "other", expected, arriving, given([]ports.Record{taken.tenant, taken.template, taken.running}, nil)), ports.ErrExists)
	equal(t, Contents{}, onlyWhatIsThere(MustRead(t, s, "other", w.keys()...)))
}

// onlyWhatIsThere is the zero value if there is nothing.
func onlyWhatIsThere(c Contents) Contents {
	if c.Tenant == nil && len(c.Templates)+len(c.Runs)+len(c.Entries)+len(c.Balances)+len(c.Answers)+len(c.Replies) == 0 {
		return Contents{}
	}
	return c
}

// testMoveRacing: writers race with the closing of their tenant: what was acknowledged is
// there, and nothing else, when SetMove has returned.
func testMoveRacing(t *testing.T, newStore Factory, o Options) {
	t.Parallel()
	s := newStore(t)
	bare(t, s, "acme")
	m := mover(t, s)
	const writers = 4
	posted := 0
	for round := range min(o.Rounds, 10) {
		ctx := bounded(t)
		acknowledged := make([]int, writers)
		closed := make(chan int, 1)
		errs := together(t, writers+1, func(i int) error {
			if i == writers {
				err := m.SetMove(ctx, "acme", ports.Move{}, move(ports.MoveLeaving))
				if err != nil {
					return err
				}
				n, err := entries(ctx, s, "acme")
				closed <- n
				return err
			}
			for n := 0; ; n++ {
				err := s.InTx(ctx, "acme", func(tx ports.Tx) error {
					_, err := tx.Ledger().Post(ctx, purchase("acme", core.Key(fmt.Sprint("client/", round, "/", i, "/", n)), 1))
					return err
				})
				if errors.Is(err, ports.ErrMoved) {
					return nil
				}
				if err != nil {
					return err
				}
				acknowledged[i]++
			}
		})
		for _, err := range errs {
			require.NoError(t, err)
		}
		atOnce := <-closed
		later, err := entries(ctx, s, "acme")
		require.NoError(t, err)
		require.Equal(t, later, atOnce, "something was written after the tenant was closed")
		setMove(t, s, "acme", move(ports.MoveLeaving), ports.Move{})
		for _, n := range acknowledged {
			posted += n
		}
		require.Equal(t, posted, atOnce)
	}
}

func entries(ctx context.Context, s ports.Store, tenant core.TenantID) (n int, err error) {
	err = s.View(ctx, tenant, func(tx ports.Tx) error {
		for {
			page, err := tx.Ledger().Entries(ctx, int64(n), 1000)
			if err != nil || len(page) == 0 {
				return err
			}
			n += len(page)
		}
	})
	return n, err
}
