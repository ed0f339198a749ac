package faults

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/internal/sim/oracle"
	"github.com/redrive/redrive/internal/sim/trace"
	"github.com/redrive/redrive/ports"
)

// Executor answers for files as the scenario says, and fails as faults say.
type Executor struct {
	Env *Env
	// Outcome is what the scenario has for the nth execution of a file.
	Outcome func(job core.Job, index int, epoch core.Epoch, try int) core.Outcome
	// Reads says whether it reads the files.
	Reads bool
	// Early says whether it reports results of a job while it goes on.
	Early bool
	// Broken is what all files of a template fail with, by a fault of the operator's;
	// empty if it works.
	Broken func(core.TemplateID) string
	// Unstorable says whether the store can never hold the output of a file.
	Unstorable func(core.RunID, int) bool
	// Reported is told that a result was recorded while its job goes on.
	Reported func(core.RunID)
}

var _ ports.Executor = (*Executor)(nil)

// unstorable is an output that the store can never hold.
const unstorable = "\x00"

var errExecutor = errors.New("upstream answered 503")

// Execute implements ports.Executor.
func (x *Executor) Execute(ctx context.Context, task ports.Task) ([]core.FileResult, error) {
	e := x.Env
	e.outsideTx(trace.Execute)
	e.step(trace.Execute, task.Job.Tenant, task.Job.Run)
	all := func(o core.Outcome, code string) {
		for i := range task.Files {
			e.Oracle.Executed(uint8(e.Sched.Current()), task.Job, task.Files[i].Index, task.Try, o, code)
		}
	}
	e.Oracle.Instructed(task.Job, &task.Template)
	fault := e.fault(ExecuteFault, task.Job.Run)
	switch fault {
	case ExecuteError:
		all(core.OutcomeTransient, core.FailureExecutor)
		return nil, errExecutor
	case ExecutePanic:
		all(core.OutcomeInterrupted, core.FailurePanic)
		panic("the executor broke down")
	case ExecuteNothing:
		all(core.OutcomeTransient, core.FailureNoResult)
		return nil, nil
	case ExecuteHang:
		e.Sched.Sleep(e.Sched.Now.Add(2*e.Lease + time.Second))
	case ExecuteSlow:
		e.Sched.Sleep(e.Sched.Now.Add(e.Lease / 2))
	case ExecuteFenced:
		e.hang(task.Job, e.Sched.Now.Add(3*e.Lease))
	}
	results := make([]core.FileResult, 0, len(task.Files))
	answered := func(r *core.FileResult) {
		e.Oracle.Executed(uint8(e.Sched.Current()), task.Job, r.Index, task.Try, r.Outcome, r.Failure.Code)
	}
	ours := core.FileResult{Outcome: core.OutcomeInterrupted, Failure: core.Failure{Code: core.FailurePanic}}
	for i, f := range task.Files {
		if fault == ExecuteBreaks && i == len(task.Files)/2 {
			for _, r := range results { // they are lost with the panic
				ours.Index = r.Index
				answered(&ours)
			}
			task.Files = task.Files[i:]
			all(ours.Outcome, ours.Failure.Code)
			panic("the executor broke down")
		}
		r := x.result(ctx, task, f)
		if !x.Early || task.Report == nil || r.Outcome != core.OutcomeCompleted && r.Outcome != core.OutcomePermanent {
			results = append(results, r)
			continue
		}
		answered(&r)
		if err := task.Report(ctx, r); err != nil {
			return nil, err // its ctx has ended
		}
		if i > 0 { // the last one is kept back
			x.Reported(task.Job.Run)
		}
	}
	for i := range results {
		answered(&results[i])
	}
	return results, nil
}

// result is what the executor answers for one file.
func (x *Executor) result(ctx context.Context, task ports.Task, f ports.TaskFile) core.FileResult {
	r := core.FileResult{Index: f.Index, Outcome: x.Outcome(task.Job, f.Index, task.Job.Epoch, task.Try)}
	fault := "simulated"
	if x.Reads && !x.read(ctx, f) {
		r.Outcome, fault = core.OutcomeInterrupted, core.FailureUnreadable
	} else if broken := x.Broken(task.Template.ID); broken != "" {
		r.Outcome, fault = core.OutcomeInterrupted, broken
	}
	if r.Outcome == core.OutcomeCompleted {
		r.Output = "done"
		if x.Unstorable(task.Job.Run, f.Index) {
			r.Output = unstorable
		}
		return r
	}
	r.Failure = core.Failure{Code: fault, Message: "the scenario says so"}
	return r
}

// read reads a file, as an executor does before it works on it.
func (x *Executor) read(ctx context.Context, f ports.TaskFile) bool {
	content, err := f.Open(ctx)
	if err == nil {
		_, err = io.Copy(io.Discard, content)
		err = errors.Join(err, content.Close())
	}
	if err != nil {
		x.Env.Oracle.Met(oracle.FileUnreadable)
	}
	return err == nil
}
