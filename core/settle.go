package core

import (
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
	Settled []Job
	Dropped []Drop
	Closed  bool // this group completed the attempt and closed the run
}

// Changed reports whether there is anything to write.
func (p SettlePlan) Changed() bool { return len(p.Settled) > 0 }

// Settle records results (spec 5). A result counts only for files that are
// still processing under the job's epoch, so it is recorded at most once, and
// the late result of a fenced worker changes nothing. A file for which the
// executor gave no result is failed. A job counts as completed if all its files
// completed, else as failed; the settlement that makes completed + failed reach
// the attempt's own number of jobs closes the run, with a status decided by all
// files of the run.
//
// files are the rows of these jobs' files as they are now; the caller holds the
// run's lock.
func Settle(run Run, files []File, settlements []Settlement, now time.Time) (SettlePlan, error) {
	var rows fileRows
	rows.fill(files)
	p := SettlePlan{Run: run}
	for _, s := range settlements {
		held, reason := match(p.Run, s.Job, &rows, FileProcessing)
		if reason != "" {
			p.Dropped = append(p.Dropped, Drop{s.Job, reason})
			continue
		}
		if p.Files == nil {
			p.Files = make([]File, 0, len(files))
		}
		allCompleted := true
		results := ResultsByIndex(s.Results)
		for _, f := range held {
			if err := f.record(results(f.Index), &p.Run); err != nil {
				return SettlePlan{}, err
			}
			allCompleted = allCompleted && f.Status == FileCompleted
			p.Files = append(p.Files, *f)
		}
		if allCompleted {
			p.Run.CompletedJobs++
		} else {
			p.Run.FailedJobs++
		}
		p.Settled = append(p.Settled, s.Job)
		if p.Run.CompletedJobs+p.Run.FailedJobs == p.Run.AttemptJobs {
			status, err := closingStatus(p.Run.Tally)
			if err != nil {
				return SettlePlan{}, err
			}
			if err := p.Run.close(status, ReasonNone, now); err != nil {
				return SettlePlan{}, err
			}
			p.Closed = true
		}
	}
	return p, nil
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
// does not know counts as transient: the user can continue it, nothing is lost.
func (f *File) record(r FileResult, run *Run) error {
	status := FileFailed
	switch r.Outcome {
	case OutcomeCompleted:
		status = FileCompleted
	case OutcomePermanent:
		status = FileError
	case OutcomeTransient:
	}
	if err := f.become(status, run); err != nil {
		return err
	}
	f.Output, f.Failure = "", Failure{}
	if status == FileCompleted {
		f.Output = r.Output
	} else {
		f.Failure = r.Failure
	}
	return nil
}
