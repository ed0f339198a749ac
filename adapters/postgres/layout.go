package postgres

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync/atomic"

	"github.com/jackc/pgx/v5"
)

// layout is whether the tables are on one server or spread by Citus. The catalog says so,
// and it is asked once a store: tables are spread while no server runs.
type layout struct{ known atomic.Int32 }

const (
	plainLayout int32 = iota + 1
	citusLayout
)

// citus reports whether the tables are on Citus. If that cannot be asked, they are taken for
// plain ones, and asked for the next time: what comes next fails for the same reason, or
// Citus refuses it.
func (s *Store) citus(ctx context.Context) bool {
	if known := s.layout.known.Load(); known != 0 {
		return known == citusLayout
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.StatementTimeout)
	defer cancel()
	var there, distributed bool
	_, err := query(ctx, s, func(ctx context.Context) (none struct{}, err error) {
		there, distributed, err = isDistributed(ctx, s.pool)
		return none, err
	})
	if err != nil || !there {
		return false
	}
	known := plainLayout
	if distributed {
		known = citusLayout
	}
	s.layout.known.Store(known)
	return distributed
}

type querier interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// isDistributed reports whether the schema is there, and whether Citus has spread it.
func isDistributed(ctx context.Context, q querier) (there, distributed bool, err error) {
	var extension bool
	err = q.QueryRow(ctx, `SELECT to_regclass('tenants') IS NOT NULL, to_regclass('pg_catalog.pg_dist_partition') IS NOT NULL`).Scan(&there, &extension)
	if err != nil || !there || !extension {
		return there, false, err
	}
	err = q.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_catalog.pg_dist_partition WHERE logicalrelid = to_regclass('tenants'))`).Scan(&distributed)
	return there, distributed, err
}

// begins are the statements that begin transactions.
type begins struct {
	write []string
	relax []string // for ports.Relaxed
	read  []string
}

const (
	beginWrite = "begin isolation level read committed"
	beginRead  = "begin isolation level repeatable read read only"
)

var relaxedCommit = setting{"synchronous_commit", "off"}

func (c Config) begins() begins {
	return begins{
		write: []string{beginWrite, c.settings(byIndex...)},
		relax: []string{beginWrite, c.settings(append(slices.Clip(byIndex), relaxedCommit)...)},
		read:  []string{beginRead, c.settings()},
	}
}

// citusBegins are begins on Citus. What the nodes are to go by is a SET LOCAL of its own,
// since it passes on neither set_config() nor several in one statement, and it does so only
// if citus.propagate_set_commands says so. They travel with the node's own BEGIN. A
// statement's time and a session's idleness are the coordinator's to bound.
func (c Config) citusBegins() begins {
	begin := func(begin string, more ...setting) []string {
		list := []string{
			begin,
			fmt.Sprintf("SELECT set_config('statement_timeout', '%d', true), set_config('idle_in_transaction_session_timeout', '%d', true),"+
				" set_config('citus.propagate_set_commands', 'local', true)", c.StatementTimeout.Milliseconds(), c.IdleTimeout.Milliseconds()),
		}
		for _, s := range append([]setting{
			{"lock_timeout", strconv.FormatInt(c.LockTimeout.Milliseconds(), 10)},
			{"jit", "off"},
		}, more...) {
			list = append(list, fmt.Sprintf("SET LOCAL %s = '%s'", s.name, s.value))
		}
		return list
	}
	return begins{
		write: begin(beginWrite, byIndexOnCitus...),
		relax: begin(beginWrite, append(slices.Clip(byIndexOnCitus), relaxedCommit)...),
		read:  begin(beginRead),
	}
}
