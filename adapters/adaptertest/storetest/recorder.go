package storetest

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/internal/testkit/model"
	"github.com/redrive/redrive/internal/testkit/written"
	"github.com/redrive/redrive/ports"
)

// recorder is a ports.Store that remembers what was committed through it of
// runs and files, for what only a history can tell of I7 and I8.
type recorder struct {
	ports.Store
	// pause, if set, is called before each statement of a transaction. A store
	// in memory is so fast that transactions hardly ever meet otherwise.
	pause func()

	mu       sync.Mutex
	changes  []model.Change
	closings map[closing]int
}

type closing struct {
	ports.RunKey
	attempt core.AttemptNumber
}

// newRecorder makes a recorder of a store.
func newRecorder(s ports.Store) *recorder {
	return &recorder{Store: s, closings: map[closing]int{}}
}

// InTx implements ports.Store. What fn wrote is remembered once it is committed;
// a run of fn that the store repeats is forgotten.
func (r *recorder) InTx(ctx context.Context, tenant core.TenantID, fn func(ports.Tx) error) error {
	w := &written.Log{}
	err := r.Store.InTx(ctx, tenant, func(tx ports.Tx) error {
		*w = written.Log{Pause: r.pause}
		w.Wait() // also before the first statement
		return fn(w.By(tx))
	})
	if err == nil {
		r.remember(tenant, w)
	}
	return err
}

func (r *recorder) remember(tenant core.TenantID, w *written.Log) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, rows := range w.Rows {
		if !rows.FilesOnly && rows.Run.Status != core.RunRunning {
			r.closings[closing{ports.RunKey{Tenant: tenant, Run: rows.Run.ID}, rows.Run.Attempt}]++
		}
		for i := range rows.Files {
			f := &rows.Files[i]
			r.changes = append(r.changes, model.Change{Tenant: tenant, Run: rows.Run.ID, Index: f.Index, Became: f.Status, NewEpoch: f.Epoch})
		}
	}
}

// check fails the test if a result was recorded twice for one file and epoch, a
// completed or error file was written again, or an attempt closed its run twice.
// A change of a closed run by RaiseMaxRetryCount counts as closing it.
func (r *recorder) check(t *testing.T) {
	t.Helper()
	require.Empty(t, r.violations())
}

func (r *recorder) violations() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var broken []string
	judge := func(rule model.Rule, format string, args ...any) {
		broken = append(broken, fmt.Sprintf("%s: ", rule)+fmt.Sprintf(format, args...))
	}
	inOrder(r.changes)
	var log model.Log
	for _, c := range r.changes {
		c.Was, c.Epoch = core.FilePending, 1 // as every file begins
		if last := log.File(c.Tenant, c.Run, c.Index); last != nil {
			c.Was, c.Epoch = last.Status, last.Epoch
		}
		log.Add(judge, c)
	}
	for of, n := range r.closings {
		if n > 1 {
			judge(model.I7, "run %s: attempt %d closed it %d times", of.Run, of.attempt, n)
		}
	}
	return broken
}

// inOrder sorts each file's changes by what a file goes through: the order in which
// transactions were remembered need not be that of their commits.
func inOrder(changes []model.Change) {
	stage := func(s core.FileStatus) int {
		switch s {
		case core.FilePending:
			return 0
		case core.FileProcessing:
			return 1
		case core.FileCompleted, core.FileFailed, core.FileError:
		}
		return 2
	}
	slices.SortStableFunc(changes, func(a, b model.Change) int {
		return cmp.Or(cmp.Compare(a.Tenant, b.Tenant), cmp.Compare(a.Run, b.Run), cmp.Compare(a.Index, b.Index), cmp.Compare(a.NewEpoch, b.NewEpoch), cmp.Compare(stage(a.Became), stage(b.Became)))
	})
}
