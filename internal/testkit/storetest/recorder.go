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
	var w *recordedTx
	err := r.Store.InTx(ctx, tenant, func(tx ports.Tx) error {
		w = &recordedTx{Tx: tx, tenant: tenant, pause: r.Pause}
		w.wait() // also before the first statement
		return fn(w)
	})
	if err == nil && w != nil {
		r.remember(w)
	}
	return err
}

type recordedTx struct {
	ports.Tx
	tenant core.TenantID
	pause  func()
	runs   []core.Run
	files  []writtenFile
}

func (w *recordedTx) wait() {
	if w.pause != nil {
		w.pause()
	}
}

type writtenFile struct {
	run  core.RunID
	file core.File
}

func (w *recordedTx) wroteRun(run core.Run) { w.runs = append(w.runs, run) }

func (w *recordedTx) wroteFiles(run core.RunID, files []core.File) {
	for _, file := range files {
		w.files = append(w.files, writtenFile{run, file})
	}
}

// Runs implements ports.Tx.
func (w *recordedTx) Runs() ports.Runs { w.wait(); return recordedRuns{w.Tx.Runs(), w} }

// Files implements ports.Tx.
func (w *recordedTx) Files() ports.RunFiles { w.wait(); return w.Tx.Files() }

// Starts implements ports.Tx.
func (w *recordedTx) Starts() ports.Starts { w.wait(); return recordedStarts{w.Tx.Starts(), w} }

// Attempts implements ports.Tx.
func (w *recordedTx) Attempts() ports.Attempts { w.wait(); return w.Tx.Attempts() }

// Ledger implements ports.Tx.
func (w *recordedTx) Ledger() ports.Ledger { w.wait(); return w.Tx.Ledger() }

// Answers implements ports.Tx.
func (w *recordedTx) Answers() ports.Answers { w.wait(); return w.Tx.Answers() }

type recordedRuns struct {
	ports.Runs
	w *recordedTx
}

// Save implements ports.Runs.
func (r recordedRuns) Save(ctx context.Context, rows ...ports.RunRows) error {
	err := r.Runs.Save(ctx, rows...)
	if err != nil {
		return err
	}
	for i := range rows {
		if !rows[i].FilesOnly {
			r.w.wroteRun(rows[i].Run)
		}
		r.w.wroteFiles(rows[i].Run.ID, rows[i].Files)
	}
	return nil
}

// recordedStarts is how initiations and Continues write that are decided together.
type recordedStarts struct {
	ports.Starts
	w *recordedTx
}

// Write implements ports.Starts.
func (s recordedStarts) Write(ctx context.Context, starts []ports.Start, answers []core.Answer) ([]core.Entry, error) {
	posted, err := s.Starts.Write(ctx, starts, answers)
	if err != nil {
		return posted, err
	}
	for i := range starts {
		if b := &starts[i]; !b.New {
			s.w.wroteRun(b.Run)
			s.w.wroteFiles(b.Run.ID, b.Files)
		}
	}
	return posted, nil
}

// remember does not depend on the order in which transactions get here, which
// need not be that of their commits: it counts, and keeps what is highest.
func (r *Recorder) remember(w *recordedTx) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, run := range w.runs {
		if run.Status == core.RunRunning {
			continue
		}
		key := ports.RunKey{Tenant: w.tenant, Run: run.ID}
		if r.closings[key] == nil {
			r.closings[key] = map[int]int{}
		}
		r.closings[key][int(run.Attempt)]++
	}
	for _, f := range w.files {
		key := fileKey{ports.RunKey{Tenant: w.tenant, Run: f.run}, f.file.Index}
		r.latest[key] = max(r.latest[key], f.file.Epoch)
		switch f.file.Status {
		case core.FileCompleted, core.FileError:
			r.final[key] = f.file.Epoch
			r.results[resultKey{key, f.file.Epoch}]++
		case core.FileFailed:
			r.results[resultKey{key, f.file.Epoch}]++
		case core.FilePending, core.FileProcessing:
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
