package sqlite

import (
	"log/slog"
	"os"
	"sync/atomic"
	"time"
)

// walWatch looks at the size of the write-ahead log. SQLite empties it into the database
// by and by, and begins it anew when nobody reads an old part of it. A reader that goes on
// and on keeps it from that, and so does a full disk, of which SQLite says nothing.
type walWatch struct {
	path  string
	limit int64
	log   *slog.Logger

	bytes  atomic.Int64 // when it was looked at last
	warned time.Time
}

// WALBytes is the size of the write-ahead log after the last commit, for metrics.
func (s *Store) WALBytes() int64 { return s.wal.bytes.Load() }

const warnEvery = time.Minute

// look is called by the writer between transactions.
func (w *walWatch) look(c *conn) {
	if w.size() <= w.limit {
		return
	}
	// Without waiting for readers: transactions wait meanwhile.
	if err := c.run(`PRAGMA busy_timeout=0; PRAGMA wal_checkpoint(TRUNCATE); PRAGMA busy_timeout=5000`); err != nil && time.Since(w.warned) > warnEvery {
		w.warned = time.Now()
		w.log.Warn("the write-ahead log of the database cannot be emptied", "file", w.path, "bytes", w.bytes.Load(), "error", err)
		return
	}
	if size := w.size(); size > w.limit && time.Since(w.warned) > warnEvery {
		w.warned = time.Now()
		w.log.Warn("the write-ahead log of the database grows: something reads for long, or the disk is full", "file", w.path, "bytes", size, "limit", w.limit)
	}
}

// size does not open the file: that would drop SQLite's locks when it is closed.
func (w *walWatch) size() int64 {
	info, err := os.Stat(w.path)
	if err != nil {
		w.bytes.Store(0) // there is none yet
		return 0
	}
	w.bytes.Store(info.Size())
	return info.Size()
}
