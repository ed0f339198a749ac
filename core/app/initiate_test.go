package app_test

import (
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/ports"
)

func TestInitiate(t *testing.T) {
	t.Parallel()

	t.Run("ChargesAndEnqueues", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		run, err := w.svc.Initiate(w.ctx, user, w.request(12))
		require.NoError(t, err)
		require.Equal(t, core.RunRunning, run.Status)
		require.Equal(t, 12, run.TotalJobs)
		require.Equal(t, 12, run.AttemptJobs)
		require.Equal(t, core.Credits(120), run.CreditsConsumed)
		w.requireBalance(0, 30)
		require.Equal(t, strings.Repeat("p", 12), w.statuses(run.ID))
		require.Equal(t, 12, w.queue.Len())
		require.Equal(t, core.JobID(run.ID+":file:11"), w.queue.Waiting()[11].ID)
		charge := w.entries()[2]
		require.Equal(t, core.EntryCharge, charge.Kind)
		require.Equal(t, core.Split{Monthly: 100, Purchased: 20}, charge.Amount)
		require.Equal(t, user, charge.Actor)
		require.Equal(t, run.ID, charge.Run)
		w.requireBooks()
	})

	t.Run("FreeTemplateWritesNoCharge", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, withPrice(0))
		run := w.closedRun("cf")
		require.Len(t, w.entries(), 2)
		w.continueRun(run.ID)
		require.Len(t, w.entries(), 2)
		w.requireBalance(100, 50)
	})

	t.Run("Refusals", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, withOptions(func(o *app.Options) { o.MaxFiles = 20 }))
		_, err := w.svc.CreateTemplate(w.ctx, platform, core.Template{ID: "draft", Tenant: acme, Name: "Draft", Mode: core.ModePerFile})
		require.NoError(t, err)
		for name, c := range map[string]struct {
			actor  core.Actor
			change func(*app.InitiateRequest)
			want   *core.Error
		}{
			"NoFiles":          {admin, func(r *app.InitiateRequest) { r.Files = nil }, core.ErrInvalidRequest},
			"TooManyFiles":     {admin, func(r *app.InitiateRequest) { r.Files = make([]core.NewFile, 21) }, core.ErrInvalidRequest},
			"FileWithoutName":  {admin, func(r *app.InitiateRequest) { r.Files[0].Name = " " }, core.ErrInvalidRequest},
			"MaxRetryCountLow": {admin, func(r *app.InitiateRequest) { n := 0; r.MaxRetryCount = &n }, core.ErrInvalidRequest},
			"MaxRetryCountBig": {admin, func(r *app.InitiateRequest) { n := 11; r.MaxRetryCount = &n }, core.ErrInvalidRequest},
			"BadKey":           {admin, func(r *app.InitiateRequest) { r.IdempotencyKey = "a b" }, core.ErrInvalidRequest},
			"OtherTenant":      {stranger, func(*app.InitiateRequest) {}, core.ErrWrongTenant},
			"UnknownRole":      {core.Actor{Tenant: acme, Role: "guest"}, func(*app.InitiateRequest) {}, core.ErrRoleNotAllowed},
			"UnknownTenant":    {platform, func(r *app.InitiateRequest) { r.Tenant = "unknown" }, core.ErrTenantNotFound},
			"UnknownTemplate":  {admin, func(r *app.InitiateRequest) { r.Template = "nothing" }, core.ErrTemplateNotFound},
			"DraftTemplate":    {admin, func(r *app.InitiateRequest) { r.Template = "draft" }, core.ErrTemplateNotPublished},
			"TooExpensive": {admin, func(r *app.InitiateRequest) {
				for range 15 {
					r.Files = append(r.Files, r.Files[0])
				}
			}, core.ErrInsufficientCredits},
		} {
			t.Run(name, func(t *testing.T) {
				w.t = t
				req := w.request(1)
				c.change(&req)
				w.requireRefused(c.want, func() error { _, err := w.svc.Initiate(w.ctx, c.actor, req); return err })
			})
		}
	})
}

func TestInitiateIdempotencyKey(t *testing.T) {
	t.Parallel()

	t.Run("RepeatReturnsTheFirstAnswer", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		req := w.request(2)
		req.IdempotencyKey = "k1"
		first, err := w.svc.Initiate(w.ctx, admin, req)
		require.NoError(t, err)
		w.workAll()
		before := w.state()
		again, err := w.svc.Initiate(w.ctx, admin, req)
		require.NoError(t, err)
		require.Equal(t, first, again)
		require.Equal(t, before, w.state())
	})

	t.Run("AnotherBodyIsRefused", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		req, two := w.request(2), 2
		req.IdempotencyKey = "k1"
		_, err := w.svc.Initiate(w.ctx, admin, req)
		require.NoError(t, err)
		for name, change := range map[string]func(*app.InitiateRequest){
			"FewerFiles":    func(r *app.InitiateRequest) { r.Files = r.Files[:1] },
			"OtherName":     func(r *app.InitiateRequest) { r.Files[0].Name = "other" },
			"OtherContent":  func(r *app.InitiateRequest) { r.Files[0].Ref, r.Files[0].Digest = r.Files[1].Ref, r.Files[1].Digest },
			"MaxRetryCount": func(r *app.InitiateRequest) { r.MaxRetryCount = &two },
		} {
			t.Run(name, func(t *testing.T) {
				w.t = t
				other := w.request(2)
				other.IdempotencyKey = "k1"
				change(&other)
				w.requireRefused(core.ErrIdempotencyKeyReused, func() error { _, err := w.svc.Initiate(w.ctx, admin, other); return err })
			})
		}
	})

	t.Run("ARefusalIsRemembered", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		req := w.request(16)
		req.IdempotencyKey = "k1"
		initiate := func() error { _, err := w.svc.Initiate(w.ctx, admin, req); return err }
		w.requireRefused(core.ErrInsufficientCredits, initiate)
		w.purchase(1000)
		w.requireRefused(core.ErrInsufficientCredits, initiate)
	})

	t.Run("KeysAreOfTheirTenantAlone", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		_, err := w.svc.CreateTemplate(w.ctx, platform, core.Template{ID: template, Tenant: globex, Name: "T", Mode: core.ModePerFile})
		require.NoError(t, err)
		_, err = w.svc.PublishTemplate(w.ctx, platform, globex, template)
		require.NoError(t, err)
		req := w.request(1)
		req.IdempotencyKey = "k1"
		ours, err := w.svc.Initiate(w.ctx, admin, req)
		require.NoError(t, err)
		req.Tenant = globex
		theirs, err := w.svc.Initiate(w.ctx, stranger, req)
		require.NoError(t, err)
		require.NotEqual(t, ours.ID, theirs.ID)
	})

	t.Run("TogetherMakeOneRun", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		req := w.request(2)
		req.IdempotencyKey = "k1"
		var together sync.WaitGroup
		ids := make(chan core.RunID, 30)
		for range cap(ids) {
			together.Go(func() {
				run, err := w.svc.Initiate(w.ctx, admin, req)
				if err == nil {
					ids <- run.ID
				}
			})
		}
		together.Wait()
		close(ids)
		seen := map[core.RunID]int{}
		for id := range ids {
			seen[id]++
		}
		require.Len(t, seen, 1)
		for _, n := range seen {
			require.Equal(t, 30, n)
		}
		w.requireBalance(80, 50)
	})
}

func TestRunsAreListedNewestFirst(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withPrice(1))
	var want []core.RunID
	for range 5 {
		want = append([]core.RunID{w.initiate(1).ID}, want...)
	}
	w.workAll()
	var got []core.RunID
	for filter := (ports.RunFilter{Limit: 2}); ; {
		page, err := w.svc.Runs(w.ctx, user, acme, filter)
		require.NoError(t, err)
		for _, v := range page {
			got = append(got, v.Run.ID)
			require.ErrorIs(t, v.Refusal, core.ErrNoErrorsToRetry)
			filter.Before = ports.RunCursor{CreatedAt: v.Run.CreatedAt, ID: v.Run.ID}
		}
		if len(page) < 2 {
			break
		}
	}
	require.Equal(t, want, got)
	none, err := w.svc.Runs(w.ctx, stranger, globex, ports.RunFilter{Limit: 10})
	require.NoError(t, err)
	require.Empty(t, none)
}
