package sim

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
	"sync"
)

// Build identifies the code that runs: the hash of the program itself, since a
// token replays only what the very same rules decide.
var Build = sync.OnceValue(func() string {
	path, err := os.Executable()
	if err != nil {
		return "unknown"
	}
	program, err := os.Open(path) //nolint:gosec // it is this program's own file
	if err != nil {
		return "unknown"
	}
	h := sha256.New()
	_, err = io.Copy(h, program)
	if closing := program.Close(); err != nil || closing != nil {
		return "unknown"
	}
	return hex.EncodeToString(h.Sum(nil)[:6])
})
