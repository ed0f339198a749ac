package worker_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app/worker"
	"github.com/redrive/redrive/ports"
)

const batch = core.TemplateID("b")

// withBatch adds a template whose runs are one job each.
func (b *bench) withBatch() *bench {
	b.t.Helper()
	ctx := context.Background()
	for _, id := range []core.TenantID{tenant, globex} {
		_, err := b.svc.CreateTemplate(ctx, platform, core.Template{ID: batch, Tenant: id, Name: "B", CreditsPerRun: 1, Mode: core.ModeBatch})
		require.NoError(b.t, err)
		_, err = b.svc.PublishTemplate(ctx, platform, id, batch)
		require.NoError(b.t, err)
	}
	return b
}

// A batch with large outputs is recorded in bounded pieces, whether its executor reports
// them as they come or gives all at the end, and each result once.
func TestLargeBatchesAreRecordedInPieces(t *testing.T) {
	const files, size = 300, 1 << 20
	output := strings.Repeat("x", size)
	for name, early := range map[string]bool{"Reported": true, "AtTheEnd": false} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				b := newBench(t, ports.ExecutorFunc(func(ctx context.Context, task ports.Task) (left []core.FileResult, err error) {
					for _, f := range task.Files {
						r := core.FileResult{Index: f.Index, Outcome: core.OutcomeCompleted, Output: output}
						if !early {
							left = append(left, r)
						} else if err := task.Report(ctx, r); err != nil {
							return nil, err
						}
					}
					return left, nil
				}), withSystemClock).withBatch()
				s := b.watchSaves()
				id := b.initiateFor(tenant, batch, files)
				w, cancel, wait := b.launch(worker.Options{Concurrency: 2})
				b.sleepUntilClosed(id, time.Minute)
				require.Equal(t, core.RunCompleted, b.run(id).Status)
				require.Len(t, s.files, files)
				for index, times := range s.files {
					require.Equal(t, 1, times, index)
				}
				require.LessOrEqual(t, s.largest(), 4<<20)
				require.GreaterOrEqual(t, len(s.groups), files/4)
				cancel()
				require.NoError(t, wait())
				require.Zero(t, w.Stats().Unsaved)
			})
		})
	}
}

// Large outputs of single files share a transaction up to a bound.
func TestGroupsOfResultsAreBoundedInBytes(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		output := strings.Repeat("x", 1<<20)
		b := newBench(t, ports.ExecutorFunc(func(_ context.Context, task ports.Task) ([]core.FileResult, error) {
			return []core.FileResult{{Index: task.Files[0].Index, Outcome: core.OutcomeCompleted, Output: output}}, nil
		}), withSystemClock)
		s := b.watchSaves()
		id := b.initiate(100)
		b.launch(worker.Options{Concurrency: 100})
		b.sleepUntilClosed(id, time.Minute)
		require.Equal(t, core.RunCompleted, b.run(id).Status)
		require.LessOrEqual(t, s.largest(), 16<<20)
		require.Less(t, len(s.groups), 50, "they still share")
	})
}

// An executor of large outputs waits while they are not recorded: a store that is slow,
// or away, does not fill memory.
func TestAnExecutorWaitsForItsResultsToBeRecorded(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		const files = 100
		output := strings.Repeat("x", 1<<20)
		var reported atomic.Int64
		b := newBench(t, ports.ExecutorFunc(func(ctx context.Context, task ports.Task) ([]core.FileResult, error) {
			for _, f := range task.Files {
				if err := task.Report(ctx, core.FileResult{Index: f.Index, Outcome: core.OutcomeCompleted, Output: output}); err != nil {
					return nil, err
				}
				reported.Add(1)
			}
			return nil, nil
		}), withSystemClock).withBatch()
		s := b.watchSaves()
		stop := make(chan struct{})
		s.stop = stop
		ids := []core.RunID{b.initiateFor(tenant, batch, files), b.initiateFor(tenant, batch, files), b.initiateFor(globex, batch, files)}
		b.launch(worker.Options{Concurrency: 4})
		time.Sleep(time.Minute)
		synctest.Wait()
		require.InDelta(t, 15, reported.Load(), 1, "16 MiB of all of them together")
		close(stop)
		for _, id := range ids {
			b.sleepUntilClosed(id, time.Minute)
			require.Equal(t, core.RunCompleted, b.run(id).Status)
		}
	})
}

// What the store can never hold ends its file with a reason, instead of being worked for
// again and again, and costs no other file anything.
func TestAResultThatTheStoreNeverHolds(t *testing.T) {
	bad := func(f core.File) bool { return strings.Contains(f.Output, "poison") }
	output := func(index int) core.FileResult {
		r := core.FileResult{Index: index, Outcome: core.OutcomeCompleted, Output: fmt.Sprint("done ", index)}
		if index%5 == 2 {
			r.Output = "poison"
		}
		return r
	}
	for name, c := range map[string]struct {
		template core.TemplateID
		early    bool
	}{"FileByFile": {template, false}, "BatchReported": {batch, true}, "BatchAtTheEnd": {batch, false}} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				var executed atomic.Int64
				var log syncBuilder
				b := newBench(t, ports.ExecutorFunc(func(ctx context.Context, task ports.Task) (left []core.FileResult, err error) {
					for _, f := range task.Files {
						executed.Add(1)
						if r := output(f.Index); !c.early {
							left = append(left, r)
						} else if err := task.Report(ctx, r); err != nil {
							return nil, err
						}
					}
					return left, nil
				}), withSystemClock).withBatch()
				s := b.watchSaves()
				s.refuses = bad
				id := b.initiateFor(tenant, c.template, 23)
				w, cancel, wait := b.launch(worker.Options{Concurrency: 4, Log: slog.New(slog.NewTextHandler(&log, nil))})
				b.sleepUntilClosed(id, time.Minute)
				run := b.run(id)
				require.Equal(t, core.RunInterrupted, run.Status)
				require.Equal(t, core.FailureNotRecorded, run.Failure.Code)
				for _, f := range b.files(id) {
					if f.Index%5 == 2 {
						require.Equal(t, core.FilePending, f.Status, f.Index)
						require.Equal(t, core.FailureNotRecorded, f.Failure.Code)
					} else {
						require.Equal(t, core.FileCompleted, f.Status, f.Index)
					}
				}
				require.EqualValues(t, 23, executed.Load())
				require.Contains(t, log.String(), "the store can never hold these results")
				cancel()
				require.NoError(t, wait())
				require.Zero(t, w.Stats().Unsaved+w.Stats().Running)
			})
		})
	}
}

// Results that the store refuses together are recorded one by one: what is refused for
// its size alone loses nothing.
func TestResultsThatAreRefusedTogether(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		const files = 40
		output := strings.Repeat("x", 8<<10)
		b := newBench(t, ports.ExecutorFunc(func(_ context.Context, task ports.Task) ([]core.FileResult, error) {
			results := completed(task)
			for i := range results {
				results[i].Output = output
			}
			return results, nil
		}), withSystemClock).withBatch()
		s := b.watchSaves()
		s.mostTogether = 1
		ids := []core.RunID{b.initiateFor(tenant, batch, files), b.initiate(files)}
		w, _, _ := b.launch(worker.Options{Concurrency: 100})
		for _, id := range ids {
			b.sleepUntilClosed(id, time.Minute)
			require.Equal(t, core.RunCompleted, b.run(id).Status)
		}
		require.EqualValues(t, files+1, w.Stats().Settled)
	})
}

// What a batch has answered is kept also when the rest of it cannot be done: by a fault of
// ours in the middle, a panic, or a stop of the worker.
func TestABatchThatEndsInTheMiddleKeepsWhatItAnswered(t *testing.T) {
	const files, answeredOf = 10, 6
	for name, c := range map[string]struct {
		end     func(context.Context, ports.Task) ([]core.FileResult, error)
		failure string
	}{
		"TheKeyIsWithdrawn": {func(_ context.Context, task ports.Task) ([]core.FileResult, error) {
			return interrupted(task, core.FailureUnauthorized)[answeredOf:], nil
		}, core.FailureUnauthorized},
		"APanic": {func(context.Context, ports.Task) ([]core.FileResult, error) { panic("a bug") }, core.FailurePanic},
		"AStop": {func(ctx context.Context, _ ports.Task) ([]core.FileResult, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				var well atomic.Bool
				var calls atomic.Int64
				b := newBench(t, ports.ExecutorFunc(func(ctx context.Context, task ports.Task) ([]core.FileResult, error) {
					for n, f := range task.Files {
						if n == answeredOf && !well.Load() {
							return c.end(ctx, task)
						}
						calls.Add(1)
						if err := task.Report(ctx, core.FileResult{Index: f.Index, Outcome: core.OutcomeCompleted, Output: "done"}); err != nil {
							return nil, err
						}
					}
					return nil, nil
				}), withSystemClock).withBatch()
				id := b.initiateFor(tenant, batch, files)
				w, cancel, wait := b.launch(worker.Options{Concurrency: 1, DrainTimeout: -1})
				time.Sleep(time.Second)
				if c.failure == "" {
					cancel()
					require.NoError(t, wait())
					require.Equal(t, core.RunRunning, b.run(id).Status)
					require.Equal(t, []int{6, 7, 8, 9}, b.queue.Waiting()[0].Files)
				} else {
					b.sleepUntilClosed(id, time.Minute)
					require.Equal(t, core.RunInterrupted, b.run(id).Status)
					require.Equal(t, c.failure, b.run(id).Failure.Code)
				}
				require.Equal(t, map[core.FileStatus]int{core.FileCompleted: answeredOf, core.FilePending: files - answeredOf}, tally(b.files(id)))
				require.Zero(t, w.Stats().BreakerOpened)
				well.Store(true)
				if c.failure == "" {
					b.launch(worker.Options{Concurrency: 1})
				} else {
					b.proceed(id)
				}
				b.sleepUntilClosed(id, time.Minute)
				require.Equal(t, core.RunCompleted, b.run(id).Status)
				require.EqualValues(t, files, calls.Load(), "nothing is done twice")
			})
		})
	}
}

// A batch that meets a wrong key at once is handed back, and its run interrupted in the end.
func TestABatchWithAWrongKey(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		a := newAccount(always(core.FailureUnauthorized))
		b := newBench(t, a, withSystemClock).withBatch()
		id := b.initiateFor(tenant, batch, 50)
		b.launch(worker.Options{Concurrency: 4, Breaker: oneEndpoint})
		require.Less(t, b.sleepUntilClosed(id, 2*time.Minute), time.Minute)
		require.LessOrEqual(t, a.called(), 6)
		require.Equal(t, core.FailureUnauthorized, b.run(id).Failure.Code)
		a.set(always(""))
		b.proceed(id)
		b.sleepUntilClosed(id, time.Minute)
		require.Equal(t, core.RunCompleted, b.run(id).Status)
	})
}
