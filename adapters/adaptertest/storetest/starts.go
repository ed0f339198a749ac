package storetest

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/ports"
)

// testStarts has what is particular about beginning several attempts at once.
func testStarts(t *testing.T, newStore Factory, _ Options) {
	t.Run("WritesSeveral", func(t *testing.T) {
		t.Parallel()
		s := newStore(t)
		w := build(t, s, "acme")
		before := MustRead(t, s, "acme", w.keys()...)
		post(t, s, purchase("acme", "client/enough", 100))
		balance := func() (b core.Balance) {
			view(t, s, "acme", func(ctx context.Context, tx ports.Tx) (err error) {
				b, err = tx.Ledger().Balance(ctx, march)
				return err
			})
			return b
		}
		had := balance()
		changed := w.files[1]
		changed.Redeliveries += 3
		starts := []ports.Start{
			w.startOf(w.newRun("first"), w.files, core.Split{Purchased: 10}),
			w.startOf(w.running, []core.File{changed}, core.Split{Monthly: 1, Purchased: 20}),
			w.startOf(w.newRun("free"), w.files, core.Split{}),
			w.startOf(w.newRun("last"), w.files, core.Split{Purchased: 30}),
		}
		answer := w.answer
		answer.Key = "another"
		var posted []core.Entry
		commit(t, s, "acme", func(ctx context.Context, tx ports.Tx) (err error) {
			_, err = ports.LockRun(ctx, tx, w.running.ID)
			require.NoError(t, err)
			_, err = tx.Ledger().BalanceForUpdate(ctx, march)
			require.NoError(t, err)
			posted, err = tx.Starts().Write(ctx, starts, []core.Answer{answer})
			require.NoError(t, err)
			// What follows in the transaction goes on from there.
			next, err := tx.Ledger().Post(ctx, purchase("acme", "client/next", 1))
			require.Equal(t, posted[2].Seq+1, next.Seq)
			return err
		})
		require.Len(t, posted, 3)
		after := MustRead(t, s, "acme", w.keys()...)
		equal(t, posted, after.Entries[len(before.Entries)+1:len(before.Entries)+4], "in the order of the starts, each with its Seq")
		require.Equal(t, had.Monthly-1, balance().Monthly)
		require.Equal(t, had.Purchased-60+1, balance().Purchased)
		view(t, s, "acme", func(ctx context.Context, tx ports.Tx) error {
			same(t, answer)(tx.Answers().Get(ctx, "another"))
			for _, b := range starts {
				same(t, b.Attempt)(tx.Attempts().Get(ctx, b.Run.ID, b.Attempt.Number))
				same(t, b.Run)(tx.Runs().Get(ctx, b.Run.ID))
				if b.New {
					require.Equal(t, len(b.Files), len(after.Files[b.Run.ID]))
				}
			}
			return nil
		})
		require.Equal(t, changed.Redeliveries, after.Files[w.running.ID][1].Redeliveries)
	})

	t.Run("NothingIsSuccess", func(t *testing.T) {
		t.Parallel()
		s := newStore(t)
		build(t, s, "acme")
		commit(t, s, "acme", func(ctx context.Context, tx ports.Tx) error {
			posted, err := tx.Starts().Write(ctx, nil, nil)
			require.Empty(t, posted)
			return err
		})
	})

	// What is in the way of one keeps all of them from being written, whatever the caller
	// makes of the error.
	t.Run("AllOrNothing", func(t *testing.T) {
		t.Parallel()
		s := newStore(t)
		w := build(t, s, "acme")
		before := MustRead(t, s, "acme", w.keys()...)
		good := w.startOf(w.newRun("good"), w.files, core.Split{})
		taken := w.startOf(w.newRun("taken"), w.files, core.Split{})
		taken.Run.ID, taken.Attempt.Run = w.closed.ID, w.closed.ID
		again := w.startOf(w.running, w.files[:1], core.Split{})
		again.Attempt.Number = 1
		charged := w.startOf(w.newRun("charged"), w.files, core.Split{Purchased: 1})
		charged.Charge = []core.Entry{chargeOf(w.attempts[0])}
		dear := w.startOf(w.newRun("dear"), w.files, core.Split{Purchased: 1_000_000_000})
		unknown := w.startOf(w.running, w.files[:1], core.Split{})
		unknown.Run.ID, unknown.Attempt.Run = "unknown", "unknown"
		file := w.files[0]
		file.Index = 99
		missing := w.startOf(w.running, []core.File{file}, core.Split{})
		used := w.answer
		for name, c := range map[string]struct {
			start   ports.Start
			answers []core.Answer
			want    error
		}{
			"the run's ID":         {start: taken, want: ports.ErrExists},
			"the attempt":          {start: again, want: ports.ErrExists},
			"the charge's key":     {start: charged, want: ports.ErrExists},
			"the answer's key":     {start: w.startOf(w.newRun("fine"), w.files, core.Split{}), answers: []core.Answer{used}, want: ports.ErrExists},
			"too dear":             {start: dear, want: core.ErrCreditsOutOfRange},
			"no such run":          {start: unknown, want: ports.ErrNotFound},
			"no such file of that": {start: missing, want: ports.ErrNotFound},
		} {
			ctx := bounded(t)
			err := s.InTx(ctx, "acme", func(tx ports.Tx) error {
				_, err := tx.Starts().Write(ctx, []ports.Start{good, c.start}, c.answers)
				require.ErrorIs(t, err, c.want, name)
				return nil // as a caller that looks away
			})
			require.Error(t, err, name)
			equal(t, before, MustRead(t, s, "acme", w.keys()...), name)
		}
	})

	// One run is read by another statement than several.
	for n, runs := range [][]core.RunID{{}, {"closed"}, {"closed", "unknown", "running"}} {
		t.Run(fmt.Sprintf("Reads/%d", n), func(t *testing.T) {
			t.Parallel()
			s := newStore(t)
			w := build(t, s, "acme")
			want := ports.StartReads{
				Period: march, Templates: []core.TemplateID{"unknown", w.template.ID}, Keys: []core.Key{"unknown", w.answer.Key, w.refusal.Key},
			}
			for _, name := range runs {
				id := map[core.RunID]core.RunID{"closed": w.closed.ID, "running": w.running.ID, "unknown": "unknown"}[name]
				want.Runs = append(want.Runs, id)
			}
			commit(t, s, "acme", func(ctx context.Context, tx ports.Tx) error {
				found, err := tx.Starts().Read(ctx, want)
				require.NoError(t, err)
				balance, err := tx.Ledger().Balance(ctx, march)
				require.NoError(t, err)
				equal(t, balance, found.Balance)
				files := map[core.RunID][]core.File{}
				for _, run := range want.Runs {
					list, err := tx.Files().InStatus(ctx, run, core.FileFailed, core.FilePending)
					require.NoError(t, err)
					if len(list) > 0 {
						files[run] = list
					}
				}
				require.Len(t, files, min(n, 2))
				equal(t, files, found.Files)
				template, err := tx.Templates().Get(ctx, w.template.ID)
				require.NoError(t, err)
				equal(t, map[core.TemplateID]core.Template{template.ID: template}, found.Templates)
				require.Len(t, found.Answers, 2)
				for _, key := range []core.Key{w.answer.Key, w.refusal.Key} {
					answer, err := tx.Answers().Get(ctx, key)
					require.NoError(t, err)
					equal(t, answer, found.Answers[key])
				}
				return nil
			})
			commit(t, s, "acme", func(ctx context.Context, tx ports.Tx) error {
				_, err := tx.Starts().Read(ctx, ports.StartReads{Period: march})
				require.NoError(t, err)
				_, err = tx.Ledger().Post(ctx, purchase("acme", "client/more", 7))
				require.NoError(t, err)
				before, err := tx.Ledger().Balance(ctx, april)
				require.NoError(t, err)
				found, err := tx.Starts().Read(ctx, ports.StartReads{Period: april})
				require.NoError(t, err)
				equal(t, before, found.Balance, "with what it has posted itself")
				return nil
			})
			ctx := bounded(t)
			err := s.InTx(ctx, "nobody", func(tx ports.Tx) error {
				_, err := tx.Starts().Read(ctx, want)
				return err
			})
			require.ErrorIs(t, err, ports.ErrNotFound)
		})
	}
}

// startOf begins an attempt of a run; one that the world does not have is new.
func (w *world) startOf(run core.Run, files []core.File, amount core.Split) ports.Start {
	b := ports.Start{New: run.ID != w.running.ID, Run: run, Files: files, Attempt: w.nextAttempt(run)}
	if amount != (core.Split{}) {
		b.Attempt.Price = 1
		b.Attempt.Charge = core.Charge{Key: core.ChargeKey(run.ID, b.Attempt.Number), Period: march, Amount: amount}
		b.Charge = []core.Entry{chargeOf(b.Attempt)}
	}
	return b
}

// testHotTenant: many ask at once for the credits of one tenant, which do not suffice for
// all of them. Some of the requests are invalid, some repeat each other. Each gets its
// own answer, and the ledger is exact.
func testHotTenant(t *testing.T, newStore Factory, _ Options) {
	const crowd, dear = 64, core.Credits(30_000)
	s := newService(t, newStore, "acme")
	ctx := bounded(t)
	s.outcomes(func(ports.Task, int) core.Outcome { return core.OutcomeTransient })
	failed := make([]core.RunID, crowd/4)
	for i := range failed {
		failed[i] = s.initiate(t, "acme", 1).ID
	}
	s.settleDown(t)
	change := dear
	_, err := s.servers[0].ChangeTemplate(ctx, core.System, "acme", "t", core.TemplateChange{CreditsPerRun: &change})
	require.NoError(t, err)
	before, err := s.servers[0].Balance(ctx, admin("acme"), "acme")
	require.NoError(t, err)
	affordable := int(before.Available() / dear)
	// Asked for are a quarter without a key, a quarter twice under each key, and a quarter
	// of Continues; the last quarter is invalid.
	require.Less(t, affordable, crowd/4+crowd/8+crowd/4)

	answers := make([]core.Run, crowd)
	errs := together(t, crowd, func(i int) (err error) {
		server := s.servers[i/4%2] // two processes
		req := s.request("acme", 1)
		switch i % 4 {
		case 1:
			req.IdempotencyKey = core.Key(fmt.Sprint("key-", i/8))
		case 2:
			answers[i], err = server.RetryFailed(ctx, admin("acme"), failed[i/4], app.RetryRequest{})
			return err
		case 3:
			req.Template = "unknown"
		}
		answers[i], err = server.Initiate(ctx, admin("acme"), req)
		return err
	})
	accepted := map[core.RunID]bool{}
	for i, err := range errs {
		switch {
		case i%4 == 3:
			require.ErrorIs(t, err, core.ErrTemplateNotFound)
		case err == nil:
			require.False(t, accepted[answers[i].ID] && i%4 != 1, "run %s is the answer of two requests", answers[i].ID)
			accepted[answers[i].ID] = true
		default:
			require.ErrorIs(t, err, core.ErrInsufficientCredits)
		}
		if i%8 == 5 { // the same key as the one four before it
			require.Equal(t, answers[i-4], answers[i])
			require.Equal(t, errors.Is(errs[i-4], core.ErrInsufficientCredits), errors.Is(err, core.ErrInsufficientCredits))
		}
	}
	require.Len(t, accepted, affordable)
	require.Equal(t, affordable, s.queue.Len())
	require.Len(t, charges(t, s.store, "acme"), len(failed)+affordable)
	after, err := s.servers[0].Balance(ctx, admin("acme"), "acme")
	require.NoError(t, err)
	require.Equal(t, before.Available()-core.Credits(affordable)*dear, after.Available())
	s.check(t)
}
