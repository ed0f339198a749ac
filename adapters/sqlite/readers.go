package sqlite

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// readers are the connections that read. They are opened when they are needed first.
type readers struct {
	open func() (*conn, error)
	free chan *conn // nil: one that is not open
	stop chan struct{}
}

func newReaders(n int, open func() (*conn, error)) *readers {
	r := &readers{open: open, free: make(chan *conn, n), stop: make(chan struct{})}
	for range n {
		r.free <- nil
	}
	return r
}

// with lends a connection to fn, outside any transaction: each statement sees what was
// committed last.
func (r *readers) with(ctx context.Context, fn func(*conn) error) error {
	c, err := r.take(ctx)
	if err != nil {
		return err
	}
	defer func() { r.free <- c }()
	return translate(fn(c))
}

func (r *readers) take(ctx context.Context) (*conn, error) {
	// A choice of select is by chance where several are ready.
	select {
	case <-r.stop:
		return nil, errClosed
	default:
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	var c *conn
	select {
	case <-r.stop:
		return nil, errClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	case c = <-r.free:
	}
	if c != nil {
		return c, nil
	}
	c, err := r.open()
	if err != nil {
		r.free <- nil
	}
	return c, err
}

// snapshot lends a connection that sees one moment.
func (r *readers) snapshot(ctx context.Context, fn func(*conn) error) error {
	c, err := r.take(ctx)
	if err != nil {
		return err
	}
	over := false
	defer func() {
		if !over { // fn panicked, or ended its goroutine
			r.end(c)
		}
	}()
	if _, err := c.exec(`BEGIN`, nil); err != nil {
		over = true
		r.end(c)
		return translate(err)
	}
	err = fn(c)
	over = true
	r.end(c)
	return err
}

// end ends a snapshot. A connection that cannot is closed.
func (r *readers) end(c *conn) {
	if _, err := c.exec(`ROLLBACK`, nil); err != nil {
		_ = c.close() // a new one is opened in its place
		c = nil
	}
	r.free <- c
}

// closeTimeout bounds the wait for what reads when the store is closed.
const closeTimeout = 10 * time.Second

func (r *readers) close() error {
	close(r.stop)
	late := time.After(closeTimeout)
	var errs []error
	for range cap(r.free) {
		select {
		case c := <-r.free:
			if c != nil {
				errs = append(errs, c.close())
			}
		case <-late:
			return errors.Join(append(errs, fmt.Errorf("sqlite: closed while something still reads after %s", closeTimeout))...)
		}
	}
	return errors.Join(errs...)
}
