package app_test

import (
	"context"
	"fmt"
	"iter"
	"reflect"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/memory"
	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/ports"
)

// bounded is a target that looks at how large records are, and a source that looks at how much
// is asked of it at once.
type bounded struct {
	*memory.Store

	t       *testing.T
	largest *int
}

func (p bounded) Import(ctx context.Context, tenant core.TenantID, was, is ports.Move, records iter.Seq2[ports.Record, error]) error {
	return p.Store.Import(ctx, tenant, was, is, func(yield func(ports.Record, error) bool) {
		for r, err := range records {
			if v := reflect.ValueOf(r); v.Kind() == reflect.Slice {
				*p.largest = max(*p.largest, v.Len())
			}
			if a, is := r.(core.Attempt); is {
				*p.largest = max(*p.largest, len(a.Files))
			}
			if !yield(r, err) {
				return
			}
		}
	})
}

// View refuses what reads all files of a run, or of an attempt, at once.
func (p bounded) View(ctx context.Context, tenant core.TenantID, fn func(ports.Tx) error) error {
	return p.Store.View(ctx, tenant, func(tx ports.Tx) error { return fn(boundedTx{tx, p.t}) })
}

type boundedTx struct {
	ports.Tx

	t *testing.T
}

func (p boundedTx) Files() ports.RunFiles {
	p.t.Error("a move reads files of a run without a limit")
	return p.Tx.Files()
}

func (p boundedTx) Attempts() ports.Attempts {
	p.t.Error("a move reads attempts without a limit")
	return p.Tx.Attempts()
}

// However many files a run has, a move has a page of them in memory, on its way out, on its way
// in, and while it checks: of the files themselves, of an initiation's, and of a Continue's.
func TestMoveByPages(t *testing.T) {
	t.Parallel()
	const n = 2_500 // more than two pages of attempts
	ctx := t.Context()
	unlucky := ports.ExecutorFunc(func(_ context.Context, task ports.Task) ([]core.FileResult, error) {
		return []core.FileResult{{Index: task.Files[0].Index, Outcome: core.OutcomeTransient, Failure: core.Failure{Code: "rate_limited"}}}, nil
	})
	store, queue := memory.NewStore(), memory.NewQueue()
	svc, err := app.New(app.Deps{Store: store, Queue: queue, Files: memory.NewFiles(), Executor: unlucky}, app.Options{Retry: core.RetryPolicy{MaxTries: 1}})
	require.NoError(t, err)
	ada := setUp(ctx, svc)
	_, err = svc.PurchaseCredits(ctx, core.System, "acme", "many", 1_000_000)
	require.NoError(t, err)
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("%d.txt", i)
	}
	run, err := svc.Initiate(ctx, ada, app.InitiateRequest{Tenant: "acme", Template: "summarise", Upload: upload(ctx, svc, names...)})
	require.NoError(t, err)
	for queue.Len() > 0 {
		deliveries, err := queue.Receive(ctx, 1, ports.Skip{})
		require.NoError(t, err)
		require.NoError(t, svc.Work(ctx, deliveries[0]))
	}
	run, err = svc.RetryFailed(ctx, ada, run.ID, app.RetryRequest{})
	require.NoError(t, err)
	require.Equal(t, n, run.AttemptJobs)
	before := readAttempts(t, store, run.ID)

	largest := 0
	from, to := bounded{store, t, &largest}, bounded{memory.NewStore(), t, &largest}
	moved, err := (&app.Mover{From: from, To: to}).Tenant(ctx, "acme")
	require.NoError(t, err)
	require.Equal(t, 2, moved.Attempts)
	require.Equal(t, 2*n, moved.AttemptFiles)
	require.Positive(t, largest)
	require.LessOrEqual(t, largest, 1_000)
	require.Equal(t, before, readAttempts(t, to.Store, run.ID))
}

func readAttempts(t *testing.T, store *memory.Store, run core.RunID) (list []core.Attempt) {
	t.Helper()
	require.NoError(t, store.View(t.Context(), "acme", func(tx ports.Tx) (err error) {
		list, err = tx.Attempts().List(t.Context(), run)
		return err
	}))
	return list
}
