package llm

import (
	"context"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// Executor is a ports.Executor, and a ports.Acceptor of the files that it takes. It
// may be used by many goroutines at once.
type Executor struct {
	cfg      Config
	client   *client
	refusals *refusals
	pilots   *pilots
	log      *failureLog
}

var (
	_ ports.Executor = (*Executor)(nil)
	_ ports.Acceptor = (*Executor)(nil)
)

// New checks the configuration, see Config.Validate, and gives an executor. It
// makes no request. Close it when done.
func New(cfg Config) (*Executor, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	return &Executor{cfg: cfg, client: newClient(cfg), refusals: newRefusals(), pilots: newPilots(), log: newFailureLog(cfg)}, nil
}

// Close closes idle connections. It does not end requests under way.
func (e *Executor) Close() {
	if e.client.own != nil {
		e.client.own.CloseIdleConnections()
	}
}

// Execute gives the results of the task's files, in their order, without those that it
// passed to task.Report. Its only errors are those of ctx and of Report; then it gives
// no results, and no request is left under way.
//
// After a fault of ours that every file would meet, such as a credential that is
// refused, the files that are left get the same result without a request.
func (e *Executor) Execute(ctx context.Context, task ports.Task) ([]core.FileResult, error) {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	results := make([]core.FileResult, len(task.Files))
	reported := make([]bool, len(task.Files))
	var halt halt
	forEach(ctx, len(task.Files), e.cfg.Concurrency, func(ctx context.Context, i int) {
		result, halted := halt.result()
		if !halted {
			result = e.process(ctx, task, task.Files[i])
			halt.note(result)
		}
		result.Index = task.Files[i].Index
		if task.Report == nil || !final(result) || ctx.Err() != nil {
			results[i] = result
			return
		}
		if err := task.Report(ctx, result); err != nil {
			stop(err)
			return
		}
		reported[i] = true
	})
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	answered := results[:0]
	for i, r := range results {
		if !reported[i] {
			answered = append(answered, r)
		}
	}
	return answered, nil
}

// final reports whether a result may be passed to Report.
func final(r core.FileResult) bool {
	return r.Outcome == core.OutcomeCompleted || r.Outcome == core.OutcomePermanent
}

// process works one file with at most one request. If ctx ends meanwhile, its result
// is to be ignored.
func (e *Executor) process(ctx context.Context, task ports.Task, file ports.TaskFile) (result core.FileResult) {
	text, failed := e.readText(ctx, task, file)
	if failed != nil {
		return *failed
	}
	after, refusal := e.pilots.before(ctx, keyOf(task))
	if refusal != nil {
		return *refusal
	}
	defer func() { after(result) }() // also after a panic: other files wait for it
	a := e.client.ask(ctx, task, file, text)
	if ctx.Err() != nil {
		return core.FileResult{}
	}
	v := classify(a, e.cfg.Now(), e.cfg.MaxRetryAfter)
	key := keyOf(task)
	switch {
	case v.Outcome == core.OutcomeCompleted:
		e.refusals.completed(key)
		return v.FileResult
	case v.unexplained && e.refusals.add(key, task.Job.Run, refusalDigest(v.fault, a.status), fileDigest(file.Name, text)):
		v.FileResult = ours(FailureShape)
	}
	v.Failure.Message = e.log.redact(v.Failure.Message)
	e.log.answered(ctx, task, file, a, v)
	return v.FileResult
}
