package llm_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/llm"
	"github.com/redrive/redrive/cmd/server/fakellm"
	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// reports records what a batch reports.
type reports struct {
	mu      sync.Mutex
	results []core.FileResult
}

func (r *reports) report(_ context.Context, result core.FileResult) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.results = append(r.results, result)
	return nil
}

func (r *reports) indexes() []int {
	r.mu.Lock()
	defer r.mu.Unlock()
	var indexes []int
	for _, result := range r.results {
		indexes = append(indexes, result.Index)
	}
	slices.Sort(indexes)
	return indexes
}

func batchOf(n int) ports.Task {
	var files []ports.TaskFile
	for i := range n {
		files = append(files, textFile(i, fmt.Sprintf("f%d", i), fmt.Sprintf("text %d", i)))
	}
	return taskOf(files...)
}

func TestBatchReports(t *testing.T) {
	t.Parallel()
	t.Run("WhatIsFinalAndAnswersTheRest", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, fakellm.Rules(
			fakellm.Rule{File: "f1", Do: fakellm.RateLimit(0)},
			fakellm.Rule{File: "f2", Do: fakellm.Refuse("no")},
			fakellm.Rule{File: "f4", Do: fakellm.Unauthorized()},
		))
		var reported reports
		task := batchOf(6)
		task.Report = reported.report
		results, err := r.exec.Execute(t.Context(), task)
		require.NoError(t, err)
		require.Equal(t, []int{0, 2, 3, 5}, reported.indexes())
		require.Len(t, results, 2)
		require.Equal(t, 1, results[0].Index)
		require.Equal(t, core.OutcomeTransient, results[0].Outcome)
		require.Equal(t, 4, results[1].Index)
		require.Equal(t, core.OutcomeInterrupted, results[1].Outcome)
	})
	t.Run("AsSoonAsAFileEnded", func(t *testing.T) {
		t.Parallel()
		release := make(chan struct{})
		r := newRig(t, fakellm.Rules(fakellm.Rule{File: "f1", Do: fakellm.Hold(release, fakellm.OK())}))
		first := make(chan int, 2)
		task := batchOf(2)
		task.Report = func(_ context.Context, result core.FileResult) error {
			first <- result.Index
			return nil
		}
		done := make(chan error, 1)
		go func() {
			_, err := r.exec.Execute(t.Context(), task)
			done <- err
		}()
		require.Equal(t, 0, <-first, "while the other is still being worked on")
		close(release)
		require.NoError(t, <-done)
	})
	t.Run("StopsWhenTheReportFails", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, nil, func(c *llm.Config) { c.Concurrency = 1 })
		cancelled := errors.New("the run was cancelled")
		task := batchOf(20)
		task.Report = func(context.Context, core.FileResult) error { return cancelled }
		results, err := r.exec.Execute(t.Context(), task)
		require.ErrorIs(t, err, cancelled)
		require.Nil(t, results)
		require.Len(t, r.fake.Requests(), 1)
	})
}

// TestBatchHalts: after a fault of ours that every file would meet, a job makes no
// request for the rest of its files.
func TestBatchHalts(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		action fakellm.Action
		code   string
	}{
		"Credential": {fakellm.Unauthorized(), llm.FailureUnauthorized},
		"Money":      {fakellm.Status(402, ""), llm.FailureQuota},
		"Address":    {fakellm.Status(404, ""), llm.FailureMisconfigured},
		"Shape":      {fakellm.Status(400, "unsupported_parameter"), llm.FailureShape},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, fakellm.Always(tc.action))
			task := batchOf(10_000)
			results, err := r.exec.Execute(t.Context(), task)
			require.NoError(t, err)
			require.Len(t, results, 10_000)
			for i, got := range results {
				require.Equal(t, i, got.Index)
				require.Equal(t, core.OutcomeInterrupted, got.Outcome)
				require.Equal(t, tc.code, got.Failure.Code)
				require.Equal(t, results[0].Failure.Message, got.Failure.Message)
			}
			require.LessOrEqual(t, len(r.fake.Requests()), 2*llm.DefaultConcurrency)
			require.Equal(t, 1, strings.Count(r.log.String(), "level=WARN"), "the operator is warned once")
		})
	}
	t.Run("NotForOneOddFile", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, fakellm.Rules(fakellm.Rule{File: "f0", Do: fakellm.Status(403, "")}), func(c *llm.Config) { c.Concurrency = 1 })
		results, err := r.exec.Execute(t.Context(), batchOf(10))
		require.NoError(t, err)
		require.Equal(t, core.OutcomeInterrupted, results[0].Outcome)
		for _, got := range results[1:] {
			require.Equal(t, core.OutcomeCompleted, got.Outcome)
		}
	})
	t.Run("NotForAProviderThatIsDown", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, fakellm.Always(fakellm.Status(503, "")))
		results, err := r.exec.Execute(t.Context(), batchOf(10))
		require.NoError(t, err)
		require.Len(t, r.fake.Requests(), 10)
		require.Equal(t, core.OutcomeTransient, results[9].Outcome)
	})
	t.Run("NotForContentThatIsLost", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, nil)
		task := batchOf(10)
		for i := range 5 {
			task.Files[i].Open = func(context.Context) (io.ReadCloser, error) { return nil, errStorage }
		}
		results, err := r.exec.Execute(t.Context(), task)
		require.NoError(t, err)
		for i, got := range results {
			require.Equal(t, i >= 5, got.Outcome == core.OutcomeCompleted)
		}
	})
}
