package hostile

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
}

var _ ports.Executor = (*Executor)(nil)

var errExecutor = errors.New("upstream answered 503")

// Execute implements ports.Executor.
func (x *Executor) Execute(ctx context.Context, task ports.Task) ([]core.FileResult, error) {
	e := x.Env
	e.outsideTx(trace.Execute)
	e.step(trace.Execute, task.Job.Tenant, task.Job.Run)
	all := func(o core.Outcome) {
		for i := range task.Files {
			e.Oracle.Executed(uint8(e.Sched.Current()), task.Job, task.Files[i].Index, task.Try, o)
		}
	}
	switch e.fault(ExecuteFault, task.Job.Run) {
	case ExecuteError:
		all(core.OutcomeTransient)
		return nil, errExecutor
	case ExecutePanic:
		all(core.OutcomeTransient)
		panic("the executor broke down")
	case ExecuteNothing:
		all(core.OutcomeTransient)
		return nil, nil
	case ExecuteHang:
		e.Sched.Sleep(e.Sched.Now.Add(2*e.Lease + time.Second))
	case ExecuteSlow:
		e.Sched.Sleep(e.Sched.Now.Add(e.Lease / 2))
	case ExecuteFenced:
		me := e.Sched.Current()
		e.hung |= 1 << me
		e.Sched.Sleep(e.Sched.Now.Add(3 * e.Lease))
		e.hung &^= 1 << me
	}
	results := make([]core.FileResult, len(task.Files))
	for i, f := range task.Files {
		r := core.FileResult{Index: f.Index, Outcome: x.Outcome(task.Job, f.Index, task.Job.Epoch, task.Try)}
		if x.Reads && !x.read(ctx, f) {
			r.Outcome = core.OutcomeTransient
		}
		if r.Outcome == core.OutcomeCompleted {
			r.Output = "done"
		} else {
			r.Failure = core.Failure{Code: "simulated", Message: "the scenario says so"}
		}
		e.Oracle.Executed(uint8(e.Sched.Current()), task.Job, f.Index, task.Try, r.Outcome)
		results[i] = r
	}
	return results, nil
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
