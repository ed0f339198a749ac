package storetest

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/memory"
	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/ports"
)

// OutboxSubject is a store whose transactions send jobs, with the queue that they send to.
type OutboxSubject struct {
	Store ports.Store
	Queue ports.Queue
	Feed  ports.Feed
}

// RunOutbox is the suite for stores whose transactions carry jobs (ports.Outbox). newSubject
// gives an empty store and queue, and registers with t what has to be stopped.
func RunOutbox(t *testing.T, newSubject func(t *testing.T) OutboxSubject) {
	t.Helper()
	for name, test := range map[string]func(*testing.T, OutboxSubject){
		"SentWithTheCommit":    testSentWithTheCommit,
		"NothingAfterRollback": testNothingSentAfterRollback,
		"SentOnce":             testSentOnce,
		"OfStarts":             testStartsAreSent,
		"View":                 testViewSendsNothing,
		"NoJobs":               testNoJobsAreSent,
		"UseCases":             testUseCasesSend,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, newSubject(t))
		})
	}
}

// receive waits for messages until there are n jobs, and acks them.
func (s OutboxSubject) receive(t *testing.T, n int) (jobs []core.Job) {
	t.Helper()
	ctx := bounded(t)
	for len(jobs) < n {
		got, err := s.Feed.Receive(ctx, n, ports.Skip{})
		require.NoError(t, err)
		for _, d := range got {
			jobs = append(jobs, d.Jobs()...)
			require.NoError(t, d.Ack(ctx))
		}
	}
	return jobs
}

// requireNothing listens for a while.
func (s OutboxSubject) requireNothing(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 4*grace)
	defer cancel()
	got, err := s.Feed.Receive(ctx, 10, ports.Skip{})
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.Empty(t, got)
}

func outboxJobs(w *world, epoch core.Epoch, files ...int) []core.Job {
	jobs := make([]core.Job, len(files))
	for i, f := range files {
		jobs[i] = core.Job{Tenant: "acme", Run: w.running.ID, Epoch: epoch, ID: core.FileJobID(w.running.ID, f), Files: []int{f}, Template: w.running.Template}
	}
	return jobs
}

func sendJobs(ctx context.Context, t *testing.T, tx ports.Tx, jobs []core.Job) error {
	t.Helper()
	outbox := ports.OutboxOf(tx)
	require.NotNil(t, outbox)
	return outbox.Send(ctx, jobs)
}

func testSentWithTheCommit(t *testing.T, s OutboxSubject) {
	w := build(t, s.Store, "acme")
	jobs := outboxJobs(w, 5, 0, 1)
	commit(t, s.Store, "acme", func(ctx context.Context, tx ports.Tx) error {
		require.NoError(t, sendJobs(ctx, t, tx, jobs))
		s.requireNothing(t)
		return nil
	})
	require.Equal(t, jobs, s.receive(t, 2))
	s.requireNothing(t)
}

func testNothingSentAfterRollback(t *testing.T, s OutboxSubject) {
	w := build(t, s.Store, "acme")
	ctx := bounded(t)
	failed := errors.New("changed its mind")
	require.ErrorIs(t, s.Store.InTx(ctx, "acme", func(tx ports.Tx) error {
		require.NoError(t, sendJobs(ctx, t, tx, outboxJobs(w, 5, 0)))
		return failed
	}), failed)
	require.Panics(t, func() {
		_ = s.Store.InTx(ctx, "acme", func(tx ports.Tx) error {
			require.NoError(t, sendJobs(ctx, t, tx, outboxJobs(w, 5, 0)))
			panic("in the middle")
		})
	})
	s.requireNothing(t)
}

// What is outstanding already is not carried twice, whichever transaction sends it.
func testSentOnce(t *testing.T, s OutboxSubject) {
	w := build(t, s.Store, "acme")
	ctx := bounded(t)
	jobs := outboxJobs(w, 5, 0, 1)
	for range 2 {
		commit(t, s.Store, "acme", func(ctx context.Context, tx ports.Tx) error { return sendJobs(ctx, t, tx, jobs) })
	}
	n, err := s.Queue.Enqueue(ctx, jobs)
	require.NoError(t, err)
	require.Equal(t, 2, n)
	require.Equal(t, jobs, s.receive(t, 2))
	s.requireNothing(t)
	again := outboxJobs(w, 6, 0)
	commit(t, s.Store, "acme", func(ctx context.Context, tx ports.Tx) error { return sendJobs(ctx, t, tx, again) })
	require.Equal(t, again, s.receive(t, 1), "the same job under a new epoch")
}

func testStartsAreSent(t *testing.T, s OutboxSubject) {
	w := build(t, s.Store, "acme")
	first := w.startOf(w.newRun("first"), w.files, core.Split{})
	second := w.startOf(w.newRun("second"), w.files, core.Split{})
	first.Jobs, second.Jobs = outboxJobs(w, 5, 0), outboxJobs(w, 5, 1)
	for i := range first.Jobs {
		first.Jobs[i].Run, second.Jobs[i].Run = first.Run.ID, second.Run.ID
	}
	ctx := bounded(t)
	write := func(starts ...ports.Start) error {
		return s.Store.InTx(ctx, "acme", func(tx ports.Tx) error {
			_, err := tx.Starts().Write(ctx, starts, nil)
			return err
		})
	}
	taken := second
	taken.Run.ID, taken.Attempt.Run = w.closed.ID, w.closed.ID
	require.ErrorIs(t, write(first, taken), ports.ErrExists)
	s.requireNothing(t)
	require.NoError(t, write(first, second))
	require.ElementsMatch(t, append(first.Jobs, second.Jobs...), s.receive(t, 2))
}

func testViewSendsNothing(t *testing.T, s OutboxSubject) {
	w := build(t, s.Store, "acme")
	view(t, s.Store, "acme", func(ctx context.Context, tx ports.Tx) error {
		if outbox := ports.OutboxOf(tx); outbox != nil {
			require.ErrorIs(t, outbox.Send(ctx, outboxJobs(w, 5, 0)), ports.ErrReadOnly)
		}
		return nil
	})
	s.requireNothing(t)
}

func testNoJobsAreSent(t *testing.T, s OutboxSubject) {
	build(t, s.Store, "acme")
	commit(t, s.Store, "acme", func(ctx context.Context, tx ports.Tx) error { return sendJobs(ctx, t, tx, nil) })
	s.requireNothing(t)
}

// The use cases send what they begin by their transactions, and enqueue nothing.
func testUseCasesSend(t *testing.T, s OutboxSubject) {
	ctx := bounded(t)
	clock := memory.NewManualClock(time.Date(2026, time.March, 3, 12, 0, 0, 0, time.UTC))
	svc, err := app.New(app.Deps{
		Store: s.Store, Queue: refusingQueue{t}, Executor: ports.ExecutorFunc(nil), Files: memory.NewFiles(), Clock: clock,
		IDs: memory.NewSequence("run"), Log: slog.New(slog.DiscardHandler),
	}, app.Options{})
	require.NoError(t, err)
	_, err = svc.CreateTenant(ctx, core.System, "acme", "acme", 0)
	require.NoError(t, err)
	_, err = svc.CreateTemplate(ctx, core.System, core.Template{ID: "t", Tenant: "acme", Name: "t", CreditsPerRun: 1, Mode: core.ModePerFile})
	require.NoError(t, err)
	_, err = svc.PublishTemplate(ctx, core.System, "acme", "t")
	require.NoError(t, err)
	_, err = svc.PurchaseCredits(ctx, core.System, "acme", "first", 100)
	require.NoError(t, err)

	files := make([]core.NewFile, 3)
	for i := range files {
		files[i] = core.NewFile{Name: "file.txt", Ref: "a-reference-that-no-one-reads", Size: 7}
	}
	run, err := svc.Initiate(ctx, admin("acme"), app.InitiateRequest{Tenant: "acme", Template: "t", Files: files})
	require.NoError(t, err)
	require.Equal(t, core.DispatchConfirmed, run.Dispatch)
	jobs := s.receive(t, 3)
	claimed, _, err := svc.Claim(ctx, jobs, app.WaitForLock)
	require.NoError(t, err)
	require.Len(t, claimed, 3)

	require.NoError(t, svc.HandBack(ctx, jobs[:1]))
	back := s.receive(t, 1)
	require.Equal(t, jobs[0].ID, back[0].ID)
	require.Greater(t, back[0].Epoch, jobs[0].Epoch)
	claimed, _, err = svc.Claim(ctx, back, app.WaitForLock)
	require.NoError(t, err)
	require.Len(t, claimed, 1)

	clock.Advance(time.Hour) // all leases have run out
	_, err = svc.Recover(ctx, 10)
	require.NoError(t, err)
	again := s.receive(t, 3)
	claimed, _, err = svc.Claim(ctx, again, app.WaitForLock)
	require.NoError(t, err)
	require.Len(t, claimed, 3)
	settlements := make([]core.Settlement, len(again))
	for i, j := range again {
		result := core.FileResult{Index: j.Files[0], Outcome: core.OutcomeTransient, Failure: core.Failure{Code: "scripted"}}
		settlements[i] = core.Settlement{Job: j, Results: []core.FileResult{result}}
	}
	_, err = svc.Settle(ctx, settlements, app.WaitForLock)
	require.NoError(t, err)

	continued, err := svc.RetryFailed(ctx, admin("acme"), run.ID, app.RetryRequest{IdempotencyKey: "again"})
	require.NoError(t, err)
	require.Equal(t, core.DispatchConfirmed, continued.Dispatch)
	replayed, err := svc.RetryFailed(ctx, admin("acme"), run.ID, app.RetryRequest{IdempotencyKey: "again"})
	require.NoError(t, err)
	require.Equal(t, continued, replayed)
	require.Len(t, s.receive(t, 3), 3)
	s.requireNothing(t)
	differences, err := svc.CheckLedger(ctx, core.System, "acme")
	require.NoError(t, err)
	require.Empty(t, differences)
}

// refusingQueue is a queue that must not be asked.
type refusingQueue struct{ t *testing.T }

func (q refusingQueue) Enqueue(_ context.Context, jobs []core.Job) (int, error) {
	q.t.Errorf("%d jobs were enqueued beside the transaction", len(jobs))
	return len(jobs), nil
}
