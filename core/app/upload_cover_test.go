package app_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
)

// Of an upload that does not say how many files it has no more are stored than the credits
// cover: 150 credits at 10 a file are 15.
func TestUploadIsCoveredByCredits(t *testing.T) {
	t.Parallel()
	fill := func(t *testing.T, w *uploads, u *app.Upload, n int) {
		t.Helper()
		for range n {
			w.add(u, "f", "content")
		}
	}
	next := func(w *uploads, u *app.Upload) error {
		_, err := u.Add(w.ctx, "more", strings.NewReader("content"))
		return err
	}

	t.Run("Refused", func(t *testing.T) {
		t.Parallel()
		w := newUploads(t)
		u := w.begin()
		fill(t, w, u, 15)
		err := next(w, u)
		var refusal *core.Error
		require.ErrorAs(t, err, &refusal)
		require.Equal(t, core.CodeInsufficientCredits, refusal.Code)
		require.EqualValues(t, 160, refusal.Needed)
		require.EqualValues(t, 150, refusal.Available)
		_, err = w.run(u, "")
		require.ErrorIs(t, err, core.ErrInsufficientCredits, "no run is made without the file")
		require.Empty(t, w.left())
	})
	t.Run("AllThatTheyCover", func(t *testing.T) {
		t.Parallel()
		w := newUploads(t)
		u := w.begin()
		fill(t, w, u, 15)
		run, err := w.run(u, "")
		require.NoError(t, err)
		require.EqualValues(t, 150, run.CreditsConsumed)
	})
	t.Run("BoughtMeanwhile", func(t *testing.T) {
		t.Parallel()
		w := newUploads(t)
		u := w.begin()
		fill(t, w, u, 15)
		w.purchase(25)
		fill(t, w, u, 2)
		require.ErrorIs(t, next(w, u), core.ErrInsufficientCredits)
		u.Discard(w.ctx)
		require.Empty(t, w.left())
	})
	t.Run("SpentMeanwhile", func(t *testing.T) {
		t.Parallel()
		w := newUploads(t)
		u := w.begin()
		fill(t, w, u, 15)
		w.initiate(1)
		_, err := w.run(u, "")
		require.ErrorIs(t, err, core.ErrInsufficientCredits, "the decision is that of the initiation")
		require.Empty(t, w.left())
	})
	t.Run("AcceptedPrice", func(t *testing.T) {
		t.Parallel()
		w := newUploads(t)
		most := core.Credits(25)
		u, err := w.svc.BeginUpload(w.ctx, admin, app.UploadRequest{Tenant: acme, Template: template, MaxPrice: &most})
		require.NoError(t, err)
		fill(t, w, u, 2)
		require.ErrorIs(t, next(w, u), core.ErrPriceChanged)
		u.Discard(w.ctx)
	})
	t.Run("RefusalIsKept", func(t *testing.T) {
		t.Parallel()
		w := newUploads(t)
		u, err := w.svc.BeginUpload(w.ctx, admin, app.UploadRequest{Tenant: acme, Template: template, IdempotencyKey: "once"})
		require.NoError(t, err)
		fill(t, w, u, 15)
		require.ErrorIs(t, next(w, u), core.ErrInsufficientCredits)
		u.Discard(w.ctx)
		w.purchase(1000)
		_, err = w.svc.BeginUpload(w.ctx, admin, app.UploadRequest{Tenant: acme, Template: template, IdempotencyKey: "once"})
		require.ErrorIs(t, err, core.ErrInsufficientCredits, "a late repeat of a refused request is not charged")
		_, err = w.svc.BeginUpload(w.ctx, admin, app.UploadRequest{Tenant: acme, Template: template, IdempotencyKey: "again"})
		require.NoError(t, err)
	})
	t.Run("FreeOfCharge", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, withPrice(0), withOptions(func(o *app.Options) { o.MaxFiles = 20 }))
		u, err := w.svc.BeginUpload(w.ctx, admin, app.UploadRequest{Tenant: acme, Template: template})
		require.NoError(t, err)
		for range 20 {
			_, err := u.Add(w.ctx, "f", strings.NewReader("content"))
			require.NoError(t, err)
		}
		_, err = u.Add(w.ctx, "f", strings.NewReader("content"))
		require.ErrorIs(t, err, core.ErrInvalidRequest)
		u.Discard(w.ctx)
	})
}
