package app_test

import (
	"context"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/ports"
)

func (w *world) try(content string) (core.FileResult, error) {
	return w.svc.TryTemplate(w.ctx, platform, acme, template, "letter.txt", []byte(content))
}

// A trial calls the executor as a worker does, and stores nothing.
func TestTryTemplate(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var tasks []ports.Task
	w.script.handle(func(ctx context.Context, task ports.Task) ([]core.FileResult, error) {
		tasks = append(tasks, task)
		content, err := task.Files[0].Open(ctx)
		require.NoError(t, err)
		text, err := io.ReadAll(content)
		require.NoError(t, err)
		return []core.FileResult{{Outcome: core.OutcomeCompleted, Output: strings.ToUpper(string(text))}}, nil
	})
	_, err := w.svc.CreateTemplate(w.ctx, platform, core.Template{ID: "draft", Tenant: acme, Name: "Draft", Instructions: "Shout.", CreditsPerRun: 3, Mode: core.ModeBatch})
	require.NoError(t, err)
	before := w.state()
	for _, id := range []core.TemplateID{template, "draft", "draft"} {
		r, err := w.svc.TryTemplate(w.ctx, platform, acme, id, "sub/letter.txt", []byte("hello"))
		require.NoError(t, err)
		require.Equal(t, core.FileResult{Outcome: core.OutcomeCompleted, Output: "HELLO"}, r)
	}
	require.Equal(t, before, w.state(), "a trial left something behind")
	require.Zero(t, w.queue.Len())
	require.Equal(t, "Shout.", tasks[1].Template.Instructions)
	require.Equal(t, acme, tasks[1].Job.Tenant)
	require.Equal(t, core.TemplateID("draft"), tasks[1].Job.Template)
	require.Equal(t, int64(5), tasks[1].Files[0].Size)
	require.Equal(t, "sub/letter.txt", tasks[1].Files[0].Name)
	require.NotEqual(t, tasks[1].Job.ID, tasks[2].Job.ID, "with the same ID a provider could answer the second trial with the first one's result")
}

func TestTryTemplateRefusals(t *testing.T) {
	t.Parallel()
	w := newUploads(t)
	w.script.handle(func(context.Context, ports.Task) ([]core.FileResult, error) {
		t.Error("the executor was asked")
		return nil, nil
	})
	try := func(actor core.Actor, id core.TemplateID, name, content string) func() error {
		return func() error {
			_, err := w.svc.TryTemplate(w.ctx, actor, acme, id, name, []byte(content))
			return err
		}
	}
	w.requireRefused(core.ErrWrongTenant, try(stranger, template, "a.txt", "x"))
	w.requireRefused(core.ErrRoleNotAllowed, try(admin, template, "a.txt", "x"))
	w.requireRefused(core.ErrTemplateNotFound, try(platform, "none", "a.txt", "x"))
	for name, content := range map[string]string{"blank.txt": " \n", "": "x", "../a.txt": "x"} {
		refusal := w.requireRefused(core.ErrInvalidRequest, try(platform, template, name, content))
		require.Equal(t, "file", refusal.Fields[0].Field)
	}
	refusal := w.requireRefused(core.ErrPayloadTooLarge, try(platform, template, "a.txt", strings.Repeat("x", 21)))
	require.Equal(t, []core.FieldError{{Field: "file", Message: "may have at most 20 bytes"}}, refusal.Fields)
	// Whether the tenant is suspended is looked at last, when nothing else is left to wait for.
	_, err := w.svc.SuspendTenant(w.ctx, platform, acme, "unpaid")
	require.NoError(t, err)
	w.requireRefused(core.ErrTenantSuspended, try(platform, template, "a.txt", "x"))
	w.requireRefused(core.ErrInvalidRequest, try(platform, template, "blank.txt", " \n"))
	_, err = w.svc.DeleteTemplate(w.ctx, platform, acme, template)
	require.NoError(t, err)
	w.requireRefused(core.ErrTemplateDeleted, try(platform, template, "a.txt", " "))
}

// The result of a trial is like that of a file, after the in-job retries.
func TestTryTemplateOutcomes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withOptions(func(o *app.Options) {
		o.Retry = core.RetryPolicy{MaxTries: 3, BaseDelay: time.Second, MaxDelay: time.Second, Budget: time.Hour}
	}))
	for letters, want := range map[string]core.FileResult{
		"c": resultOf(0, 'c'), "fc": resultOf(0, 'c'), "fffc": resultOf(0, 'f'), "e": resultOf(0, 'e'), "i": resultOf(0, 'i'),
	} {
		try := 0
		w.script.handle(func(context.Context, ports.Task) ([]core.FileResult, error) {
			try++
			return []core.FileResult{resultOf(0, letters[try-1])}, nil
		})
		r, err := w.try("x")
		require.NoError(t, err)
		require.Equal(t, want, r, letters)
	}
	w.script.handle(func(context.Context, ports.Task) ([]core.FileResult, error) { panic("broken") })
	r, err := w.try("x")
	require.NoError(t, err)
	require.Equal(t, core.FailurePanic, r.Failure.Code)

	// A provider that wants a longer wait than a trial may take is not waited for.
	began := w.clock.Now()
	w.script.handle(func(context.Context, ports.Task) ([]core.FileResult, error) {
		r := resultOf(0, 'f')
		r.RetryAfter = 10 * time.Minute
		return []core.FileResult{r}, nil
	})
	r, err = w.try("x")
	require.NoError(t, err)
	require.Equal(t, "rate_limited", r.Failure.Code)
	require.Equal(t, began, w.clock.Now())
}

func TestTryTemplateIsBounded(t *testing.T) {
	t.Parallel()
	t.Run("InTime", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, withOptions(func(o *app.Options) { o.TrialTimeout = time.Millisecond }))
		w.script.handle(func(ctx context.Context, _ ports.Task) ([]core.FileResult, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		})
		r, err := w.try("x")
		require.NoError(t, err)
		require.Equal(t, core.OutcomeTransient, r.Outcome)
		require.Equal(t, core.FailureTimeout, r.Failure.Code)
		require.Contains(t, r.Failure.Message, "within 1ms")
	})
	t.Run("InNumber", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		asked, release := make(chan struct{}, 2), make(chan struct{})
		w.script.handle(func(context.Context, ports.Task) ([]core.FileResult, error) {
			asked <- struct{}{}
			<-release
			return []core.FileResult{resultOf(0, 'c')}, nil
		})
		ended := make(chan error, 2)
		for range 2 {
			go func() {
				_, err := w.try("x")
				ended <- err
			}()
			<-asked
		}
		_, err := w.try("x")
		require.ErrorIs(t, err, app.ErrTrialsBusy)
		require.ErrorIs(t, err, ports.ErrUnavailable)
		close(release)
		require.NoError(t, <-ended)
		require.NoError(t, <-ended)
		_, err = w.try("x")
		require.NoError(t, err, "another trial may begin again")
	})
	t.Run("ByWhoAsks", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		ctx, stop := context.WithCancel(w.ctx)
		w.script.handle(func(ctx context.Context, _ ports.Task) ([]core.FileResult, error) {
			stop()
			<-ctx.Done()
			return nil, ctx.Err()
		})
		_, err := w.svc.TryTemplate(ctx, platform, acme, template, "a.txt", []byte("x"))
		require.ErrorIs(t, err, context.Canceled)
	})
}
