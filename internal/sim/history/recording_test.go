package history_test

import (
	"context"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/internal/sim/history"
	"github.com/redrive/redrive/internal/testkit/written"
	"github.com/redrive/redrive/ports"
)

// recording is a store that tells the recorder what is written through it.
type recording struct {
	ports.Store
	recorder *history.Recorder
}

func (s recording) InTx(ctx context.Context, tenant core.TenantID, fn func(ports.Tx) error) error {
	since := s.recorder.Before()
	w := &written.Log{}
	err := s.Store.InTx(ctx, tenant, func(tx ports.Tx) error {
		*w = written.Log{}
		return fn(w.By(tx))
	})
	if err != nil {
		return err
	}
	writes := []history.Write{{Entries: w.Entries}}
	for i := range w.Rows {
		rows := &w.Rows[i]
		write := history.Write{Run: rows.Run.ID, Files: rows.Files}
		if !rows.FilesOnly {
			write.Status = rows.Run.Status
		}
		writes = append(writes, write)
	}
	s.recorder.Wrote(tenant, since, writes...)
	return nil
}
