package sqlite_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/memory"
	"github.com/redrive/redrive/adapters/sqlite"
	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/ports"
)

// BenchmarkContinue compares app.RetryFailed, without HTTP, with the same statements sent by
// the bare driver: database/sql on one connection, each statement prepared once. Which
// statements these are is taken down on a copy of the database; both then work on copies of
// their own, in turns. The figure to look at is go/bare, the ratio of the median rates.
func BenchmarkContinue(b *testing.B) {
	const rounds = 5
	for _, c := range []struct{ files, each int }{{10, 100}, {1000, 8}} {
		b.Run("files="+strconv.Itoa(c.files), func(b *testing.B) {
			n := rounds * c.each * b.N
			seeded, runs := seed(b, c.files, n)
			told := takeDown(b, copied(b, seeded), runs)
			store := openStore(b, copied(b, seeded))
			svc := serviceOn(b, store)
			plain := newBare(b, copied(b, seeded))
			var byGo, byBare []float64
			b.ResetTimer()
			for first := 0; first < n; first += c.each {
				began := time.Now()
				for _, id := range runs[first : first+c.each] {
					_, err := svc.RetryFailed(b.Context(), admin, id, app.RetryRequest{})
					require.NoError(b, err)
				}
				byGo = append(byGo, float64(c.each)/time.Since(began).Seconds())
				began = time.Now()
				for _, calls := range told[first : first+c.each] {
					plain.send(b, calls)
				}
				byBare = append(byBare, float64(c.each)/time.Since(began).Seconds())
			}
			b.StopTimer()
			b.ReportMetric(median(byGo), "go-continues/s")
			b.ReportMetric(median(byBare), "bare-continues/s")
			b.ReportMetric(median(byGo)/median(byBare), "go/bare")
			b.ReportMetric(float64(len(told[0])), "statements")
			requireInvariants(b, store)
		})
	}
}

// serviceOn is the use cases with a queue as servers have one, and nobody who works.
func serviceOn(b *testing.B, store ports.Store) *app.Service {
	b.Helper()
	svc, err := app.New(app.Deps{
		Store: store, Queue: memory.NewQueue(), Executor: ports.ExecutorFunc(noExecution), Files: memory.NewFiles(),
		Clock: memory.NewManualClock(time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)), Log: slog.New(slog.DiscardHandler),
	}, app.Options{})
	require.NoError(b, err)
	return svc
}

// BenchmarkClients lets many continue runs at once, each of a run of its own.
func BenchmarkClients(b *testing.B) {
	for _, clients := range []int{1, 8, 64} {
		b.Run("clients="+strconv.Itoa(clients), func(b *testing.B) {
			const each = 10
			path, runs := seed(b, 10, clients*each*b.N)
			svc := serviceOn(b, openStore(b, path))
			b.ResetTimer()
			began := time.Now()
			for _, err := range together(clients, func(i int) error {
				for n := i; n < len(runs); n += clients {
					if _, err := svc.RetryFailed(b.Context(), admin, runs[n], app.RetryRequest{}); err != nil {
						return err
					}
				}
				return nil
			}) {
				require.NoError(b, err)
			}
			b.ReportMetric(float64(len(runs))/time.Since(began).Seconds(), "continues/s")
		})
	}
}

// seed makes a database with this many runs, closed FAILED with every file failed.
func seed(b *testing.B, files, runs int) (path string, ids []core.RunID) {
	b.Helper()
	path = filepath.Join(b.TempDir(), "redrive.db")
	w := worldOn(b, openStore(b, path), noExecution)
	w.AddTenant(b, "acme")
	_, err := w.PurchaseCredits(b.Context(), admin, "acme", "more", core.Credits(4*runs*files))
	require.NoError(b, err)
	for range runs {
		ids = append(ids, w.Settled(b, files, allFail).ID)
	}
	require.NoError(b, w.store.Close())
	return path, ids
}

// copied gives a copy of a database that is closed.
func copied(b *testing.B, path string) string {
	b.Helper()
	content, err := os.ReadFile(path)
	require.NoError(b, err)
	to := filepath.Join(b.TempDir(), "redrive.db")
	require.NoError(b, os.WriteFile(to, content, 0o600))
	return to
}

// call is a statement as it was sent.
type call struct {
	sql  string
	args []driver.NamedValue
	rows bool // it was asked for rows
}

// takeDown continues the runs and gives the statements of each.
func takeDown(b *testing.B, path string, runs []core.RunID) (told [][]call) {
	b.Helper()
	r := &recorder{}
	w := serviceOn(b, openStore(b, path, sqlite.WithDriver(r)))
	r.take()
	for _, id := range runs {
		_, err := w.RetryFailed(b.Context(), admin, id, app.RetryRequest{})
		require.NoError(b, err)
		told = append(told, r.take())
	}
	return told
}

// bare is one connection of database/sql.
type bare struct {
	c     *sql.Conn
	stmts map[string]*sql.Stmt
}

func newBare(b *testing.B, path string) *bare {
	b.Helper()
	db := sql.OpenDB(connector{sqlite.Source(path)})
	b.Cleanup(func() { require.NoError(b, db.Close()) })
	c, err := db.Conn(context.Background())
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, c.Close()) })
	return &bare{c, map[string]*sql.Stmt{}}
}

type connector struct{ source string }

func (c connector) Connect(context.Context) (driver.Conn, error) {
	return sqlite.Library.Open(c.source)
}

func (c connector) Driver() driver.Driver { return sqlite.Library }

func (x *bare) send(b *testing.B, calls []call) {
	b.Helper()
	ctx := context.Background()
	for _, s := range calls {
		stmt := x.stmts[s.sql]
		if stmt == nil {
			var err error
			stmt, err = x.c.PrepareContext(ctx, s.sql)
			require.NoError(b, err)
			x.stmts[s.sql] = stmt
		}
		args := make([]any, len(s.args))
		for i := range args {
			args[i] = s.args[i].Value
		}
		if !s.rows {
			_, err := stmt.ExecContext(ctx, args...)
			require.NoError(b, err, s.sql)
			continue
		}
		rows, err := stmt.QueryContext(ctx, args...)
		require.NoError(b, err, s.sql)
		columns, err := rows.Columns()
		require.NoError(b, err)
		values := make([]any, len(columns))
		targets := make([]any, len(columns))
		for i := range values {
			targets[i] = &values[i]
		}
		for rows.Next() {
			require.NoError(b, rows.Scan(targets...))
		}
		require.NoError(b, rows.Err())
		require.NoError(b, rows.Close())
	}
}

// recorder is a driver that takes down what is sent.
type recorder struct {
	mu    sync.Mutex
	calls []call
}

func (r *recorder) took(c call) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !strings.HasPrefix(c.sql, "PRAGMA wal") {
		c.args = slices.Clone(c.args)
		r.calls = append(r.calls, c)
	}
}

func (r *recorder) take() []call {
	r.mu.Lock()
	defer r.mu.Unlock()
	calls := r.calls
	r.calls = nil
	return calls
}

func (r *recorder) Open(name string) (driver.Conn, error) {
	c, err := sqlite.Library.Open(name)
	return recordedConn{c, r}, err
}

type recordedConn struct {
	driver.Conn
	r *recorder
}

func (c recordedConn) Prepare(sql string) (driver.Stmt, error) {
	s, err := c.Conn.Prepare(sql)
	return recordedStmt{s, c.r, sql}, err
}

func (c recordedConn) ExecContext(ctx context.Context, sql string, args []driver.NamedValue) (driver.Result, error) {
	c.r.took(call{sql, args, false})
	return c.Conn.(driver.ExecerContext).ExecContext(ctx, sql, args)
}

type recordedStmt struct {
	driver.Stmt
	r   *recorder
	sql string
}

func (s recordedStmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	s.r.took(call{s.sql, args, false})
	return s.Stmt.(driver.StmtExecContext).ExecContext(ctx, args)
}

func (s recordedStmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	s.r.took(call{s.sql, args, true})
	return s.Stmt.(driver.StmtQueryContext).QueryContext(ctx, args)
}

func median(of []float64) float64 {
	sorted := slices.Sorted(slices.Values(of))
	if n := len(sorted); n%2 == 0 {
		return (sorted[n/2-1] + sorted[n/2]) / 2
	}
	return sorted[len(sorted)/2]
}
