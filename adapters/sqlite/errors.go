package sqlite

import (
	"context"
	"errors"
	"fmt"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/redrive/redrive/ports"
)

// ErrInUse says that another process, or another Store of this one, has the file.
var ErrInUse = errors.New("the database file is in use")

// ErrNewerSchema says that the file was written by a later version of Redrive.
var ErrNewerSchema = errors.New("the database was written by a later version of Redrive")

// translate turns what SQLite reports into what ports.Store promises. The original stays
// inside, for logs; it names constraints, never the values of a row.
func translate(err error) error {
	if err == nil {
		return nil
	}
	if kind := kindOf(err); kind != nil {
		return fmt.Errorf("%w: %w", kind, err)
	}
	return err
}

func kindOf(err error) error {
	var s *sqlite.Error
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) || !errors.As(err, &s) {
		return nil
	}
	switch s.Code() {
	case sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY:
		return ports.ErrNotFound // what the row belongs to is not there
	case sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY, sqlite3.SQLITE_CONSTRAINT_ROWID:
		return ports.ErrExists
	}
	switch primary(s) {
	case sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_MISMATCH:
		return ports.ErrRefused
	case sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY,
		sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PERM, sqlite3.SQLITE_PROTOCOL:
		return ports.ErrUnavailable
	}
	return nil
}

// primary is the code without what extends it.
func primary(s *sqlite.Error) int { return s.Code() & 0xff }

// translateCommit is translate for the answer to a COMMIT. If the disk was full the
// commit's own frame was not written, so nothing happened. After any other failure of I/O
// (an fsync that failed, above all) it may be on the disk, and would be found there by the
// recovery after a crash.
func translateCommit(err error) error {
	var s *sqlite.Error
	if errors.As(err, &s) && primary(s) == sqlite3.SQLITE_IOERR {
		return fmt.Errorf("%w: %w", ports.ErrCommitUnknown, err)
	}
	return translate(err)
}

// endsTransaction reports whether SQLite may have rolled the whole transaction back with
// this error of a statement.
func endsTransaction(err error) bool {
	var s *sqlite.Error
	if !errors.As(err, &s) {
		return false
	}
	switch primary(s) {
	case sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_INTERRUPT, sqlite3.SQLITE_CORRUPT:
		return true
	}
	return false
}

// retryable reports whether the transaction had no effect and may be run again.
func retryable(err error) bool {
	return errors.Is(err, ports.ErrDeadlock) || errors.Is(err, ports.ErrSerialization)
}
