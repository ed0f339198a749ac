package sqlite

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/internal/locktable"
	"github.com/redrive/redrive/ports"
)

// Store is a ports.Store in a SQLite database file. It may be used by many goroutines at
// once, and has the file for itself: see Open.
type Store struct {
	path    string
	opts    options
	process *processLock
	readers *readers
	writer  *writer
	wal     walWatch
	locks   *locktable.Table
	again   core.RetryPolicy // of retryable transactions
	roll    func() float64   // jitter

	closing sync.Once
	closed  error
}

var _ ports.Store = (*Store)(nil)

// Open opens a database file, which it makes if there is none, with the folders that lead
// to it. It applies no migrations: see Migrate. ErrInUse if another process has it, or
// another Store of this one; ErrNewerSchema if a later version of Redrive has written it.
// The caller closes the store.
func Open(ctx context.Context, path string, opts ...Option) (*Store, error) {
	o := defaults()
	for _, set := range opts {
		set(&o)
	}
	if err := o.validate(); err != nil {
		return nil, err
	}
	path, err := place(path)
	if err != nil {
		return nil, err
	}
	process, err := lockProcess(path) // before anything opens the database
	if err != nil {
		return nil, err
	}
	s := &Store{
		path: path, opts: o, process: process, locks: locktable.New(nil),
		again: core.RetryPolicy{
			MaxTries: o.maxTries, BaseDelay: 5 * time.Millisecond, MaxDelay: 200 * time.Millisecond, Budget: time.Minute,
		},
		roll: rand.Float64,
		wal:  walWatch{path: path + "-wal", limit: o.walLimit, log: o.log},
	}
	c, err := openFirst(path, &s.opts)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("sqlite: open %s: %w", path, err), process.free())
	}
	closed, err := closedTenants(c)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("sqlite: open %s: %w", path, err), c.close(), process.free())
	}
	s.readers = newReaders(o.readers, func() (*conn, error) { return open(path, readsOnly, &s.opts) })
	s.writer = newWriter(c, closed, func() (*conn, error) { return open(path, writes, &s.opts) }, s.wal.look)
	err = errors.Join(syncFolder(filepath.Dir(path)), s.refuseOthers(ctx), s.refuseNewer(ctx))
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// openFirst makes the file if there is none, readable by its owner alone, and the log beside
// it as well, which SQLite makes like it.
func openFirst(path string, o *options) (*conn, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600) //nolint:gosec // the operator's own path
	if err != nil {
		return nil, err
	}
	// Nothing of SQLite is open yet, whose locks it would take along.
	if err := f.Close(); err != nil {
		return nil, err
	}
	return open(path, writes, o)
}

// place gives the one name of the file: two names of it must not have two locks.
func place(path string) (string, error) {
	if path == "" {
		return "", errors.New("sqlite: no path")
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return "", fmt.Errorf("sqlite: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return "", fmt.Errorf("sqlite: %w", err)
	}
	if real, err := filepath.EvalSymlinks(path); err == nil {
		return real, nil
	}
	folder, err := filepath.EvalSymlinks(filepath.Dir(path)) // there is no such file yet
	if err != nil {
		return "", fmt.Errorf("sqlite: %w", err)
	}
	return filepath.Join(folder, filepath.Base(path)), nil
}

// Close waits for what is being written, empties the write-ahead log into the database and
// lets go of the file. Transactions that come later fail with ports.ErrUnavailable. A repeat
// gives the same.
func (s *Store) Close() error {
	s.closing.Do(func() {
		// The last connection to be closed empties the log, so it has to be the one that writes.
		s.closed = errors.Join(s.readers.close(), s.writer.close(), s.process.free())
	})
	return s.closed
}

// Path is the file, absolute and without symbolic links.
func (s *Store) Path() string { return s.path }

// Ping reports whether the database answers and can be written: nil or
// ports.ErrUnavailable.
func (s *Store) Ping(ctx context.Context) error {
	return s.writer.do(ctx, &job{read: func(*conn) error { return nil }})
}

// InTx implements ports.Store.
func (s *Store) InTx(ctx context.Context, tenant core.TenantID, fn func(ports.Tx) error) error {
	began := time.Now()
	for try := 1; ; try++ {
		err := s.transact(ctx, tenant, fn)
		if !retryable(err) {
			return err
		}
		wait, again := s.again.Delay(try, time.Since(began), 0, s.roll())
		if !again {
			return err
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		}
	}
}

// transact runs fn in one transaction, once.
func (s *Store) transact(ctx context.Context, tenant core.TenantID, fn func(ports.Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	t := &tx{store: s, tenant: findable(tenant)}
	defer func() { // also if fn panicked, or ended its goroutine
		t.over = true
		s.locks.Release(&t.locks)
	}()
	err := fn(t)
	switch {
	case retryable(t.failed):
		return t.failed // whatever fn made of it
	case err != nil:
		return err
	case t.failed != nil:
		return t.failed // fn looked away
	case ctx.Err() != nil:
		return ctx.Err()
	case len(t.statements) == 0:
		return nil
	}
	return s.writer.do(ctx, &job{statements: t.statements, relaxed: ports.IsRelaxed(ctx), tenant: t.tenant})
}

// View implements ports.Store.
func (s *Store) View(ctx context.Context, tenant core.TenantID, fn func(ports.Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return s.readers.snapshot(ctx, func(c *conn) error {
		t := &tx{store: s, tenant: findable(tenant), snapshot: c}
		defer func() { t.over = true }()
		return fn(t)
	})
}

// TenantOf implements ports.Store.
func (s *Store) TenantOf(ctx context.Context, run core.RunID) (core.TenantID, error) {
	found, err := list(ctx, s, func(r *row) core.TenantID { return core.TenantID(r.text()) },
		`SELECT tenant_id FROM run_owners WHERE run_id = ?`, findable(run))
	if err == nil && len(found) == 0 {
		err = ports.ErrNotFound
	}
	if err != nil {
		return "", err
	}
	return found[0], nil
}

// DueRuns implements ports.Store.
func (s *Store) DueRuns(ctx context.Context, now time.Time, horizon time.Duration, limit int) ([]ports.RunKey, error) {
	const ofOpen = ` AND NOT EXISTS (SELECT 1 FROM moves m WHERE m.tenant_id = runs.tenant_id AND m.closed)`
	const sql = `
SELECT tenant_id, run_id FROM (
    SELECT * FROM (SELECT tenant_id, run_id, recover_at FROM runs WHERE status = 'RUNNING' AND recover_at <= ?1` + ofOpen + ` ORDER BY recover_at, run_id LIMIT ?3)
    UNION ALL
    SELECT * FROM (SELECT tenant_id, run_id, recover_at FROM runs WHERE status = 'RUNNING' AND recover_at > ?2` + ofOpen + ` ORDER BY recover_at, run_id LIMIT ?3))
 ORDER BY recover_at, run_id LIMIT ?3`
	return list(ctx, s, scanRunKey, sql, now, now.Add(horizon), max(limit, 0))
}

// Ungranted implements ports.Store.
func (s *Store) Ungranted(ctx context.Context, key core.Key, after core.TenantID, limit int) ([]core.Tenant, error) {
	const sql = `
SELECT ` + tenantColumns + ` FROM tenants t
 WHERE tenant_id > ? AND monthly_allowance > 0
   AND NOT EXISTS (SELECT 1 FROM ledger e WHERE e.tenant_id = t.tenant_id AND e.key = ?)
   AND NOT EXISTS (SELECT 1 FROM moves m WHERE m.tenant_id = t.tenant_id AND m.closed)
 ORDER BY tenant_id LIMIT ?`
	return list(ctx, s, scanTenant, sql, findable(after), findable(key), max(limit, 0))
}

// AllTenants implements ports.Store.
func (s *Store) AllTenants(ctx context.Context, after core.TenantID, limit int) ([]core.Tenant, error) {
	const sql = `SELECT ` + tenantColumns + ` FROM tenants WHERE tenant_id > ? ORDER BY tenant_id LIMIT ?`
	return list(ctx, s, scanTenant, sql, findable(after), max(limit, 0))
}

// OpenTenants implements ports.Store.
func (s *Store) OpenTenants(ctx context.Context, after core.TenantID, limit int) ([]core.Tenant, error) {
	const sql = `
SELECT ` + tenantColumns + ` FROM tenants t
 WHERE tenant_id > ? AND NOT EXISTS (SELECT 1 FROM moves m WHERE m.tenant_id = t.tenant_id AND m.closed)
 ORDER BY tenant_id LIMIT ?`
	return list(ctx, s, scanTenant, sql, findable(after), max(limit, 0))
}

// list runs a query outside any transaction.
func list[T any](ctx context.Context, s *Store, scan func(*row) T, sql string, values ...any) ([]T, error) {
	args, err := bind(values)
	if err != nil {
		return nil, err
	}
	var found []T
	err = s.readers.with(ctx, func(c *conn) error {
		return c.query(sql, args, func(r *row) { found = append(found, scan(r)) })
	})
	return found, err
}

// execute runs a statement in a transaction of its own and gives the number of rows it wrote.
func (s *Store) execute(ctx context.Context, sql string, values ...any) (n int64, err error) {
	args, err := bind(values)
	if err != nil {
		return 0, err
	}
	counted := statement{sql: sql, args: args, rows: anyNumber, wrote: &n}
	err = s.writer.do(ctx, &job{statements: []statement{counted}})
	return n, err
}
