package postgres

import (
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/ports"
)

// What cannot be brought about here: it takes a value of a gigabyte. That Postgres
// and pgx say it in these words was seen with one.
func TestTooLargeForPostgres(t *testing.T) {
	t.Parallel()
	for name, err := range map[string]error{
		"Allocation":            &pgconn.PgError{Severity: "ERROR", Code: "XX000", Message: "invalid memory alloc request size 1200000004", Routine: "palloc"},
		"AllocationTranslated":  &pgconn.PgError{Severity: "FEHLER", Code: "XX000", Message: "ungültige Größe", Routine: "MemoryContextAllocExtended"},
		"Reallocation":          &pgconn.PgError{Severity: "ERROR", Code: "XX000", Message: "x", Routine: "repalloc"},
		"StringBuffer":          &pgconn.PgError{Severity: "ERROR", Code: "54000", Message: "out of memory", Routine: "enlargeStringInfo"},
		"MessageForTheProtocol": fmt.Errorf("write failed: %w", errors.New("message body too large")),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.ErrorIs(t, translate(err), ports.ErrRefused)
			require.NotErrorIs(t, translate(err), ports.ErrUnavailable)
			require.ErrorIs(t, translate(err), err)
		})
	}
	other := &pgconn.PgError{Severity: "ERROR", Code: "XX000", Message: "tuple concurrently updated", Routine: "simple_heap_update"}
	require.NotErrorIs(t, translate(other), ports.ErrRefused, "other internal errors say nothing")
	require.NotErrorIs(t, translate(&pgconn.PgError{Code: ""}), ports.ErrRefused)
}

// What Citus says of a node that it lost is no answer about the commit, and nothing that
// another connection to the coordinator would mend.
func TestErrorsOfNodes(t *testing.T) {
	t.Parallel()
	for code, unknown := range map[string]bool{"XX000": true, "08006": true, "08003": true, "08007": true, "40003": true, "40001": false, "23505": false} {
		err := translateCommit(&pgconn.PgError{Severity: "ERROR", SeverityUnlocalized: "ERROR", Code: code})
		require.Equal(t, unknown, errors.Is(err, ports.ErrCommitUnknown), code)
	}
	lostNode := &pgconn.PgError{SeverityUnlocalized: "ERROR", Code: "08006"}
	require.True(t, ofNode(lostNode))
	require.ErrorIs(t, translate(lostNode), ports.ErrUnavailable)
	require.False(t, ofNode(&pgconn.PgError{SeverityUnlocalized: "FATAL", Code: "08006"}))
	require.False(t, ofNode(io.ErrUnexpectedEOF))
}
