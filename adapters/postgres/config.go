package postgres

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Config is what an operator may set. A zero value means the default of that field.
type Config struct {
	// URL is a connection string as libpq has it: postgres://… or key=value.
	// Only Connect needs it. It holds a password: do not log it.
	URL string
	// MaxConns bounds the pool; default: pool_max_conns of the URL, else the
	// greater of 4 and the number of processors.
	MaxConns int32
	// ConnectTimeout bounds making one connection; default: connect_timeout of
	// the URL, else 5 s.
	ConnectTimeout time.Duration
	// LockTimeout bounds the wait for one lock (ports.ErrLockTimeout); default 5 s.
	LockTimeout time.Duration
	// StatementTimeout bounds one statement, its waits for locks included; default 30 s.
	StatementTimeout time.Duration
	// IdleTimeout is after what time without a statement Postgres ends a
	// transaction, so that a process which hangs does not keep its locks;
	// default 60 s.
	IdleTimeout time.Duration
	// CommitTimeout bounds a COMMIT, which the caller's context does not;
	// default 10 s. After it the outcome is unknown.
	CommitTimeout time.Duration
	// MaxTries is how often in all a transaction is run that is aborted in favour of
	// others; default 8.
	MaxTries int
	// Tracer sees every statement, for tracing and for tests; nil for none.
	Tracer pgx.QueryTracer
}

func (c Config) withDefaults() Config {
	for _, d := range []struct {
		field *time.Duration
		value time.Duration
	}{
		{&c.LockTimeout, 5 * time.Second},
		{&c.StatementTimeout, 30 * time.Second},
		{&c.IdleTimeout, time.Minute},
		{&c.CommitTimeout, 10 * time.Second},
	} {
		if *d.field == 0 {
			*d.field = d.value
		}
	}
	if c.MaxTries == 0 {
		c.MaxTries = 8
	}
	return c
}

func (c Config) validate() error {
	// Postgres counts in milliseconds and takes 0 for "never".
	for _, d := range []time.Duration{c.LockTimeout, c.StatementTimeout, c.IdleTimeout, c.CommitTimeout} {
		if d < time.Millisecond {
			return errors.New("postgres: timeouts must be 1 ms or more")
		}
	}
	if c.MaxTries < 1 {
		return errors.New("postgres: MaxTries must be 1 or more")
	}
	return nil
}

// setting is one of Postgres's, for a transaction.
type setting struct{ name, value string }

// settings gives the statement that sets what a transaction goes by. It is one, so that it
// is read once a connection and not each time.
//
// JIT is off because it is decided by estimates: a plan for 10,000 rows of an
// array would be compiled for longer than it runs.
func (c Config) settings(more ...setting) string {
	milliseconds := func(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }
	all := append([]setting{
		{"lock_timeout", milliseconds(c.LockTimeout)},
		{"statement_timeout", milliseconds(c.StatementTimeout)},
		{"idle_in_transaction_session_timeout", milliseconds(c.IdleTimeout)},
		{"jit", "off"},
	}, more...)
	parts := make([]string, len(all))
	for i, s := range all {
		parts[i] = fmt.Sprintf("set_config('%s', '%s', true)", s.name, s.value)
	}
	return "SELECT " + strings.Join(parts, ", ")
}

// byIndex has every row looked up by its key. Postgres plans a statement anew when its
// statistics change, and else keeps the plan for as long as the connection lasts: one that
// was made while a table was small reads all of it for each list of keys, however large it
// has become, until it is analyzed. Transactions that write look nothing up otherwise.
//
// So no list makes another plan better, and it need not be made again: for a short list
// Postgres thinks that a plan for just these keys is cheaper than the kept one, and plans
// the statement each time, which for the lock of a few runs takes longer than the lock.
var byIndex = []setting{
	{"enable_seqscan", "off"}, {"enable_hashjoin", "off"}, {"enable_mergejoin", "off"},
	{planCache, "force_generic_plan"},
}

// planCache says whether the plan of a prepared statement is kept.
const planCache = "plan_cache_mode"

// Connect makes a pool of connections. It fails if the URL cannot be understood;
// it does not connect, so a server can start while its database is away.
// The caller closes the pool.
func Connect(ctx context.Context, c Config) (*pgxpool.Pool, error) {
	if c.URL == "" {
		return nil, errors.New("postgres: no URL")
	}
	pc, err := pgxpool.ParseConfig(c.URL)
	if err != nil {
		return nil, fmt.Errorf("postgres: %w", err) // pgx keeps the password out of it
	}
	if c.MaxConns > 0 {
		pc.MaxConns = c.MaxConns
	}
	switch {
	case c.ConnectTimeout > 0:
		pc.ConnConfig.ConnectTimeout = c.ConnectTimeout
	case pc.ConnConfig.ConnectTimeout == 0:
		pc.ConnConfig.ConnectTimeout = 5 * time.Second
	}
	if c.Tracer != nil {
		pc.ConnConfig.Tracer = c.Tracer
	}
	if _, set := pc.ConnConfig.RuntimeParams["application_name"]; !set {
		pc.ConnConfig.RuntimeParams["application_name"] = "redrive"
	}
	return pgxpool.NewWithConfig(ctx, pc)
}
