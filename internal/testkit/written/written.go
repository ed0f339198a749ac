// Package written takes down what a transaction writes, for those who follow the history
// of a store: the store suite and the search for linearizations.
package written

import (
	"context"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// Log is what a transaction wrote of runs that were there before, and of credits.
type Log struct {
	Rows    []ports.RunRows // of each run once, its files in the order of the calls
	Entries []core.Entry    // as they were posted

	Pause func() // called before each statement; nil: none
}

// By takes down what is written through a transaction.
func (w *Log) By(of ports.Tx) ports.Tx { return tx{of, w} }

// Wait pauses as before a statement.
func (w *Log) Wait() {
	if w.Pause != nil {
		w.Pause()
	}
}

type tx struct {
	ports.Tx
	w *Log
}

// Runs implements ports.Tx.
func (t tx) Runs() ports.Runs { t.w.Wait(); return runs{t.Tx.Runs(), t.w} }

// Files implements ports.Tx.
func (t tx) Files() ports.RunFiles { t.w.Wait(); return t.Tx.Files() }

// Starts implements ports.Tx.
func (t tx) Starts() ports.Starts { t.w.Wait(); return starts{t.Tx.Starts(), t.w} }

// Attempts implements ports.Tx.
func (t tx) Attempts() ports.Attempts { t.w.Wait(); return t.Tx.Attempts() }

// Ledger implements ports.Tx.
func (t tx) Ledger() ports.Ledger { t.w.Wait(); return ledger{t.Tx.Ledger(), t.w} }

// Answers implements ports.Tx.
func (t tx) Answers() ports.Answers { t.w.Wait(); return t.Tx.Answers() }

// Replies implements ports.Tx.
func (t tx) Replies() ports.Replies { t.w.Wait(); return t.Tx.Replies() }

type runs struct {
	ports.Runs
	w *Log
}

// Save implements ports.Runs.
func (r runs) Save(ctx context.Context, rows ...ports.RunRows) error {
	err := r.Runs.Save(ctx, rows...)
	if err != nil {
		return err
	}
	for i := range rows {
		r.w.wrote(&rows[i])
	}
	return nil
}

func (w *Log) wrote(rows *ports.RunRows) {
	to := w.rows(rows.Run.ID)
	if !rows.FilesOnly {
		to.Run, to.FilesOnly = rows.Run, false
	}
	to.Files = append(to.Files, rows.Files...)
}

type starts struct {
	ports.Starts
	w *Log
}

// Write implements ports.Starts.
func (s starts) Write(ctx context.Context, starts []ports.Start, answers []core.Answer) ([]core.Entry, error) {
	posted, err := s.Starts.Write(ctx, starts, answers)
	if err != nil {
		return posted, err
	}
	for i := range starts {
		if b := &starts[i]; !b.New {
			s.w.wrote(&ports.RunRows{Run: b.Run, Files: b.Files})
		}
	}
	s.w.Entries = append(s.w.Entries, posted...)
	return posted, nil
}

func (w *Log) rows(run core.RunID) *ports.RunRows {
	for i := range w.Rows {
		if w.Rows[i].Run.ID == run {
			return &w.Rows[i]
		}
	}
	w.Rows = append(w.Rows, ports.RunRows{Run: core.Run{ID: run}, FilesOnly: true})
	return &w.Rows[len(w.Rows)-1]
}

type ledger struct {
	ports.Ledger
	w *Log
}

// Post implements ports.Ledger.
func (l ledger) Post(ctx context.Context, e core.Entry) (core.Entry, error) {
	posted, err := l.Ledger.Post(ctx, e)
	if err == nil {
		l.w.Entries = append(l.w.Entries, posted)
	}
	return posted, err
}
