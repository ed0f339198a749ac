package core

import (
	"fmt"
	"slices"
	"time"
)

// Outcome is how the execution of one file ended.
type Outcome string

const (
	OutcomeCompleted Outcome = "completed"
	OutcomeTransient Outcome = "transient" // the provider's trouble in passing: the file becomes failed
	OutcomePermanent Outcome = "permanent" // because of this content: the file becomes error
	// OutcomeInterrupted is a fault of the operator's or of Redrive's own: the file
	// stays pending, paid for and free to continue, with the failure that says why.
	OutcomeInterrupted Outcome = "interrupted"
)

// Final reports whether the outcome is not tried again within the job: only trouble in
// passing is.
func (o Outcome) Final() bool {
	return o == OutcomeCompleted || o == OutcomePermanent || o == OutcomeInterrupted
}

// FileResult is what an executor answers for one file.
type FileResult struct {
	Index      int
	Outcome    Outcome
	Output     string        // completed
	Failure    Failure       // every outcome but completed
	RetryAfter time.Duration // transient: the provider's wish; 0 if it has none
}

// Settlement is a worked job with its results.
type Settlement struct {
	Job     Job
	Results []FileResult
	// Partial says that the job goes on: only these results are recorded, and the
	// job is not counted yet. They may be completed and permanent ones.
	Partial bool
}

// SettlePlan is everything that settling a group of one run's jobs writes.
type SettlePlan struct {
	Run     Run
	Files   []File
	Settled []Job // those whose results were recorded, in part or as a whole
	Dropped []Drop
	Closed  bool // this group completed the attempt and closed the run
}

// Changed reports whether there is anything to write.
func (p SettlePlan) Changed() bool { return len(p.Files) > 0 }

// Settle records results (spec 5). A result counts only for files that are
// still processing under the job's epoch, so it is recorded at most once, and
// the late result of a fenced worker changes nothing. A file for which the
// executor gave no result is failed. A job counts as completed if all its files
// completed, else as failed; the settlement that makes completed + failed reach
// the attempt's own number of jobs closes the run, with a status decided by all
// files of the run: INTERRUPTED if one was interrupted by a fault of ours, which
// Run.Failure then names.
//
// A partial settlement records some files of a job that goes on: the job is
// counted by the settlement of the rest. It fails if it leaves nothing of the run
// unfinished, which is a bug of the caller: then that would never come.
//
// files are the rows of these jobs' files as they are now, and for a partial
// settlement at least those that it has results for; the caller holds the run's lock.
func Settle(run Run, files []File, settlements []Settlement, now time.Time) (SettlePlan, error) {
	var rows fileRows
	rows.fill(files)
	p := SettlePlan{Run: run}
	for _, s := range settlements {
		if s.Partial {
			if err := p.settlePart(s, &rows); err != nil {
				return SettlePlan{}, err
			}
			continue
		}
		held, reason := matchHeld(p.Run, s.Job, &rows)
		if reason != "" {
			p.Dropped = append(p.Dropped, Drop{s.Job, reason})
			continue
		}
		if p.Files == nil {
			p.Files = make([]File, 0, len(files))
		}
		results := ResultsByIndex(s.Results)
		for _, f := range held.processing {
			if err := p.record(f, results(f.Index)); err != nil {
				return SettlePlan{}, err
			}
			held.allCompleted = held.allCompleted && f.Status == FileCompleted
		}
		if held.allCompleted {
			p.Run.CompletedJobs++
		} else {
			p.Run.FailedJobs++
		}
		p.Settled = append(p.Settled, s.Job)
		if p.Run.CompletedJobs+p.Run.FailedJobs == p.Run.AttemptJobs {
			if err := p.Run.closeByResults(now); err != nil {
				return SettlePlan{}, err
			}
			p.Closed = true
		}
	}
	return p, nil
}

// settlePart records the results of a partial settlement.
func (p *SettlePlan) settlePart(s Settlement, rows *fileRows) error {
	if reason := unfit(p.Run, s.Job); reason != "" {
		p.Dropped = append(p.Dropped, Drop{s.Job, reason})
		return nil
	}
	recorded := 0
	for _, r := range s.Results {
		f := rows.at(r.Index)
		_, ofJob := slices.BinarySearch(s.Job.Files, r.Index)
		if f == nil || !ofJob || f.Epoch != s.Job.Epoch || f.Status != FileProcessing {
			continue
		}
		if err := p.record(f, r); err != nil {
			return err
		}
		recorded++
	}
	if recorded == 0 {
		p.Dropped = append(p.Dropped, Drop{s.Job, DropLeaseLost})
		return nil
	}
	if p.Run.Tally.Unfinished == 0 {
		return fmt.Errorf("a partial settlement of job %s leaves nothing to settle the job by", s.Job.ID)
	}
	p.Settled = append(p.Settled, s.Job)
	return nil
}

// record takes a file's result into the plan.
func (p *SettlePlan) record(f *File, r FileResult) error {
	if err := f.record(r, &p.Run); err != nil {
		return err
	}
	p.Files = append(p.Files, *f)
	return nil
}

// ResultsByIndex finds a file's result among what an executor answered. A file
// that it left out gets a transient failure, so that it can be continued; of two
// answers for one file the first counts.
func ResultsByIndex(results []FileResult) func(index int) FileResult {
	var at map[int]int // made only if it is faster than looking through
	if len(results) > fewFiles {
		at = make(map[int]int, len(results))
		for i := len(results) - 1; i >= 0; i-- {
			at[results[i].Index] = i
		}
	}
	return func(index int) FileResult {
		if at != nil {
			if i, ok := at[index]; ok {
				return results[i]
			}
		} else if i := slices.IndexFunc(results, func(r FileResult) bool { return r.Index == index }); i >= 0 {
			return results[i]
		}
		return FileResult{
			Index: index, Outcome: OutcomeTransient,
			Failure: Failure{Code: FailureNoResult, Message: "the executor gave no result for this file"},
		}
	}
}

// record turns a result into the file's status. An outcome that this package
// does not know counts as transient: the user can continue it, nothing is lost. A
// file that was interrupted waits under an epoch of its own, which no job has: only a
// Continue dispatches it again.
func (f *File) record(r FileResult, run *Run) error {
	status := FileFailed
	switch r.Outcome {
	case OutcomeCompleted:
		status = FileCompleted
	case OutcomePermanent:
		status = FileError
	case OutcomeInterrupted:
		status = FilePending
	case OutcomeTransient:
	}
	if err := f.become(status, run); err != nil {
		return err
	}
	f.Output, f.Failure = "", Failure{}
	switch status {
	case FileCompleted:
		f.Output = r.Output
	case FilePending:
		f.Epoch = run.nextEpoch()
		f.Failure = r.Failure
		if f.Failure.Code == "" { // an executor of its own words; a reason there must be
			f.Failure = Failure{Code: FailureExecutor, Message: "the work was interrupted by the service"}
		}
		if run.Failure.Code == "" {
			run.Failure = f.Failure
		}
	case FileFailed, FileError, FileProcessing:
		f.Failure = r.Failure
	}
	f.OutputBytes = int64(len(f.Output))
	return nil
}
