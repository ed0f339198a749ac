package memory

import (
	"testing"

	"github.com/redrive/redrive/adapters/adaptertest/filestest"
)

// It stands in the package itself to count what is kept.
func TestFilesConformance(t *testing.T) {
	t.Parallel()
	filestest.Run(t, func(*testing.T) filestest.Subject {
		f := NewFiles()
		return filestest.Subject{Files: f, Count: func(*testing.T) int {
			f.mu.RLock()
			defer f.mu.RUnlock()
			return len(f.contents)
		}}
	})
}
