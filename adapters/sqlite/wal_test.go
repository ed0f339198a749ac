package sqlite_test

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/sqlite"
	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// A reader that goes on and on keeps the write-ahead log from beginning anew: it grows, the
// operator is warned, and it is emptied when the reader has ended.
func TestWriteAheadLogIsWatched(t *testing.T) {
	t.Parallel()
	const limit = 8 << 20
	log := &lockedBuffer{}
	store := newStore(t, sqlite.WithWALLimit(limit), sqlite.WithLogger(slog.New(slog.NewTextHandler(log, nil))))
	w := worldOn(t, store, noExecution)
	w.AddTenant(t, "acme")
	ctx := bounded(t)
	write := func() {
		t.Helper()
		_, err := w.CreateTemplate(ctx, admin, core.Template{
			ID: core.TemplateID(core.PeriodOf(w.Clock.Now()).String()), Tenant: "acme", Name: "large", Instructions: strings.Repeat("x", 60_000), Mode: core.ModePerFile,
		})
		require.NoError(t, err)
		require.NoError(t, store.Ping(ctx)) // the log was looked at after the commit
		w.Clock.Advance(31 * 24 * time.Hour)
	}
	require.NoError(t, store.View(ctx, "acme", func(tx ports.Tx) error {
		_, err := tx.Tenants().Get(ctx)
		require.NoError(t, err)
		for store.WALBytes() <= limit+1<<20 {
			write()
		}
		require.Contains(t, log.String(), "write-ahead log")
		return nil
	}))
	write()
	require.LessOrEqual(t, store.WALBytes(), int64(4<<20), "it was emptied, and cut to what it may keep")
}
