package sqlite

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// readers are the connections that read. They are opened when they are needed first.
type readers struct {
	open func() (*conn, error)
	free chan struct{} // one for each that nothing uses
	stop chan struct{}

	mu   sync.Mutex
	idle []*conn // that are open, the one used last at the end: it remembers the most
}

func newReaders(n int, open func() (*conn, error)) *readers {
	r := &readers{open: open, free: make(chan struct{}, n), stop: make(chan struct{})}
	for range n {
		r.free <- struct{}{}
	}
	return r
}

// give takes a connection back; nil: it was closed.
func (r *readers) give(c *conn) {
	if c != nil {
		r.mu.Lock()
		r.idle = append(r.idle, c)
		r.mu.Unlock()
	}
	r.free <- struct{}{}
}

// with lends a connection to fn, outside any transaction: each statement sees what was
// committed last.
func (r *readers) with(ctx context.Context, fn func(*conn) error) error {
	c, err := r.take(ctx)
	if err != nil {
		return err
	}
	defer r.give(c)
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
	select {
	case <-r.stop:
		return nil, errClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-r.free:
	}
	if c := r.last(); c != nil {
		return c, nil
	}
	c, err := r.open()
	if err != nil {
		r.give(nil)
	}
	return c, err
}

// last takes the connection that was used last, nil if none is open and idle.
func (r *readers) last() *conn {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := len(r.idle)
	if n == 0 {
		return nil
	}
	c := r.idle[n-1]
	r.idle[n-1] = nil
	r.idle = r.idle[:n-1]
	return c
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
	r.give(c)
}

// closeTimeout bounds the wait for what reads when the store is closed.
const closeTimeout = 10 * time.Second

func (r *readers) close() error {
	close(r.stop)
	late := time.After(closeTimeout)
	var errs []error
	for range cap(r.free) {
		select {
		case <-r.free:
			if c := r.last(); c != nil {
				errs = append(errs, c.close())
			}
		case <-late:
			return errors.Join(append(errs, fmt.Errorf("sqlite: closed while something still reads after %s", closeTimeout))...)
		}
	}
	return errors.Join(errs...)
}
