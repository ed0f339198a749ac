package simulate_test

import (
	"context"
	"errors"
	"html"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/core/app/simulate"
	"github.com/redrive/redrive/ports"
)

// Options of a live server, whose distances are much longer than a world's own.
func TestOptionsOfAServer(t *testing.T) {
	t.Parallel()
	report, err := simulate.Run(t.Context(), simulate.Config{Options: app.DefaultOptions(), Seeds: 500})
	require.NoError(t, err)
	if report.Violation != nil {
		t.Fatal(report.Violation.Trace)
	}
	require.EqualValues(t, 500, report.Seeds)
	require.Positive(t, report.Situations["recovery took the lease of a worker"])
}

// optimist takes a queue for one that never fails.
type optimist struct{ ports.Queue }

func (q optimist) Enqueue(ctx context.Context, jobs []core.Job) (int, error) {
	if n, err := q.Queue.Enqueue(ctx, jobs); err == nil {
		return n, nil
	}
	return len(jobs), nil
}

// inventive makes up what an executor did not answer.
type inventive struct{ ports.Executor }

func (x inventive) Execute(ctx context.Context, task ports.Task) ([]core.FileResult, error) {
	results, err := x.Executor.Execute(ctx, task)
	if err != nil {
		results = nil
		for _, f := range task.Files {
			results = append(results, core.FileResult{Index: f.Index, Outcome: core.OutcomeCompleted, Output: "never mind"})
		}
	}
	return results, nil
}

func TestWrappersAreJudged(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		wrap  simulate.Wrap
		rules []string // those that the mistake breaks, whichever is met first
	}{
		"queue that never fails":     {simulate.Wrap{Queue: func(q ports.Queue) ports.Queue { return optimist{q} }}, []string{"dispatched"}},
		"executor that makes it up":  {simulate.Wrap{Executor: func(x ports.Executor) ports.Executor { return inventive{x} }}, []string{"I8"}},
		"store that repeats commits": {simulate.Wrap{Store: func(s ports.Store) ports.Store { return eager{s} }}, []string{"refusal", "explained", "refilled"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			config := simulate.Config{Wrap: tt.wrap, Seeds: 1000}
			report, err := simulate.Run(t.Context(), config)
			require.NoError(t, err)
			require.NotNil(t, report.Violation)
			require.Contains(t, tt.rules, report.Violation.Rule, report.Violation.Trace)
			require.Contains(t, report.Violation.Trace, report.Violation.Token)

			again, err := simulate.Replay(config, report.Violation.Token)
			require.NoError(t, err)
			require.Equal(t, report.Violation.Trace, again.Trace)
			require.False(t, again.Changed)
			right, err := simulate.Replay(simulate.Config{}, report.Violation.Token)
			require.NoError(t, err)
			require.Nil(t, right.Violation, "without the wrapper every rule holds")

			var page strings.Builder
			require.NoError(t, simulate.Explain(config, report.Violation.Token, &page))
			require.Contains(t, html.UnescapeString(page.String()), report.Violation.Words)
		})
	}
}

func TestDamagedTokenIsRefused(t *testing.T) {
	t.Parallel()
	_, err := simulate.Replay(simulate.Config{}, "sim3.x")
	require.ErrorIs(t, err, simulate.ErrToken)
	require.ErrorIs(t, simulate.Explain(simulate.Config{}, "", &strings.Builder{}), simulate.ErrToken)
}

func TestInterruptedSearchSaysSo(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := simulate.Run(ctx, simulate.Config{})
	require.True(t, errors.Is(err, context.Canceled), err)
}
