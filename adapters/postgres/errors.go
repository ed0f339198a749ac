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
	codeTooManyConnections   = "53300"
	codeLockNotAvailable     = "55P03"
	codeResolutionUnknown    = "08007"
	classConnectionException = "08"
	classOperatorIntervened  = "57P"
)

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
		switch pg.Code {
		case codeSerialization:
			return ports.ErrSerialization
		case codeDeadlock:
			return ports.ErrDeadlock
		case codeLockNotAvailable:
			return ports.ErrLockTimeout
		case codeReadOnly:
			return ports.ErrReadOnly
		case codeForeignKey:
			return ports.ErrNotFound // what the row belongs to is not there
		case codeUnique:
			return ports.ErrExists
		}
	}
	if lost(err) {
		return ports.ErrUnavailable
	}
	return nil
}

// lost reports whether the connection is gone, or could not be made.
func lost(err error) bool {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return fatal(pg) || pg.Code == codeTooManyConnections ||
			strings.HasPrefix(pg.Code, classConnectionException) || strings.HasPrefix(pg.Code, classOperatorIntervened)
	}
	var network net.Error
	var connect *pgconn.ConnectError
	return errors.As(err, &connect) || errors.As(err, &network) || pgconn.SafeToRetry(err) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, puddle.ErrClosedPool)
}

// fatal reports whether Postgres ended the session with this error.
func fatal(pg *pgconn.PgError) bool {
	severity := pg.SeverityUnlocalized
	return severity == "FATAL" || severity == "PANIC"
}

// translateCommit is translate for the answer to a COMMIT that may have been sent.
// Only an error that Postgres itself reported, without ending the session, says
// that nothing happened. pgconn.SafeToRetry is of no use here: a connection that
// is lost while waiting for the answer is reported as "conn closed", which claims
// to be safe.
func translateCommit(err error) error {
	var pg *pgconn.PgError
	switch {
	case err == nil, errors.Is(err, pgx.ErrTxCommitRollback):
		return err
	case errors.As(err, &pg) && !fatal(pg) && pg.Code != codeCompletionUnknown && pg.Code != codeResolutionUnknown:
		return translate(err)
	}
	return fmt.Errorf("%w: %w", ports.ErrCommitUnknown, err)
}

// mustGiveWay reports whether the transaction had no effect and may be run again.
func mustGiveWay(err error) bool {
	return errors.Is(err, ports.ErrDeadlock) || errors.Is(err, ports.ErrSerialization)
}
