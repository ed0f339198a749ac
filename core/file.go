package core

import (
	"fmt"
	"time"
)

// FileRef is where the content of a file is stored. The Files adapter defines its format.
type FileRef string

// FileStatus is the status of one file of a run.
type FileStatus string

const (
	FilePending    FileStatus = "pending"    // paid for, not done: waiting, or interrupted by a fault of ours
	FileProcessing FileStatus = "processing" // a worker holds its lease
	FileCompleted  FileStatus = "completed"
	FileFailed     FileStatus = "failed" // transient; may be continued
	FileError      FileStatus = "error"  // permanent; never continued
)

// Valid reports whether the status is one of the five.
func (s FileStatus) Valid() bool {
	switch s {
	case FilePending, FileProcessing, FileCompleted, FileFailed, FileError:
		return true
	}
	return false
}

// Retriable reports whether a Continue runs the file again.
func (s FileStatus) Retriable() bool { return s == FileFailed || s == FilePending }

// Maxed reports whether the file blocks a Continue by rule 5 of spec 3: it failed, and it
// has used all the charged retries that the run allows. A pending file never blocks: it
// was paid for and has no result yet.
func (f File) Maxed(maxRetryCount int) bool {
	return f.Status == FileFailed && f.RetryAttempt-f.FreeRetries >= maxRetryCount
}

// CanBecome is the legal-transition table of files. Completed and error are
// final (I8).
func (s FileStatus) CanBecome(to FileStatus) bool {
	switch s {
	case FilePending:
		// To failed by a compensation; to pending, with a new epoch, by a Continue.
		return to == FileProcessing || to == FileFailed || to == FilePending
	case FileProcessing:
		return to == FileCompleted || to == FileFailed || to == FileError || to == FilePending
	case FileFailed:
		return to == FilePending
	case FileCompleted, FileError:
		return false
	}
	return false
}

// Failure says why a file is failed or error, or why it was interrupted and is
// pending, in a stable code and a sentence without secrets.
type Failure struct {
	Code    string
	Message string
}

// Failure codes that Redrive itself gives; executors add their own.
const (
	FailureDispatchFailed = "dispatch_failed"   // the initiation was refunded
	FailureNoResult       = "no_result"         // the executor answered, but not for this file
	FailureExecutor       = "executor_failed"   // the executor failed as a whole
	FailureOutputTooLarge = "output_too_large"  // the output is longer than app.Options.MaxOutputBytes
	FailurePanic          = "executor_panicked" // ours: the executor panicked
	FailureUnreadable     = "file_unreadable"   // ours: the stored content could not be read
	FailureNotRecorded    = "result_not_stored" // ours: the store can never hold this result
)

// Failure codes of temporary faults of a provider, for every executor that uses one. They
// say nothing about the file.
const (
	FailureRateLimited = "rate_limited"         // it receives too many requests
	FailureTimeout     = "timeout"              // no complete answer in time
	FailureUnavailable = "provider_unavailable" // it says that it cannot answer now
	FailureUnreachable = "provider_unreachable" // no connection, or it broke before an answer
)

// Failure codes of faults that only the operator can fix: the file stays pending
// (OutcomeInterrupted).
const (
	FailureUnauthorized   = "provider_unauthorized"    // our credential is refused
	FailureQuota          = "provider_quota_exhausted" // our account with the provider is out of money
	FailureMisconfigured  = "provider_misconfigured"   // our address or model is wrong
	FailureRequestRefused = "request_refused"          // the model accepts no request of this template's shape
)

// ProviderDown reports whether the failure is a temporary fault of the provider that
// other files would meet as well: it is better to wait for the provider than to try them.
// An executor that fails as a whole counts, because one without codes of its own reports
// it that way.
func (f Failure) ProviderDown() bool {
	switch f.Code {
	case FailureRateLimited, FailureTimeout, FailureUnavailable, FailureUnreachable, FailureExecutor:
		return true
	}
	return false
}

// Blocks reports whether the failure is a fault of ours that other files would meet as
// well, until the operator has fixed it. A panic or a lost content is a fault of ours
// too, but concerns one file.
func (f Failure) Blocks() bool {
	switch f.Code {
	case FailureUnauthorized, FailureQuota, FailureMisconfigured, FailureRequestRefused:
		return true
	}
	return false
}

// File is one input of a run with its own result.
type File struct {
	Index int // 0..N-1, fixed
	Name  string
	Ref   FileRef
	Size  int64 // bytes

	Status       FileStatus
	RetryAttempt int // Continues that ran this file again
	// FreeRetries counts the Continues that found it pending: faults of ours use up none
	// of a tenant's retries (rule 5).
	FreeRetries  int
	Epoch        Epoch
	LeaseUntil   time.Time // zero unless processing
	Redeliveries int       // leases that expired in the current attempt
	// PaidBy is the attempt whose charge covers the file. A free Continue does not
	// change it.
	PaidBy AttemptNumber

	Output string // completed only; reads of lists may leave it out or cut it, see OutputBytes
	// OutputBytes is the length of the whole output; filled in by the store.
	OutputBytes int64
	// Failure is why the file is failed or error, or pending because of an
	// interruption. A pending file that has one waits for a Continue.
	Failure Failure
}

// become moves the file along the transition table and keeps the run's tally.
func (f *File) become(to FileStatus, r *Run) error {
	if !f.Status.CanBecome(to) {
		return fmt.Errorf("file %d of run %s cannot go from %s to %s", f.Index, r.ID, f.Status, to)
	}
	r.Tally.add(f.Status, -1)
	r.Tally.add(to, 1)
	f.Status = to
	if to != FileProcessing {
		f.LeaseUntil = time.Time{}
	}
	return nil
}

// toPending makes the file pending under a new epoch, which no worker holds.
func (f *File) toPending(epoch Epoch, r *Run) error {
	if err := f.become(FilePending, r); err != nil {
		return err
	}
	f.Epoch = epoch
	return nil
}
