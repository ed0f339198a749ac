package core

import (
	"fmt"
	"time"
)

// NewFile is a stored file for a new run.
type NewFile struct {
	Name string
	Ref  FileRef
	Size int64 // bytes
	// Digest is the SHA-256 of the content in hex, by which a repeat of a request is
	// recognized; empty if Ref depends on the content.
	Digest string
}

// NewRun is the request of an initiation.
type NewRun struct {
	ID            RunID
	Files         []NewFile
	MaxRetryCount *int     // nil: DefaultMaxRetryCount
	MaxFiles      int      // the configured limit; 0: DefaultMaxFiles
	MaxPrice      *Credits // the highest price that the caller accepts; nil: any
	By            Actor
}

// RunPlan is everything that an initiation writes.
type RunPlan struct {
	Run     Run
	Files   []File
	Attempt Attempt
	Charge  []Entry // one charge, or none if the price is 0
	Jobs    []Job   // to be enqueued after the commit
}

// PlanRun decides an initiation (spec 2): the template must be published and
// not deleted, 1..MaxFiles files, maxRetryCount 1..10, and the whole price
// available. It fails with CodeInvalidRequest, CodeTemplateNotPublished,
// CodeTemplateDeleted, CodePriceChanged, CodeTenantSuspended, CodeInsufficientCredits or
// CodeCreditsOutOfRange.
func PlanRun(req NewRun, t Template, balance Balance, now time.Time) (RunPlan, error) {
	maxRetries, err := CheckNewRun(req)
	if err != nil {
		return RunPlan{}, err
	}
	if err := t.usable(); err != nil {
		return RunPlan{}, err
	}
	price, err := t.CreditsPerRun.Times(len(req.Files))
	if err != nil {
		return RunPlan{}, err
	}
	if err := accepted(price, req.MaxPrice); err != nil {
		return RunPlan{}, err
	}
	if err := balance.mayStart(); err != nil {
		return RunPlan{}, err
	}

	r := Run{
		ID: req.ID, Tenant: t.Tenant, Template: t.ID, TemplateVersion: t.Version, Mode: t.Mode,
		Status: RunRunning, CreatedBy: req.By, CreatedAt: now,
		MaxRetryCount: maxRetries, Dispatch: DispatchUnconfirmed,
		RecoverAt: now, DispatchedAt: now,
		Tally: Tally{Unfinished: len(req.Files)},
	}
	epoch := r.nextEpoch()
	files := make([]File, len(req.Files))
	attemptFiles := make([]AttemptFile, len(req.Files))
	for i, f := range req.Files {
		files[i] = File{Index: i, Name: f.Name, Ref: f.Ref, Size: f.Size, Status: FilePending, Epoch: epoch}
		attemptFiles[i] = AttemptFile{Index: i, Charged: price > 0}
	}
	jobs, err := JobsOf(r, files)
	if err != nil {
		return RunPlan{}, err
	}
	r.TotalJobs, r.AttemptJobs = len(jobs), len(jobs)

	charge, entries, err := chargeFor(r, 0, price, balance, req.By, now)
	if err != nil {
		return RunPlan{}, err
	}
	if err := r.addCharge(charge.Amount); err != nil {
		return RunPlan{}, err
	}
	return RunPlan{
		Run: r, Files: files, Jobs: jobs, Charge: entries,
		Attempt: Attempt{
			Tenant: r.Tenant, Run: r.ID, Number: 0, Epoch: epoch, Jobs: len(jobs),
			RequestedBy: req.By, RequestedAt: now,
			Price: t.CreditsPerRun, Charge: charge, Files: attemptFiles,
		},
	}, nil
}

// CheckNewRun checks what can be checked without a store, so that a request
// that cannot succeed is refused before its files are kept. It gives the
// maxRetryCount that the run will have.
func CheckNewRun(req NewRun) (maxRetryCount int, err error) {
	var wrong []FieldError
	limit := req.MaxFiles
	if limit == 0 {
		limit = DefaultMaxFiles
	}
	if n := len(req.Files); n < 1 || n > limit {
		wrong = append(wrong, FieldError{"files", fmt.Sprintf("must be 1 to %d files, not %d", limit, n)})
	}
	for i, f := range req.Files {
		problem := fileNameProblem(f.Name)
		if problem == "" {
			continue
		}
		wrong = append(wrong, FieldError{fmt.Sprintf("files[%d].name", i), problem})
		if len(wrong) >= 20 {
			break // a list of thousands is of no use
		}
	}
	maxRetryCount = DefaultMaxRetryCount
	if req.MaxRetryCount != nil {
		maxRetryCount = *req.MaxRetryCount
		if maxRetryCount < 1 || maxRetryCount > MaxMaxRetryCount {
			wrong = append(wrong, FieldError{"maxRetryCount", fmt.Sprintf("must be 1 to %d", MaxMaxRetryCount)})
		}
	}
	return maxRetryCount, Invalid(wrong...)
}
