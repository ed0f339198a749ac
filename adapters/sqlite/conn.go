package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"

	"modernc.org/sqlite"
)

// conn is one connection with the statements that it has prepared. It is used by one
// goroutine at a time. Statements go to the driver itself and not through database/sql,
// whose conversions and locks cost as much as a small statement.
type conn struct {
	c     driver.Conn
	stmts map[string]driver.Stmt
}

// kindOfConn says what a connection is for.
type kindOfConn int

const (
	readsOnly kindOfConn = iota
	writes
	copies // VACUUM INTO, which query_only refuses
)

// library is the driver, with what Redrive adds to SQLite.
var library = newLibrary()

func newLibrary() *sqlite.Driver {
	d := &sqlite.Driver{}
	// lower() of SQLite knows ASCII alone.
	d.MustRegisterDeterministicScalarFunction("redrive_lower", 1, func(_ *sqlite.FunctionContext, args []driver.Value) (driver.Value, error) {
		s, ok := args[0].(string)
		if !ok {
			return args[0], nil
		}
		return strings.ToLower(s), nil
	})
	return d
}

// source gives the data source name of a file. What is set here is what durability and
// the rules of the schema rest on:
//   - synchronous=full: in WAL mode NORMAL may lose the last commits at a power cut, and
//     macOS writes through to the disk only with fullfsync;
//   - foreign_keys and recursive_triggers are off by default: without the second, INSERT OR
//     REPLACE would remove rows without firing the triggers that keep the ledger;
//   - journal_size_limit: the WAL is cut after it was larger, once it begins anew.
func source(path string, kind kindOfConn, o *options) string {
	q := url.Values{}
	pragma := func(s string) { q.Add("_pragma", s) }
	pragma("busy_timeout(5000)")
	switch kind {
	case writes:
		pragma("journal_mode(wal)")
		pragma("synchronous(full)")
		pragma("fullfsync(1)")
		pragma("checkpoint_fullfsync(1)")
		pragma("foreign_keys(1)")
		pragma("recursive_triggers(1)")
		pragma(fmt.Sprintf("journal_size_limit(%d)", journalSizeLimit))
	case readsOnly:
		q.Set("mode", "ro")
		pragma("query_only(1)")
	case copies:
		q.Set("mode", "ro")
	}
	if o != nil && o.vfs != "" {
		q.Set("vfs", o.vfs)
	}
	return "file:" + (&url.URL{Path: path}).EscapedPath() + "?" + q.Encode()
}

func open(path string, kind kindOfConn, o *options) (*conn, error) {
	var d driver.Driver = library
	if o != nil && o.driver != nil {
		d = o.driver
	}
	c, err := d.Open(source(path, kind, o))
	if err != nil {
		return nil, translate(err)
	}
	opened := &conn{c: c, stmts: map[string]driver.Stmt{}}
	if kind == writes {
		if err := opened.inForce(); err != nil {
			return nil, errors.Join(err, opened.close())
		}
	}
	return opened, nil
}

// inForce asks for the settings that nothing may be written without. SQLite ignores one
// that it cannot have, such as a WAL on a file system without shared memory.
func (c *conn) inForce() error {
	for name, want := range map[string]string{"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1", "recursive_triggers": "1"} {
		got := ""
		if err := c.query(`PRAGMA `+name, nil, func(r *row) { got = fmt.Sprint(r.take()) }); err != nil {
			return translate(err)
		}
		if got != want {
			return fmt.Errorf("sqlite: %s is %s and has to be %s; is the file on a network file system?", name, got, want)
		}
	}
	return nil
}

func (c *conn) close() error {
	var errs []error
	for _, s := range c.stmts {
		errs = append(errs, s.Close())
	}
	return errors.Join(append(errs, c.c.Close())...)
}

// prepared gives a statement of this connection. The texts of statements are few, so each
// is prepared once and kept.
func (c *conn) prepared(sql string) (driver.Stmt, error) {
	if s, ok := c.stmts[sql]; ok {
		return s, nil
	}
	s, err := c.c.Prepare(sql)
	if err != nil {
		return nil, err
	}
	c.stmts[sql] = s
	return s, nil
}

// exec runs a statement and gives the number of rows that it wrote. It cannot be
// cancelled: SQLite rolls back the whole transaction of a write that is interrupted, and
// what follows would then commit by itself.
func (c *conn) exec(sql string, args []driver.NamedValue) (int64, error) {
	s, err := c.prepared(sql)
	if err != nil {
		return 0, err
	}
	result, err := s.(driver.StmtExecContext).ExecContext(context.Background(), args)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// run runs statements that have no arguments and are not worth keeping, one or several.
func (c *conn) run(sql string) error {
	_, err := c.c.(driver.ExecerContext).ExecContext(context.Background(), sql, nil)
	return err
}

// query gives each row to a function.
func (c *conn) query(sql string, args []driver.NamedValue, each func(*row)) (err error) {
	s, err := c.prepared(sql)
	if err != nil {
		return err
	}
	rows, err := s.(driver.StmtQueryContext).QueryContext(context.Background(), args)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	r := row{values: make([]driver.Value, len(rows.Columns()))}
	for {
		if err := rows.Next(r.values); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		r.next = 0
		each(&r)
		if r.err != nil {
			return r.err
		}
	}
}
