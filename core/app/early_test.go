package app_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/internal/testkit/install"
	"github.com/redrive/redrive/ports"
)

// reports is an executor that reports every file of a task as completed while others are
// unfinished.
var reports = ports.ExecutorFunc(func(ctx context.Context, task ports.Task) ([]core.FileResult, error) {
	for _, f := range task.Files {
		if err := task.Report(ctx, core.FileResult{Index: f.Index, Outcome: core.OutcomeCompleted, Output: f.Name}); err != nil {
			return nil, err
		}
	}
	return nil, nil
})

func executing(t *testing.T, executor ports.Executor) (*app.Service, app.Claimed) {
	t.Helper()
	return install.Service(t, app.Deps{Executor: executor}, app.DefaultOptions()), app.Claimed{
		Job:   core.Job{Tenant: "acme", Run: "run", ID: "run", Epoch: 1, Files: []int{0, 1, 2}},
		Files: []core.File{{Index: 0, Name: "a"}, {Index: 1, Name: "b"}, {Index: 2, Name: "c"}},
	}
}

// If the store fails while a job goes on, no result is lost: it is recorded by the final
// settlement, and its file is not failed.
func TestResultThatIsNotRecordedEarlyIsSettledWithTheRest(t *testing.T) {
	t.Parallel()
	svc, claimed := executing(t, reports)
	var recorded []int
	results, err := svc.Execute(context.Background(), claimed, func(_ context.Context, r core.FileResult) error {
		if r.Index == 0 {
			return errors.New("database unreachable")
		}
		recorded = append(recorded, r.Index)
		return nil
	})
	require.NoError(t, err)
	require.Equal(t, []int{1, 2}, recorded)
	require.ElementsMatch(t, []core.FileResult{
		{Index: 0, Outcome: core.OutcomeCompleted, Output: "a"},
	}, results)
}

// An execution whose context ended gives nothing to settle.
func TestEndOfAnExecutionWhileResultsAreRecorded(t *testing.T) {
	t.Parallel()
	svc, claimed := executing(t, reports)
	ctx, cancel := context.WithCancel(context.Background())
	results, err := svc.Execute(ctx, claimed, func(ctx context.Context, _ core.FileResult) error {
		cancel()
		return ctx.Err()
	})
	require.ErrorIs(t, err, context.Canceled)
	require.Nil(t, results)
}
