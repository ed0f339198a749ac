package sqlite

import (
	"context"
	"database/sql/driver"
)

// Exec runs statements beside the rules of the port, for tests.
func (s *Store) Exec(ctx context.Context, sql string, values ...any) (int64, error) {
	return s.execute(ctx, sql, values...)
}

// Rows reads by SQL, for tests; NULL is nil.
func (s *Store) Rows(ctx context.Context, sql string, values ...any) ([][]any, error) {
	return list(ctx, s, func(r *row) []any {
		values := make([]any, len(r.values))
		for i, v := range r.values {
			values[i] = v
		}
		return values
	}, sql, values...)
}

// WithVFS reads and writes through another file system layer of SQLite.
func WithVFS(name string) Option { return func(o *options) { o.vfs = name } }

// WithDriver opens connections by another driver, such as one around Library.
func WithDriver(d driver.Driver) Option { return func(o *options) { o.driver = d } }

// Library is the driver with what Redrive adds to it.
var Library driver.Driver = library

// Source is how the one connection that writes is opened.
func Source(path string) string { o := defaults(); return source(path, writes, &o) }

// Hold keeps the one connection that writes busy until release is called, so that what is
// committed meanwhile is committed together.
func (s *Store) Hold(ctx context.Context) (release func()) {
	begun, end, ended := make(chan struct{}), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		_ = s.writer.do(ctx, &job{read: func(*conn) error {
			close(begun)
			<-end
			return nil
		}})
	}()
	<-begun
	return func() {
		close(end)
		<-ended
	}
}

// Break panics where transactions are committed, as a driver with a bug would.
func (s *Store) Break(ctx context.Context) error {
	return s.writer.do(ctx, &job{read: func(*conn) error { panic("broken") }})
}

// Waiting is how many transactions wait for the connection that writes.
func (s *Store) Waiting() int {
	s.writer.mu.Lock()
	defer s.writer.mu.Unlock()
	return len(s.writer.waiting)
}
