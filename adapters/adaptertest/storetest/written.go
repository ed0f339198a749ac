package storetest

import (
	"context"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// Written is what a transaction wrote of runs that were there before, and of credits.
type Written struct {
	Rows    []ports.RunRows // of each run once, its files in the order of the calls
	Entries []core.Entry    // as they were posted

	pause func() // before each statement; nil for none
}

// By takes down what is written through a transaction.
func (w *Written) By(tx ports.Tx) ports.Tx { return writtenTx{tx, w} }

func (w *Written) wait() {
	if w.pause != nil {
		w.pause()
	}
}

type writtenTx struct {
	ports.Tx
	w *Written
}

// Runs implements ports.Tx.
func (t writtenTx) Runs() ports.Runs { t.w.wait(); return writtenRuns{t.Tx.Runs(), t.w} }

// Files implements ports.Tx.
func (t writtenTx) Files() ports.RunFiles { t.w.wait(); return t.Tx.Files() }

// Starts implements ports.Tx.
func (t writtenTx) Starts() ports.Starts { t.w.wait(); return writtenStarts{t.Tx.Starts(), t.w} }

// Attempts implements ports.Tx.
func (t writtenTx) Attempts() ports.Attempts { t.w.wait(); return t.Tx.Attempts() }

// Ledger implements ports.Tx.
func (t writtenTx) Ledger() ports.Ledger { t.w.wait(); return writtenLedger{t.Tx.Ledger(), t.w} }

// Answers implements ports.Tx.
func (t writtenTx) Answers() ports.Answers { t.w.wait(); return t.Tx.Answers() }

type writtenRuns struct {
	ports.Runs
	w *Written
}

// Save implements ports.Runs.
func (r writtenRuns) Save(ctx context.Context, rows ...ports.RunRows) error {
	err := r.Runs.Save(ctx, rows...)
	if err != nil {
		return err
	}
	for i := range rows {
		r.w.wrote(&rows[i])
	}
	return nil
}

func (w *Written) wrote(rows *ports.RunRows) {
	to := w.rows(rows.Run.ID)
	if !rows.FilesOnly {
		to.Run, to.FilesOnly = rows.Run, false
	}
	to.Files = append(to.Files, rows.Files...)
}

type writtenStarts struct {
	ports.Starts
	w *Written
}

// Write implements ports.Starts.
func (s writtenStarts) Write(ctx context.Context, starts []ports.Start, answers []core.Answer) ([]core.Entry, error) {
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

func (w *Written) rows(run core.RunID) *ports.RunRows {
	for i := range w.Rows {
		if w.Rows[i].Run.ID == run {
			return &w.Rows[i]
		}
	}
	w.Rows = append(w.Rows, ports.RunRows{Run: core.Run{ID: run}, FilesOnly: true})
	return &w.Rows[len(w.Rows)-1]
}

type writtenLedger struct {
	ports.Ledger
	w *Written
}

// Post implements ports.Ledger.
func (l writtenLedger) Post(ctx context.Context, e core.Entry) (core.Entry, error) {
	posted, err := l.Ledger.Post(ctx, e)
	if err == nil {
		l.w.Entries = append(l.w.Entries, posted)
	}
	return posted, err
}
