package history_test

import (
	"context"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/internal/sim/history"
	"github.com/redrive/redrive/ports"
)

// recording is a store that tells the recorder what is written through it.
type recording struct {
	ports.Store
	recorder *history.Recorder
}

func (s recording) InTx(ctx context.Context, tenant core.TenantID, fn func(ports.Tx) error) error {
	since := s.recorder.Before()
	var writes []history.Write
	err := s.Store.InTx(ctx, tenant, func(tx ports.Tx) error {
		writes = writes[:0]
		return fn(recordingTx{tx, &writes})
	})
	if err == nil {
		s.recorder.Wrote(tenant, since, writes...)
	}
	return err
}

type recordingTx struct {
	ports.Tx
	writes *[]history.Write
}

func (t recordingTx) of(run core.RunID) *history.Write {
	for i := range *t.writes {
		if (*t.writes)[i].Run == run {
			return &(*t.writes)[i]
		}
	}
	*t.writes = append(*t.writes, history.Write{Run: run})
	return &(*t.writes)[len(*t.writes)-1]
}

func (t recordingTx) Runs() ports.Runs     { return recordingRuns{t.Tx.Runs(), t} }
func (t recordingTx) Ledger() ports.Ledger { return recordingLedger{t.Tx.Ledger(), t} }

type recordingRuns struct {
	ports.Runs
	t recordingTx
}

func (r recordingRuns) Save(ctx context.Context, rows ...ports.RunRows) error {
	err := r.Runs.Save(ctx, rows...)
	if err != nil {
		return err
	}
	for i := range rows {
		w := r.t.of(rows[i].Run.ID)
		if !rows[i].FilesOnly {
			w.Status = rows[i].Run.Status
		}
		w.Files = append(w.Files, rows[i].Files...)
	}
	return nil
}

type recordingLedger struct {
	ports.Ledger
	t recordingTx
}

func (l recordingLedger) Post(ctx context.Context, e core.Entry) (core.Entry, error) {
	posted, err := l.Ledger.Post(ctx, e)
	if err == nil {
		*l.t.writes = append(*l.t.writes, history.Write{Entries: []core.Entry{posted}})
	}
	return posted, err
}
