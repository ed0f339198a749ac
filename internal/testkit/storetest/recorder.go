package storetest

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// Recorder is a ports.Store that remembers what was committed through it of
// runs and files, for what only a history can tell of I7 and I8.
type Recorder struct {
	ports.Store
	// Pause, if set, is called before each statement of a transaction. A store
	// in memory is so fast that transactions hardly ever meet otherwise.
	Pause func()

	mu       sync.Mutex
	results  map[resultKey]int            // recorded per file and epoch
	final    map[fileKey]core.Epoch       // of completed and error files, when they became so
	latest   map[fileKey]core.Epoch       // the highest epoch that was ever written of a file
	closings map[ports.RunKey]map[int]int // per attempt
}

type fileKey struct {
	run   ports.RunKey
	index int
}

type resultKey struct {
	fileKey
	epoch core.Epoch
}

// NewRecorder makes a Recorder of a store.
func NewRecorder(s ports.Store) *Recorder {
	return &Recorder{
		Store: s, results: map[resultKey]int{}, final: map[fileKey]core.Epoch{}, latest: map[fileKey]core.Epoch{},
		closings: map[ports.RunKey]map[int]int{},
	}
}

// InTx implements ports.Store. What fn wrote is remembered once it is committed;
// a run of fn that the store repeats is forgotten.
func (r *Recorder) InTx(ctx context.Context, tenant core.TenantID, fn func(ports.Tx) error) error {
	w := &Written{}
	err := r.Store.InTx(ctx, tenant, func(tx ports.Tx) error {
		*w = Written{pause: r.Pause}
		w.wait() // also before the first statement
		return fn(w.By(tx))
	})
	if err == nil {
		r.remember(tenant, w)
	}
	return err
}

// remember does not depend on the order in which transactions get here, which
// need not be that of their commits: it counts, and keeps what is highest.
func (r *Recorder) remember(tenant core.TenantID, w *Written) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, rows := range w.Rows {
		if rows.FilesOnly || rows.Run.Status == core.RunRunning {
			continue
		}
		key := ports.RunKey{Tenant: tenant, Run: rows.Run.ID}
		if r.closings[key] == nil {
			r.closings[key] = map[int]int{}
		}
		r.closings[key][int(rows.Run.Attempt)]++
	}
	for _, rows := range w.Rows {
		for i := range rows.Files {
			f := &rows.Files[i]
			key := fileKey{ports.RunKey{Tenant: tenant, Run: rows.Run.ID}, f.Index}
			r.latest[key] = max(r.latest[key], f.Epoch)
			switch f.Status {
			case core.FileCompleted, core.FileError:
				r.final[key] = f.Epoch
				r.results[resultKey{key, f.Epoch}]++
			case core.FileFailed:
				r.results[resultKey{key, f.Epoch}]++
			case core.FilePending, core.FileProcessing:
			}
		}
	}
}

// Check fails the test if a result was recorded twice for one file and epoch, a
// completed or error file was written again, or an attempt closed its run twice.
// A change of a closed run by RaiseMaxRetryCount counts as closing it.
func (r *Recorder) Check(t *testing.T) {
	t.Helper()
	require.Empty(t, r.violations())
}

func (r *Recorder) violations() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var broken []string
	for key, n := range r.results {
		if n > 1 {
			broken = append(broken, fmt.Sprintf("I8: run %s, file %d: %d results under epoch %d", key.run.Run, key.index, n, key.epoch))
		}
	}
	for key, epoch := range r.final {
		if r.latest[key] > epoch {
			broken = append(broken, fmt.Sprintf("I8: run %s, file %d was final under epoch %d and was written under epoch %d", key.run.Run, key.index, epoch, r.latest[key]))
		}
	}
	for key, attempts := range r.closings {
		for attempt, n := range attempts {
			if n > 1 {
				broken = append(broken, fmt.Sprintf("I7: run %s: attempt %d closed it %d times", key.Run, attempt, n))
			}
		}
	}
	return broken
}
