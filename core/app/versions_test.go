package app_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/ports"
)

// Every attempt of a run works with the instructions of the initiation, also after the
// template was edited, and is charged at the present price.
func TestRunKeepsItsInstructions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	prompts := map[core.RunID][]string{}
	letter := byte('f')
	w.script.handle(func(_ context.Context, task ports.Task) ([]core.FileResult, error) {
		prompts[task.Job.Run] = append(prompts[task.Job.Run], task.Template.Instructions)
		return []core.FileResult{resultOf(task.Files[0].Index, letter)}, nil
	})
	edit := func(instructions string, price core.Credits) {
		_, err := w.svc.ChangeTemplate(w.ctx, platform, acme, template, core.TemplateChange{Instructions: &instructions, CreditsPerRun: &price})
		require.NoError(t, err)
	}
	run := w.initiate(2)
	edit("Translate.", 7) // while it runs
	w.workAll()
	w.continueRun(run.ID)
	edit("Rhyme.", 7)
	w.workAll()
	require.Equal(t, []string{"Summarise.", "Summarise.", "Summarise.", "Summarise."}, prompts[run.ID])
	w.requireBalance(66, 50) // 2 × 10, then 2 × 7

	later := w.initiate(1)
	_, err := w.svc.DeleteTemplate(w.ctx, platform, acme, template)
	require.NoError(t, err)
	w.workAll()
	require.Equal(t, []string{"Rhyme."}, prompts[later.ID])
	letter = 'c'
	w.continueRun(run.ID)
	w.workAll()
	require.Equal(t, "Summarise.", prompts[run.ID][5], "also when the template is deleted")

	versions, err := w.svc.TemplateVersions(w.ctx, user, acme, template, 0, 10)
	require.NoError(t, err)
	require.Len(t, versions, 3)
	require.Equal(t, "Rhyme.", versions[0].Instructions)
	require.Equal(t, core.TemplateVersion{Tenant: acme, Template: template, Number: 1, Instructions: "Summarise.", By: core.System, At: began}, versions[2])
	receipt, err := w.svc.Receipt(w.ctx, admin, run.ID)
	require.NoError(t, err)
	require.Equal(t, 1, receipt.TemplateVersion)
	w.requireBooks()

	_, err = w.svc.TemplateVersions(w.ctx, stranger, acme, template, 0, 10)
	require.ErrorIs(t, err, core.ErrWrongTenant)
	_, err = w.svc.TemplateVersions(w.ctx, user, acme, "nothing", 0, 10)
	require.ErrorIs(t, err, core.ErrTemplateNotFound)
}

// A price that was raised after it was shown is not charged. The refusal is stored with
// the accepted price.
func TestMaxPrice(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	most := func(c core.Credits) *core.Credits { return &c }
	run := w.closedRun("ff")
	raised := core.Credits(11)
	_, err := w.svc.ChangeTemplate(w.ctx, platform, acme, template, core.TemplateChange{CreditsPerRun: &raised})
	require.NoError(t, err)

	retry := func(r app.RetryRequest) error {
		_, err := w.svc.RetryFailed(w.ctx, admin, run.ID, r)
		return err
	}
	refusal := w.requireRefused(core.ErrPriceChanged, func() error { return retry(app.RetryRequest{MaxPrice: most(20)}) })
	require.Equal(t, core.Credits(22), refusal.Price)
	req := w.request(2)
	req.MaxPrice = most(20)
	refusal = w.requireRefused(core.ErrPriceChanged, func() error { _, err := w.svc.Initiate(w.ctx, admin, req); return err })
	require.Equal(t, core.Credits(22), refusal.Price)

	require.ErrorIs(t, retry(app.RetryRequest{IdempotencyKey: "k", MaxPrice: most(20)}), core.ErrPriceChanged)
	require.ErrorIs(t, retry(app.RetryRequest{IdempotencyKey: "k", MaxPrice: most(20)}), core.ErrPriceChanged)
	require.ErrorIs(t, retry(app.RetryRequest{IdempotencyKey: "k", MaxPrice: most(22)}), core.ErrIdempotencyKeyReused)
	require.NoError(t, retry(app.RetryRequest{MaxPrice: most(22)}))
	w.requireBalance(58, 50)
	w.requireBooks()
}

// A Continue of a run that was continued since its caller was shown it changes nothing,
// whether that attempt is running or has ended. A repeat gets the same refusal.
func TestContinueOfTheAttemptThatWasShown(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	run := w.closedRun("ff")
	retry := func(key core.Key, shown core.AttemptNumber) func() error {
		return func() error {
			_, err := w.svc.RetryFailed(w.ctx, admin, run.ID, app.RetryRequest{IdempotencyKey: key, Attempt: &shown})
			return err
		}
	}
	require.NoError(t, retry("first", 0)())
	require.NoError(t, retry("first", 0)(), "a repeat of the same form is answered as it was")
	refusal := w.requireRefused(core.ErrRunAlreadyRunning, retry("", 0))
	require.Contains(t, refusal.Message, "continued meanwhile")
	w.workAll()
	require.Equal(t, "ff", w.statuses(run.ID))
	refusal = w.requireRefused(core.ErrRunAlreadyRunning, retry("", 0))
	require.Contains(t, refusal.Message, "continued meanwhile")

	require.ErrorIs(t, retry("late", 0)(), core.ErrRunAlreadyRunning)
	require.ErrorIs(t, retry("late", 0)(), core.ErrRunAlreadyRunning, "the refusal is remembered")
	require.ErrorIs(t, retry("late", 1)(), core.ErrIdempotencyKeyReused, "another attempt is another request")
	require.NoError(t, retry("second", 1)())
	w.workAll()
	w.requireBalance(40, 50) // 3 × 2 × 10
	w.requireBooks()
}

// Of several callers who were shown the same attempt, one continues it.
func TestOneContinueOfAnAttempt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	run := w.closedRun("ff")
	shown := run.Attempt
	answers := make(chan error, 8)
	for range cap(answers) {
		go func() {
			_, err := w.svc.RetryFailed(w.ctx, admin, run.ID, app.RetryRequest{Attempt: &shown})
			answers <- err
		}()
	}
	accepted := 0
	for range cap(answers) {
		if err := <-answers; err == nil {
			accepted++
		} else {
			require.ErrorIs(t, err, core.ErrRunAlreadyRunning)
		}
	}
	require.Equal(t, 1, accepted)
	w.requireBalance(60, 50)
	w.requireBooks()
}
