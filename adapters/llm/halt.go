package llm

import (
	"sync"

	"github.com/redrive/redrive/core"
)

// haltAfter is how many files in a row must meet the same fault of ours before the
// rest of a job is not asked about any more. It is more than one because a proxy's
// refusal may come of one file's words, and the files after it must not wait for it
// for ever.
const haltAfter = 2

// halt keeps a job with many files from meeting the same fault of ours with each of
// them. The zero value asks on. It may be used by many goroutines at once.
type halt struct {
	mu      sync.Mutex
	last    core.FileResult
	inARow  int
	decided bool
}

// note takes a file's result into account.
func (h *halt) note(r core.FileResult) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.decided:
	case r.Outcome == core.OutcomeCompleted:
		h.inARow = 0
	case !everyFiles(r):
		// It says nothing of the others.
	case h.inARow > 0 && h.last.Failure.Code != r.Failure.Code:
		h.last, h.inARow = r, 1
	default:
		h.last = r
		h.inARow++
		h.decided = h.inARow >= haltAfter
	}
}

// everyFiles reports whether every other file would meet the fault too. Stored
// content that cannot be read is ours as well, but of that file alone.
func everyFiles(r core.FileResult) bool {
	return r.Outcome == core.OutcomeInterrupted && r.Failure.Blocks()
}

// result is that of the files that are left, once it is decided.
func (h *halt) result() (core.FileResult, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.last, h.decided
}
