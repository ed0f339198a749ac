package storetest

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// testMoveLongAttempts: attempts are read, and come, in parts, and nobody sees that afterwards.
func testMoveLongAttempts(t *testing.T, newStore Factory) {
	t.Parallel()
	s, ctx := newStore(t), bounded(t)
	w := newWorld("acme")
	var list []ports.Record
	all, paged := 0, 0
	for _, r := range w.records() {
		a, is := r.(core.Attempt)
		if !is {
			list = append(list, r)
			continue
		}
		files, long := a.Files, ports.LongAttempt{Attempt: a}
		if long.Files = nil; a.OfAllFiles(0) {
			long.All, files = len(files), nil
			all++
		}
		list = append(list, long)
		for i := range files {
			paged++
			list = append(list, files[i:i+1])
		}
	}
	require.Positive(t, all)
	require.Greater(t, paged, 1)
	setMove(t, s, "acme", ports.Move{}, move(ports.MoveExpected))
	require.NoError(t, mover(t, s).Import(ctx, "acme", move(ports.MoveExpected), move(ports.MoveArriving), given(list, nil)))
	for _, a := range w.attempts {
		same(t, a)(mover(t, s).AttemptFrom(ctx, "acme", a.Run, a.Number, 0, 100))
		for from := range len(a.Files) + 2 {
			part := a
			part.Files = nil
			for _, f := range a.Files {
				if f.Index >= from && len(part.Files) < 2 {
					part.Files = append(part.Files, f)
				}
			}
			got, err := mover(t, s).AttemptFrom(ctx, "acme", a.Run, a.Number, from, 2)
			require.NoError(t, err)
			require.Len(t, got.Files, len(part.Files))
			if len(part.Files) == 0 {
				got.Files = nil
			}
			equal(t, part, got)
		}
	}
	for tenant, run := range map[core.TenantID]core.RunID{"acme": "none", "other": w.running.ID} {
		_, err := mover(t, s).AttemptFrom(ctx, tenant, run, 0, 0, 2)
		require.ErrorIs(t, err, ports.ErrNotFound)
	}
	_, err := mover(t, s).AttemptFrom(ctx, "acme", w.running.ID, 99, 0, 2)
	require.ErrorIs(t, err, ports.ErrNotFound)
	equal(t, w.moved(), MustRead(t, s, "acme", w.keys()...))
}

func testAnswersAfter(t *testing.T, newStore Factory) {
	t.Parallel()
	s := newStore(t)
	w := build(t, s, "acme")
	build(t, s, "other")
	m := mover(t, s)
	first, second := w.answer, w.refusal
	if first.Key > second.Key {
		first, second = second, first
	}
	same(t, []core.Answer{first, second})(m.AnswersAfter(bounded(t), "acme", "", 10))
	same(t, []core.Answer{first})(m.AnswersAfter(bounded(t), "acme", "", 1))
	same(t, []core.Answer{second})(m.AnswersAfter(bounded(t), "acme", first.Key, 10))
	none, err := m.AnswersAfter(bounded(t), "acme", second.Key, 10)
	require.NoError(t, err)
	require.Empty(t, none)
	none, err = m.AnswersAfter(bounded(t), "nobody", "", 10)
	require.NoError(t, err)
	require.Empty(t, none)
}

func testRepliesAfter(t *testing.T, newStore Factory) {
	t.Parallel()
	s := newStore(t)
	w := build(t, s, "acme")
	build(t, s, "other")
	m := mover(t, s)
	list := []core.Reply{w.reply, w.reply, w.reply, w.reply}
	list[0].Operation, list[0].Key = "a", "z"
	list[2].Key = "z"
	list[3].Operation, list[3].Key = "z", "a"
	commit(t, s, "acme", func(ctx context.Context, tx ports.Tx) error {
		for _, r := range []core.Reply{list[3], list[0], list[2]} {
			require.NoError(t, tx.Replies().Insert(ctx, r))
		}
		return nil
	})
	same(t, list)(m.RepliesAfter(bounded(t), "acme", "", "", 10))
	same(t, list[:2])(m.RepliesAfter(bounded(t), "acme", "", "", 2))
	for i, r := range list[:3] {
		same(t, list[i+1:])(m.RepliesAfter(bounded(t), "acme", r.Operation, r.Key, 10))
	}
	for tenant, after := range map[core.TenantID]core.Reply{"acme": list[3], "nobody": {}} {
		none, err := m.RepliesAfter(bounded(t), tenant, after.Operation, after.Key, 10)
		require.NoError(t, err)
		require.Empty(t, none)
	}
}
