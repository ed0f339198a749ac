package app

import (
	"maps"
	"sync"

	"github.com/redrive/redrive/core"
)

// Outcomes counts what became of runs, files and credits. The numbers only grow and are
// those of this Service since it was made, not of the whole installation: what a commit
// whose outcome is not known did is not in them. The ledger is what tells of money.
type Outcomes struct {
	Initiated, Continued int64 // attempts that began
	Runs                 map[RunOutcome]int64
	Files                map[FileOutcome]int64
	ClaimedFiles         int64
	CreditsCharged       int64
	CreditsRefunded      int64 // because enqueueing failed
}

// RunOutcome is how an attempt closed.
type RunOutcome struct {
	Status core.RunStatus
	Reason core.CloseReason // empty if its results decided it
}

// FileOutcome is how a file ended.
type FileOutcome struct {
	Status core.FileStatus // completed, failed, error; pending: interrupted by a fault of ours
	Reason string          // the failure's code; empty if it is completed
}

// maxFileReasons bounds the reasons that are told apart: executors make up their codes.
const maxFileReasons = 100

// reasonOther is that of the files whose reasons are beyond the bound.
const reasonOther = "other"

// outcomes are Outcomes while they are counted.
type outcomes struct {
	mu sync.Mutex
	Outcomes
}

// Outcomes reads the counts.
func (s *Service) Outcomes() Outcomes {
	o := &s.outcomes
	o.mu.Lock()
	defer o.mu.Unlock()
	read := o.Outcomes
	read.Runs, read.Files = maps.Clone(o.Runs), maps.Clone(o.Files)
	return read
}

// began counts an attempt with its charge.
func (o *outcomes) began(a core.Attempt) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if a.Number == 0 {
		o.Initiated++
	} else {
		o.Continued++
	}
	o.CreditsCharged += int64(a.Charge.Amount.Total())
}

// closed counts a run that closed.
func (o *outcomes) closed(status core.RunStatus, reason core.CloseReason) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.close(status, reason)
}

func (o *outcomes) close(status core.RunStatus, reason core.CloseReason) {
	if o.Runs == nil {
		o.Runs = map[RunOutcome]int64{}
	}
	o.Runs[RunOutcome{status, reason}]++
}

// undone counts an attempt that was compensated.
func (o *outcomes) undone(initiation bool, refund core.Credits, run core.Run) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.CreditsRefunded += int64(refund)
	if initiation {
		o.close(run.Status, run.Reason)
	}
}

// claimed counts files that are being worked on.
func (o *outcomes) claimed(all []Claimed) {
	n := 0
	for i := range all {
		n += len(all[i].Files)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ClaimedFiles += int64(n)
}

// settled counts what became of the jobs of one run.
func (o *outcomes) settled(s settled) {
	if len(s.files) == 0 && s.closed == nil {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.Files == nil {
		o.Files = map[FileOutcome]int64{}
	}
	for _, f := range s.files {
		if _, known := o.Files[f.FileOutcome]; !known && len(o.Files) >= maxFileReasons && f.Reason != "" {
			f.Reason = reasonOther
		}
		o.Files[f.FileOutcome] += f.n
	}
	if c := s.closed; c != nil {
		o.close(c.status, c.reason)
	}
}

// countedFiles are files that ended alike.
type countedFiles struct {
	FileOutcome
	n int64
}

// outcomesOf counts files as they are after their settlement; most ended alike.
func outcomesOf(files []core.File) (list []countedFiles) {
next:
	for i := range files {
		is := FileOutcome{files[i].Status, files[i].Failure.Code}
		for j := range list {
			if list[j].FileOutcome == is {
				list[j].n++
				continue next
			}
		}
		list = append(list, countedFiles{is, 1})
	}
	return list
}
