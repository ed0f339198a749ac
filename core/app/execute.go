package app

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// Execute runs a claimed job through the executor, outside any transaction.
// Files that failed transiently are executed again, after a backoff that honours
// what the provider asked for, until they end otherwise or the policy gives up.
// It gives one result for each file of the job, or ctx's error if it ended first;
// then nothing is to be settled.
func (s *Service) Execute(ctx context.Context, c Claimed) ([]core.FileResult, error) {
	task := ports.Task{Job: c.Job, Template: c.Template, Files: s.taskFiles(c)}
	done := make([]core.FileResult, 0, len(task.Files))
	began := s.clock.Now()
	for try := 1; ; try++ {
		task.Try = try
		results := core.ResultsByIndex(s.executeOnce(ctx, task))
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		var again []ports.TaskFile
		var failed []core.FileResult
		var retryAfter time.Duration
		for _, f := range task.Files {
			r := results(f.Index)
			if r.Outcome == core.OutcomeCompleted || r.Outcome == core.OutcomePermanent {
				done = append(done, r)
				continue
			}
			again, failed, retryAfter = append(again, f), append(failed, r), max(retryAfter, r.RetryAfter)
		}
		if len(again) == 0 {
			return done, nil
		}
		wait, ok := s.opts.Retry.Delay(try, s.clock.Now().Sub(began), retryAfter, s.opts.Roll())
		if !ok {
			return append(done, failed...), nil
		}
		if err := s.clock.Sleep(ctx, wait); err != nil {
			return nil, err
		}
		task.Files = again
	}
}

func transient(index int, code, message string) core.FileResult {
	return core.FileResult{Index: index, Outcome: core.OutcomeTransient, Failure: core.Failure{Code: code, Message: message}}
}

// executeOnce calls the executor. An error, or a panic, which must not take the
// other jobs of the process down, fails every file of the task; what it says goes
// to the log and not to the tenant, since it may hold anything.
func (s *Service) executeOnce(ctx context.Context, task ports.Task) (results []core.FileResult) {
	failAll := func(code, message string) []core.FileResult {
		failed := make([]core.FileResult, len(task.Files))
		for i, f := range task.Files {
			failed[i] = transient(f.Index, code, message)
		}
		return failed
	}
	log := func() *slog.Logger { // made only if there is something to log
		return s.log.With("tenant", task.Job.Tenant, "run", task.Job.Run, "job", task.Job.ID, "epoch", task.Job.Epoch, "try", task.Try)
	}
	defer func() {
		if p := recover(); p != nil {
			s.stats.executorPanics.Add(1)
			if s.log.Enabled(ctx, slog.LevelError) {
				log().Error("executor panicked", "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			}
			results = failAll(core.FailurePanic, "the executor broke down on this job")
		}
	}()
	results, err := s.executor.Execute(ctx, task)
	if err != nil {
		if !ended(ctx, err) {
			log().Warn("executor failed", "error", err)
		}
		return failAll(core.FailureExecutor, "the executor could not do this job")
	}
	return results
}

func (s *Service) taskFiles(c Claimed) []ports.TaskFile {
	files := make([]ports.TaskFile, len(c.Files))
	tenant := c.Job.Tenant
	for i := range c.Files {
		f := &c.Files[i]
		ref := f.Ref
		files[i] = ports.TaskFile{
			Index: f.Index, Name: f.Name, Size: f.Size,
			Open: func(ctx context.Context) (io.ReadCloser, error) { return s.files.Open(ctx, tenant, ref) },
		}
	}
	return files
}
