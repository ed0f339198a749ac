package embedder_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"example.com/embedder"

	"github.com/redrive/redrive/adapters/adaptertest/filestest"
	"github.com/redrive/redrive/adapters/adaptertest/queuetest"
	"github.com/redrive/redrive/adapters/adaptertest/storetest"
	"github.com/redrive/redrive/adapters/memory"
	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/core/app/worker"
	"github.com/redrive/redrive/ports"
)

func TestQueue(t *testing.T) {
	t.Parallel()
	queuetest.Run(t, func(*testing.T) queuetest.Subject {
		q := embedder.NewQueue()
		return queuetest.Subject{Queue: q, Feed: q, Close: q.Close, Skips: true, Fair: true}
	})
}

func TestFiles(t *testing.T) {
	t.Parallel()
	filestest.Run(t, func(*testing.T) filestest.Subject {
		bucket := &embedder.Bucket{}
		return filestest.Subject{
			Files: embedder.NewFiles(bucket),
			Count: func(*testing.T) int { return len(bucket.List("content/")) },
		}
	})
}

// A content that was changed in the bucket is an error at its end.
func TestFilesChanged(t *testing.T) {
	t.Parallel()
	bucket := &embedder.Bucket{}
	files := embedder.NewFiles(bucket)
	u, err := files.Begin(t.Context(), "acme", "run", time.Now())
	require.NoError(t, err)
	stored, err := u.Add(t.Context(), bytes.NewReader([]byte("as it was")))
	require.NoError(t, err)
	bucket.Put(bucket.List("content/")[0], []byte("as it is"))
	r, err := files.Open(t.Context(), "acme", stored.Ref)
	require.NoError(t, err)
	_, err = io.ReadAll(r)
	require.ErrorContains(t, err, "was changed")
}

func TestStore(t *testing.T) {
	t.Parallel()
	storetest.RunWith(t, func(t *testing.T) ports.Store {
		s := embedder.NewStore(memory.NewStore())
		t.Cleanup(func() { require.Zero(t, s.Counts().Open, "transactions that did not end") })
		return s
	}, storetest.Options{Rounds: 5, RaceRounds: 50, LargeRun: 2000, NoMoves: true})
}

// Redrive runs on the three: an upload, a failure, a Continue, a graceful stop.
func TestTogether(t *testing.T) {
	t.Parallel()
	log := slog.New(slog.DiscardHandler)
	store, queue := embedder.NewStore(memory.NewStore()), embedder.NewQueue()
	fails := true // read and written by one job at a time
	svc, err := app.New(app.Deps{
		Store: store, Queue: queue, Files: embedder.NewFiles(&embedder.Bucket{}), Log: log,
		Executor: ports.ExecutorFunc(func(_ context.Context, task ports.Task) ([]core.FileResult, error) {
			f := task.Files[0]
			if f.Index == 1 && fails {
				fails = false
				return []core.FileResult{{Index: f.Index, Outcome: core.OutcomeTransient, Failure: core.Failure{Code: "busy"}}}, nil
			}
			return []core.FileResult{{Index: f.Index, Outcome: core.OutcomeCompleted, Output: "done"}}, nil
		}),
	}, app.Options{Retry: core.RetryPolicy{MaxTries: 1}})
	require.NoError(t, err)
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	_, err = svc.CreateTenant(ctx, core.System, "acme", "Acme", 100)
	require.NoError(t, err)
	_, err = svc.CreateTemplate(ctx, core.System, core.Template{ID: "sum", Tenant: "acme", Name: "Sum", CreditsPerRun: 10, Mode: core.ModePerFile})
	require.NoError(t, err)
	_, err = svc.PublishTemplate(ctx, core.System, "acme", "sum")
	require.NoError(t, err)

	pool, err := worker.New(svc, queue, worker.Options{Concurrency: 4, Log: log})
	require.NoError(t, err)
	working, drain := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- pool.Run(working) }()

	ada := core.Actor{Subject: "ada", Tenant: "acme", Role: core.RoleCustomerAdmin}
	files, err := svc.BeginUpload(ctx, ada, app.UploadRequest{Tenant: "acme", Template: "sum"})
	require.NoError(t, err)
	for _, name := range []string{"a.txt", "b.txt", "c.txt"} {
		_, err := files.Add(ctx, name, bytes.NewReader([]byte("text of "+name)))
		require.NoError(t, err)
	}
	run, err := svc.Initiate(ctx, ada, app.InitiateRequest{Tenant: "acme", Template: "sum", Upload: files})
	require.NoError(t, err)
	closes := func(want core.RunStatus) {
		require.Eventually(t, func() bool {
			view, err := svc.Run(ctx, ada, run.ID)
			return err == nil && view.Run.Status == want
		}, time.Minute, 5*time.Millisecond)
	}
	closes(core.RunCompletedWithErrors)
	_, err = svc.RetryFailed(ctx, ada, run.ID, app.RetryRequest{})
	require.NoError(t, err)
	closes(core.RunCompleted)

	drain()
	require.NoError(t, <-ended)
	balance, err := svc.Balance(ctx, ada, "acme")
	require.NoError(t, err)
	require.Equal(t, core.Credits(60), balance.Available(), "three files and one again")
	storetest.CheckInvariants(t, store, "acme")
	require.Positive(t, store.Counts().Committed)
	require.Zero(t, store.Counts().Open)
}
