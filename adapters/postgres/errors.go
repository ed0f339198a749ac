package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/puddle/v2"

	"github.com/redrive/redrive/ports"
)

// SQLSTATEs that mean something to the caller. See appendix A of the manual.
const (
	codeForeignKey           = "23503"
	codeUnique               = "23505"
	codeReadOnly             = "25006"
	codeSerialization        = "40001"
	codeCompletionUnknown    = "40003"
	codeDeadlock             = "40P01"
	codeConfigurationLimit   = "53400"
	codeLockNotAvailable     = "55P03"
	codeQueryCanceled        = "57014" // statement_timeout; what a caller cancels has the context's error
	codeIOError              = "58030"
	codeInternal             = "XX000"
	codeMoved                = "RD001" // our own, of refuse_moved()
	classConnectionException = "08"
	classDataException       = "22"
	classIntegrity           = "23"
	classResources           = "53" // disk full, out of memory, too many connections
	classLimitExceeded       = "54"
	classOperatorIntervened  = "57P"
)

// tooLargeForTheWire is what pgx says of a message above the gigabyte that the
// protocol can carry, before any of it is sent. It has no error value for it.
const tooLargeForTheWire = "message body too large"

// translate turns what pgx and Postgres report into what ports.Store promises.
// The original stays inside, for logs; it names constraints and SQLSTATEs, never
// the values of a row.
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
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return nil // the caller's own
	case errors.Is(err, pgx.ErrNoRows):
		return ports.ErrNotFound
	}
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		if kind := kindOfState(pg); kind != nil {
			return kind
		}
	}
	switch {
	case strings.Contains(err.Error(), tooLargeForTheWire):
		// pgx closes the connection after it, which must not pass for an outage:
		// the same work would be done again and again.
		return ports.ErrRefused
	case lost(err):
		return ports.ErrUnavailable
	}
	return nil
}

// kindOfState is kindOf for what Postgres itself reported; nil if it says nothing
// to the caller.
func kindOfState(pg *pgconn.PgError) error {
	switch pg.Code {
	case codeSerialization:
		return ports.ErrSerialization
	case codeDeadlock:
		return ports.ErrDeadlock
	case codeLockNotAvailable:
		return ports.ErrLockTimeout
	case codeForeignKey:
		return ports.ErrNotFound // what the row belongs to is not there
	case codeUnique:
		return ports.ErrExists
	case codeMoved:
		return ports.ErrMoved
	case codeReadOnly:
		// A write in a View is refused before it comes here (tx.writable), so it is
		// the database that is read-only: a standby, or an operator's setting.
		return ports.ErrUnavailable
	case codeQueryCanceled, codeIOError:
		return ports.ErrUnavailable
	case codeConfigurationLimit:
		return ports.ErrRefused
	case codeInternal:
		if allocated(pg) {
			return ports.ErrRefused
		}
		return nil
	}
	switch pg.Code[:min(2, len(pg.Code))] {
	case classResources:
		return ports.ErrUnavailable
	case classDataException, classIntegrity, classLimitExceeded:
		return ports.ErrRefused
	}
	return nil
}

// allocated reports whether Postgres failed to allocate what no palloc may have,
// a value of a gigabyte or more. It has no SQLSTATE of its own, and the routine is
// not translated as the message is.
func allocated(pg *pgconn.PgError) bool {
	return strings.HasPrefix(pg.Routine, "MemoryContextAlloc") || strings.HasPrefix(pg.Routine, "palloc") ||
		strings.HasPrefix(pg.Routine, "repalloc") || strings.HasPrefix(pg.Message, "invalid memory alloc request size")
}

// lost reports whether the connection is gone, or could not be made.
func lost(err error) bool {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return fatal(pg) || strings.HasPrefix(pg.Code, classConnectionException) || strings.HasPrefix(pg.Code, classOperatorIntervened)
	}
	var network net.Error
	var connect *pgconn.ConnectError
	return errors.As(err, &connect) || errors.As(err, &network) || pgconn.SafeToRetry(err) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, puddle.ErrClosedPool)
}

// ofNode reports whether it is a node of Citus that was lost, and not the connection. Another
// connection would not reach the node either.
func ofNode(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && !fatal(pg) && strings.HasPrefix(pg.Code, classConnectionException)
}

// readOnlyDatabase reports whether the database took no writes.
func readOnlyDatabase(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == codeReadOnly
}

// fatal reports whether Postgres ended the session with this error.
func fatal(pg *pgconn.PgError) bool {
	severity := pg.SeverityUnlocalized
	return severity == "FATAL" || severity == "PANIC"
}

// translateCommit is translate for the answer to a COMMIT that may have been sent.
// Only an error that Postgres itself reported, without ending the session, says
// that nothing happened, and not if it is that of Citus about a node: the node may have
// committed before it was lost (class 08, or XX000 for want of a better code, with which
// Postgres itself answers no COMMIT). pgconn.SafeToRetry is of no use here: a connection
// that is lost while waiting for the answer is reported as "conn closed", which claims to be
// safe.
func translateCommit(err error) error {
	var pg *pgconn.PgError
	switch {
	case err == nil, errors.Is(err, pgx.ErrTxCommitRollback):
		return err
	case errors.As(err, &pg) && !fatal(pg) && pg.Code != codeCompletionUnknown && pg.Code != codeInternal && !strings.HasPrefix(pg.Code, classConnectionException):
		return translate(err)
	}
	return fmt.Errorf("%w: %w", ports.ErrCommitUnknown, err)
}

// retryable reports whether the transaction had no effect and may be run again.
func retryable(err error) bool {
	return errors.Is(err, ports.ErrDeadlock) || errors.Is(err, ports.ErrSerialization)
}
