package llm

import (
	"sync"

	"github.com/redrive/redrive/core"
)

// haltAfter is how many files in a row must meet the same fault of ours before the job
// makes no more requests. It is more than one because a proxy may refuse a request for
// the words of one file, and that must not keep back the files after it.
const haltAfter = 2

// halt ends the requests of a job with many files once they all would meet the same
// fault of ours. The zero value lets requests go on. It may be used by many goroutines at
// once.
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
	case !blocksAll(r):
		// It says nothing about other files.
	case h.inARow > 0 && h.last.Failure.Code != r.Failure.Code:
		h.last, h.inARow = r, 1
	default:
		h.last = r
		h.inARow++
		h.decided = h.inARow >= haltAfter
	}
}

// blocksAll reports whether every other file would meet the fault too. Stored content
// that cannot be read is our fault as well, but concerns that file only.
func blocksAll(r core.FileResult) bool {
	return r.Outcome == core.OutcomeInterrupted && r.Failure.Blocks()
}

// result gives the result of the files that are left, once it is decided.
func (h *halt) result() (core.FileResult, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.last, h.decided
}
