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

// Execute runs a claimed job through the executor, outside any transaction. Files with a
// transient failure are executed again until they have another outcome or the policy
// gives up. The backoff is at least the wait that the provider asked for. Execute gives
// one result for each file of the job that was not recorded already, or ctx's error if
// ctx ended first; then nothing is to be settled.
//
// record settles the results of a job with several files as they arrive, as partial
// results; it may block, and fails with ctx's error. nil: all results are given at the end.
func (s *Service) Execute(ctx context.Context, c Claimed, record func(context.Context, core.FileResult) error) ([]core.FileResult, error) {
	ctx = ports.WithTrace(ctx, c.Job.Trace)
	return s.execute(ctx, ports.Task{Job: c.Job, Template: c.Template, Files: s.taskFiles(c)}, s.opts.Retry, record)
}

func (s *Service) execute(ctx context.Context, task ports.Task, policy core.RetryPolicy, record func(context.Context, core.FileResult) error) ([]core.FileResult, error) {
	done := make([]core.FileResult, 0, 1)
	var early *early
	if record != nil && len(task.Files) > 1 {
		early = newEarly(task.Files, record, s.bounds)
		task.Report = early.report
	}
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
			if early.has(f.Index) {
				continue
			}
			r := s.bounds(results(f.Index))
			// Another try after an output that was too long would cost as much again.
			if r.Outcome.Final() || r.Failure.Code == core.FailureOutputTooLarge {
				done = append(done, r)
				continue
			}
			again, failed, retryAfter = append(again, f), append(failed, r), max(retryAfter, r.RetryAfter)
		}
		if len(again) == 0 {
			return early.finish(done), nil
		}
		wait, ok := policy.Delay(try, s.clock.Now().Sub(began), retryAfter, s.opts.Roll())
		if !ok {
			return early.finish(append(done, failed...)), nil
		}
		if err := s.clock.Sleep(ctx, wait); err != nil {
			return nil, err
		}
		task.Files = again
	}
}

// bounds replaces a result whose output is too long by a failure: stores bound the size of
// a row, and memory holds many outputs at once.
func (s *Service) bounds(r core.FileResult) core.FileResult {
	if r.Outcome != core.OutcomeCompleted || len(r.Output) <= s.opts.MaxOutputBytes {
		return r
	}
	return core.FileResult{Index: r.Index, Outcome: core.OutcomeTransient, Failure: core.Failure{
		Code:    core.FailureOutputTooLarge,
		Message: fmt.Sprintf("the output has %d bytes, and at most %d are kept; ask for less in the template", len(r.Output), s.opts.MaxOutputBytes),
	}}
}

// executeOnce calls the executor. An error fails every file of the task. A panic is a
// fault of ours: it interrupts the files, and must not end the process with its other
// jobs. Texts of errors and panics are logged and not shown to the tenant, since they may
// contain anything.
func (s *Service) executeOnce(ctx context.Context, task ports.Task) (results []core.FileResult) {
	all := func(o core.Outcome, code, message string) []core.FileResult {
		failed := make([]core.FileResult, len(task.Files))
		for i, f := range task.Files {
			failed[i] = core.FileResult{Index: f.Index, Outcome: o, Failure: core.Failure{Code: code, Message: message}}
		}
		return failed
	}
	log := func() *slog.Logger { // made only if there is something to log
		log := s.log.With("tenant", task.Job.Tenant, "run", task.Job.Run, "job", task.Job.ID, "epoch", task.Job.Epoch, "try", task.Try)
		if trace := ports.TraceOf(ctx); trace != "" {
			log = log.With("trace_id", trace.ID())
		}
		return log
	}
	defer func() {
		if p := recover(); p != nil {
			s.stats.executorPanics.Add(1)
			if s.log.Enabled(ctx, slog.LevelError) {
				log().Error("executor panicked", "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			}
			results = all(core.OutcomeInterrupted, core.FailurePanic, "the service broke down on this file; it is free to continue")
		}
	}()
	results, err := s.executor.Execute(ctx, task)
	if err != nil {
		if !ended(ctx, err) {
			log().Warn("executor failed", "error", err)
		}
		return all(core.OutcomeTransient, core.FailureExecutor, "the executor could not do this job")
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
