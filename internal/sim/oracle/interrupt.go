package oracle

import (
	"github.com/redrive/redrive/core"
)

// dispatchable checks that what a fault of ours interrupted is dispatched by a Continue
// alone, and that a job has no files but those that wait for it: one that had ended
// would keep the others from being claimed.
func (o *Oracle) dispatchable(r *run, j *core.Job) {
	for _, i := range j.Files {
		if i >= len(r.files) {
			continue
		}
		switch f := &r.files[i]; {
		case f.Status == core.FilePending && f.Epoch == j.Epoch && f.Failure.Code != "":
			o.fail(Refinement, "file %d of run %s waits for a Continue because of %s, and is dispatched", i, r.row.ID, f.Failure.Code)
		case f.Epoch < j.Epoch:
			o.fail(Refinement, "job %s of epoch %d is dispatched with file %d, which is %s in epoch %d", j.ID, j.Epoch, i, f.Status, f.Epoch)
		}
	}
}

// Looked is told which of these jobs a worker is told that it has lost, at the moment
// that this was looked at.
func (o *Oracle) Looked(jobs, lost []core.Job) {
	for i := range jobs {
		j := &jobs[i]
		told := false
		for n := range lost {
			told = told || lost[n].Run == j.Run && lost[n].ID == j.ID && lost[n].Epoch == j.Epoch
		}
		held := o.holds(j)
		switch {
		case told && held:
			o.fail(Fenced, "a worker is told that it has lost job %s of epoch %d, which it holds", j.ID, j.Epoch)
		case !told && !held:
			o.fail(Fenced, "a worker is not told that it has lost job %s of epoch %d", j.ID, j.Epoch)
		case told:
			o.met(LookedAndLost)
		}
	}
}

// holds reports whether a job is held by the worker that claimed it.
func (o *Oracle) holds(j *core.Job) bool {
	r := o.run(j.Run)
	if r == nil || r.row.Status != core.RunRunning {
		return false
	}
	processing := false
	for _, i := range j.Files {
		f := &r.files[i]
		if f.Epoch != j.Epoch || f.Status == core.FilePending {
			return false
		}
		processing = processing || f.Status == core.FileProcessing
	}
	return processing
}
