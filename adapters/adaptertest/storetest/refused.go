package storetest

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// testRefused: ErrNotFound for what is not there, ErrExists for what is there
// already, nothing written, and the transaction goes on.
func testRefused(t *testing.T, newStore Factory, _ Options) {
	t.Run("NotFound", func(t *testing.T) {
		t.Parallel()
		s := newStore(t)
		w := build(t, s, "acme")
		before := MustRead(t, s, "acme", w.keys()...)
		ghost := w.newRun("ghost")
		commit(t, s, "acme", func(ctx context.Context, tx ports.Tx) error {
			for name, call := range map[string]func() error{
				"Runs.Get":               func() error { _, err := tx.Runs().Get(ctx, ghost.ID); return err },
				"LockRun":                func() error { _, err := ports.LockRun(ctx, tx, ghost.ID); return err },
				"Attempts.Get run":       func() error { _, err := tx.Attempts().Get(ctx, ghost.ID, 0); return err },
				"Attempts.Get number":    func() error { _, err := tx.Attempts().Get(ctx, w.running.ID, 2); return err },
				"MarkCompensated run":    func() error { return tx.Attempts().MarkCompensated(ctx, ghost.ID, 0, at(1)) },
				"MarkCompensated number": func() error { return tx.Attempts().MarkCompensated(ctx, w.running.ID, 2, at(1)) },
				"Templates.Get":          func() error { _, err := tx.Templates().Get(ctx, "ghost"); return err },
				"Templates.GetForUpdate": func() error { _, err := tx.Templates().GetForUpdate(ctx, "ghost"); return err },
				"Templates.Save": func() error {
					template := w.template
					template.ID = "ghost"
					return tx.Templates().Save(ctx, template)
				},
				"Ledger.Entry":          func() error { _, err := tx.Ledger().Entry(ctx, "ghost"); return err },
				"Replies.Get":           func() error { _, err := tx.Replies().Get(ctx, w.reply.Operation, "ghost"); return err },
				"Replies.Get operation": func() error { _, err := tx.Replies().Get(ctx, "ghost", w.reply.Key); return err },
				"Replies.Save": func() error {
					reply := w.reply
					reply.Key = "ghost"
					return tx.Replies().Save(ctx, reply)
				},
				"Answers.Get": func() error { _, err := tx.Answers().Get(ctx, "ghost"); return err },
				"Answers.Save": func() error {
					answer := w.answer
					answer.Key = "ghost"
					return tx.Answers().Save(ctx, answer)
				},
			} {
				require.ErrorIs(t, call(), ports.ErrNotFound, name)
			}
			return nil
		})
		equal(t, before, MustRead(t, s, "acme", append(w.keys(), "ghost")...))

		_, err := s.TenantOf(bounded(t), ghost.ID)
		require.ErrorIs(t, err, ports.ErrNotFound)
	})

	t.Run("OneOfTheFilesNotFound", func(t *testing.T) {
		t.Parallel()
		s := newStore(t)
		w := build(t, s, "acme")
		before := MustRead(t, s, "acme")
		ctx := bounded(t)
		file, ghost := w.files[0], w.files[0]
		file.Redeliveries, ghost.Index = 99, 6
		err := s.InTx(ctx, "acme", func(tx ports.Tx) error {
			return tx.Runs().Save(ctx, ports.RunRows{Run: w.running, Files: []core.File{file, ghost}, FilesOnly: true})
		})
		require.ErrorIs(t, err, ports.ErrNotFound)
		equal(t, before, MustRead(t, s, "acme"))
	})

	t.Run("ListsOfWhatIsNotThereAreEmpty", func(t *testing.T) {
		t.Parallel()
		s := newStore(t)
		w := build(t, s, "acme")
		view(t, s, "acme", func(ctx context.Context, tx ports.Tx) error {
			empty(t)(tx.Files().ByIndex(ctx, "ghost", []int{0}))
			empty(t)(tx.Files().InStatus(ctx, "ghost", core.FilePending))
			empty(t)(tx.FileViews().Page(ctx, "ghost", ports.FileFilter{From: 0, Limit: 10, OutputBytes: 1 << 20}))
			empty(t)(tx.FileViews().AnyMaxed(ctx, "ghost", 0))
			empty(t)(tx.Attempts().List(ctx, "ghost"))
			empty(t)(tx.Amendments().List(ctx, "ghost"))
			empty(t)(tx.Amendments().List(ctx, w.running.ID))
			empty(t)(tx.Ledger().Entries(ctx, int64(len(w.entries)), 10))
			return nil
		})
	})

	t.Run("Exists", func(t *testing.T) {
		t.Parallel()
		s := newStore(t)
		w := build(t, s, "acme")
		before := MustRead(t, s, "acme", w.keys()...)
		// The same identity with something else in it: it must not be written over.
		run, template, attempt, answer, tenant, reply := w.closed, w.template, w.attempts[0], w.refusal, w.tenant, w.reply
		reply.Fingerprint = "another"
		run.ID, run.MaxRetryCount = w.running.ID, 9
		template.Name, tenant.Name = "another", "another"
		attempt.Jobs, attempt.Price = 99, 99
		answer.Key = w.answer.Key
		for name, call := range map[string]func(context.Context, ports.Tx) error{
			"Runs.Insert":      func(ctx context.Context, tx ports.Tx) error { return tx.Runs().Insert(ctx, run, w.files[:1]) },
			"Templates.Insert": func(ctx context.Context, tx ports.Tx) error { return tx.Templates().Insert(ctx, template) },
			"Attempts.Insert":  func(ctx context.Context, tx ports.Tx) error { return tx.Attempts().Insert(ctx, attempt) },
			"Answers.Insert":   func(ctx context.Context, tx ports.Tx) error { return tx.Answers().Insert(ctx, answer) },
			"Replies.Insert":   func(ctx context.Context, tx ports.Tx) error { return tx.Replies().Insert(ctx, reply) },
			"Tenants.Insert":   func(ctx context.Context, tx ports.Tx) error { return tx.Tenants().Insert(ctx, tenant) },
			"Ledger.Post": func(ctx context.Context, tx ports.Tx) error {
				_, err := tx.Ledger().Post(ctx, purchase("acme", w.entries[0].Key, 1))
				return err
			},
		} {
			commit(t, s, "acme", func(ctx context.Context, tx ports.Tx) error {
				require.ErrorIs(t, call(ctx, tx), ports.ErrExists, name)
				return nil
			})
			equal(t, before, MustRead(t, s, "acme", w.keys()...), name)
		}
	})

	t.Run("ExistsInTheSameTransaction", func(t *testing.T) {
		t.Parallel()
		s := newStore(t)
		w := build(t, s, "acme")
		for _, write := range writings {
			if !write.insert || write.name == "Amendments.Insert" { // amendments have no identity
				continue
			}
			if write.breaks {
				requireBreaks(t, s, w, write)
				continue
			}
			commit(t, s, "acme", func(ctx context.Context, tx ports.Tx) error {
				require.NoError(t, write.call(ctx, tx, w), write.name)
				require.ErrorIs(t, write.call(ctx, tx, w), ports.ErrExists, write.name)
				return nil
			})
			commit(t, s, "acme", func(ctx context.Context, tx ports.Tx) error {
				require.ErrorIs(t, write.call(ctx, tx, w), ports.ErrExists, write.name)
				return nil
			})
		}
	})

	// A refusal of one call is an answer and no fault: what the transaction
	// writes besides is committed.
	t.Run("TheTransactionGoesOn", func(t *testing.T) {
		t.Parallel()
		s := newStore(t)
		w := build(t, s, "acme")
		commit(t, s, "acme", func(ctx context.Context, tx ports.Tx) error {
			_, err := tx.Runs().Get(ctx, "ghost")
			require.ErrorIs(t, err, ports.ErrNotFound)
			require.ErrorIs(t, tx.Templates().Insert(ctx, w.template), ports.ErrExists)
			_, err = tx.Ledger().Post(ctx, purchase("acme", w.entries[0].Key, 1))
			require.ErrorIs(t, err, ports.ErrExists)
			require.ErrorIs(t, tx.Answers().Insert(ctx, w.answer), ports.ErrExists)
			charge := chargeOf(w.attempts[0])
			charge.Key, charge.Amount = "charge/too much", core.Split{Monthly: 1_000_000}
			_, err = tx.Ledger().Post(ctx, charge)
			require.ErrorIs(t, err, core.ErrCreditsOutOfRange)
			tenant := w.tenant
			tenant.Name = "renamed"
			return tx.Tenants().Save(ctx, tenant)
		})
		want := w.contents()
		want.Tenant.Name = "renamed"
		equal(t, want, MustRead(t, s, "acme", w.keys()...))
	})
}

// requireBreaks: after ErrExists nothing of the transaction stays, whatever the caller
// makes of it.
func requireBreaks(t *testing.T, s ports.Store, w *world, write writing) {
	t.Helper()
	before, ctx := MustRead(t, s, "acme", w.keys()...), bounded(t)
	err := s.InTx(ctx, "acme", func(tx ports.Tx) error {
		require.NoError(t, write.call(ctx, tx, w), write.name)
		require.ErrorIs(t, write.call(ctx, tx, w), ports.ErrExists, write.name)
		return nil
	})
	require.ErrorIs(t, err, ports.ErrExists, write.name)
	equal(t, before, MustRead(t, s, "acme", w.keys()...), write.name)
}

// empty checks that a list or a finding is empty, and no error.
func empty(t *testing.T) func(got any, err error) {
	t.Helper()
	return func(got any, err error) {
		t.Helper()
		require.NoError(t, err)
		require.Empty(t, got)
	}
}
