package worker_test

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// saves notes what is recorded of files, and may refuse or stop it.
type saves struct {
	mu      sync.Mutex
	groups  []int // bytes of output of each transaction
	files   map[int]int
	refuses func(core.File) bool
	// mostTogether is how many results a transaction may have, if it is not 0.
	mostTogether int
	stop         <-chan struct{}
}

func (s *saves) wrap(tx ports.Tx) ports.Tx { return savesTx{tx, s} }

type savesTx struct {
	ports.Tx
	s *saves
}

func (t savesTx) Runs() ports.Runs { return savesRuns{t.Tx.Runs(), t.s} }

type savesRuns struct {
	ports.Runs
	s *saves
}

func (g savesRuns) Save(ctx context.Context, rows ...ports.RunRows) error {
	bytes, done := 0, 0
	for _, r := range rows {
		for _, f := range r.Files {
			if g.s.refuses != nil && g.s.refuses(f) {
				return fmt.Errorf("row of file %d: %w", f.Index, ports.ErrRefused)
			}
			if f.Status == core.FileCompleted {
				bytes, done = bytes+len(f.Output), done+1
			}
		}
	}
	if g.s.mostTogether > 0 && done > g.s.mostTogether {
		return fmt.Errorf("%d rows: %w", done, ports.ErrRefused)
	}
	if done > 0 && g.s.stop != nil {
		<-g.s.stop
	}
	if err := g.Runs.Save(ctx, rows...); err != nil {
		return err
	}
	g.s.mu.Lock()
	defer g.s.mu.Unlock()
	if done > 0 {
		g.s.groups = append(g.s.groups, bytes)
	}
	for _, r := range rows {
		for _, f := range r.Files {
			if f.Status == core.FileCompleted {
				g.s.files[f.Index]++
			}
		}
	}
	return nil
}

func (s *saves) largest() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Max(s.groups)
}

func (b *bench) watchSaves() *saves {
	s := &saves{files: map[int]int{}}
	wrap := s.wrap
	b.store.wrap.Store(&wrap)
	return s
}
