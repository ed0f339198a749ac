package sqlite

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"

	"github.com/gofrs/flock"
)

const (
	// lockSuffix is that of the file beside the database whose lock says that a process has it.
	lockSuffix = ".lock"
	// pidSuffix is that of the file that says which one. They are two: Windows lets nobody read
	// or write a file that is locked, but by the handle that has the lock.
	pidSuffix = ".pid"
)

// processLock keeps other processes, and other Stores of this one, from the database.
// SQLite itself lets several processes write, but the row locks of this store are in its
// memory. The system frees the lock when the process dies. The file stays: a process that
// waits for its lock would otherwise have another file than one that makes it anew.
type processLock struct{ file *flock.Flock }

// held are the locks that were not freed. The collector closes a file that nothing refers
// to, and its lock would go with it: a Store that was not closed has its file as long as
// its process lives.
var held sync.Map // *flock.Flock

func lockProcess(path string) (*processLock, error) {
	name := path + lockSuffix
	l := flock.New(name, flock.SetPermissions(0o600))
	locked, err := l.TryLock()
	if err != nil {
		return nil, fmt.Errorf("sqlite: lock %s: %w", name, err)
	}
	if !locked {
		return nil, inUse(path)
	}
	name = path + pidSuffix
	if err := os.WriteFile(name, []byte(strconv.Itoa(os.Getpid())+"\n"), 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("sqlite: write %s: %w", name, err), l.Unlock())
	}
	held.Store(l, nil)
	return &processLock{l}, nil
}

// inUse says who has the database and what to do about it.
func inUse(path string) error {
	who := "another process"
	if pid, err := os.ReadFile(path + pidSuffix); err == nil && len(strings.TrimSpace(string(pid))) > 0 { //nolint:gosec // it is beside the database
		who = "process " + strings.TrimSpace(string(pid))
		if strings.TrimSpace(string(pid)) == strconv.Itoa(os.Getpid()) {
			who = "this process"
		}
	}
	return fmt.Errorf("%w: %s has %s open, and a SQLite database serves one process at a time; stop it first, give this one another file, or use Postgres if several servers are to share a database",
		ErrInUse, who, path)
}

func (l *processLock) free() error {
	held.Delete(l.file)
	return l.file.Unlock()
}
