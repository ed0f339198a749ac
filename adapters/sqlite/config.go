package sqlite

import (
	"database/sql/driver"
	"errors"
	"log/slog"
	"time"
)

// journalSizeLimit is how large the WAL may stay once it begins anew, in bytes.
const journalSizeLimit = 4 << 20

// Option changes what Open does.
type Option func(*options)

type options struct {
	readers     int
	lockTimeout time.Duration
	maxTries    int
	walLimit    int64
	log         *slog.Logger
	vfs         string        // of SQLite, for tests
	driver      driver.Driver // for tests; nil: library
}

func defaults() options {
	return options{readers: 16, lockTimeout: 5 * time.Second, maxTries: 8, walLimit: 256 << 20, log: slog.New(slog.DiscardHandler)}
}

func (o *options) validate() error {
	switch {
	case o.readers < 2:
		return errors.New("sqlite: at least 2 readers are needed")
	case o.lockTimeout <= 0:
		return errors.New("sqlite: the lock timeout must be above 0")
	case o.maxTries < 1:
		return errors.New("sqlite: the number of tries must be 1 or more")
	case o.walLimit < journalSizeLimit:
		return errors.New("sqlite: the WAL must be allowed 4 MiB or more")
	}
	return nil
}

// WithReaders bounds how many connections read at once; default 16. A View has one for
// as long as it runs, every other read for one statement.
func WithReaders(n int) Option { return func(o *options) { o.readers = n } }

// WithLockTimeout bounds the wait for one lock (ports.ErrLockTimeout); default 5 s.
func WithLockTimeout(d time.Duration) Option { return func(o *options) { o.lockTimeout = d } }

// WithMaxTries is how often in all a transaction is run that is aborted in favour of
// others; default 8.
func WithMaxTries(n int) Option { return func(o *options) { o.maxTries = n } }

// WithWALLimit is how many bytes the write-ahead log may have before the store tries to
// empty it and warns if it cannot, because a reader goes on and on or the disk is full;
// default 256 MiB.
func WithWALLimit(bytes int64) Option { return func(o *options) { o.walLimit = bytes } }

// WithLogger takes warnings; default: none.
func WithLogger(l *slog.Logger) Option { return func(o *options) { o.log = l } }
