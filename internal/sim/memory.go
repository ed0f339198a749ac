package sim

import (
	"os"
	"runtime/debug"
)

// gcPercent is how much a campaign may allocate between two collections, of what is
// live. Worlds reuse nearly everything, so what is live are a few megabytes; at Go's
// own 100 % there would be hundreds of collections a second, a third of all CPU
// time. Much more than this is slower again: it does not fit the caches.
const gcPercent = 800

// RelaxGC lets programs that only play worlds collect garbage less often; restore
// ends that. Who sets GOGC knows better.
func RelaxGC() (restore func()) {
	if os.Getenv("GOGC") != "" {
		return func() {}
	}
	before := debug.SetGCPercent(gcPercent)
	return func() { debug.SetGCPercent(before) }
}
