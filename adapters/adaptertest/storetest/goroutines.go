package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// errRollback is what a test returns from a transaction to have it undone.
var errRollback = errors.New("the test wants this rolled back")

// bounded is a context that ends when the test ends or patience is used up, so
// that a store which hangs fails a test instead of the whole run.
func bounded(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// async runs fn in a goroutine of its own. A panic comes back as an error.
func async(fn func() error) <-chan error {
	done := make(chan error, 1)
	go func() {
		defer func() {
			if p := recover(); p != nil {
				done <- fmt.Errorf("panic: %v", p)
			}
		}()
		done <- fn()
	}()
	return done
}

// await gives what the goroutine returned; it fails the test if that takes for ever.
func await(t *testing.T, what string, done <-chan error) error {
	t.Helper()
	select {
	case err := <-done:
		return err
	case <-time.After(patience):
		require.FailNow(t, "hangs", "%s did not end within %v", what, patience)
		return nil
	}
}

// together starts n goroutines at the same moment and gives their errors in order.
func together(t *testing.T, n int, fn func(i int) error) []error {
	t.Helper()
	start := make(chan struct{})
	done := make([]<-chan error, n)
	for i := range n {
		done[i] = async(func() error {
			<-start
			return fn(i)
		})
	}
	close(start)
	errs := make([]error, n)
	for i := range n {
		errs[i] = await(t, fmt.Sprintf("goroutine %d of %d", i, n), done[i])
	}
	return errs
}

// rendezvous lets parties meet once; a party that comes back later (because its
// transaction is run again) passes at once.
type rendezvous struct {
	mu      sync.Mutex
	missing int
	open    chan struct{}
}

func newRendezvous(parties int) *rendezvous {
	return &rendezvous{missing: parties, open: make(chan struct{})}
}

// meet waits for the others, or for ctx.
func (r *rendezvous) meet(ctx context.Context) error {
	r.mu.Lock()
	r.missing--
	if r.missing == 0 {
		close(r.open)
	}
	r.mu.Unlock()
	select {
	case <-r.open:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// commit runs fn in a transaction that must succeed.
func commit(t *testing.T, s ports.Store, tenant core.TenantID, fn func(ctx context.Context, tx ports.Tx) error) {
	t.Helper()
	ctx := bounded(t)
	require.NoError(t, s.InTx(ctx, tenant, func(tx ports.Tx) error { return fn(ctx, tx) }))
}

// view runs fn in a View that must succeed.
func view(t *testing.T, s ports.Store, tenant core.TenantID, fn func(ctx context.Context, tx ports.Tx) error) {
	t.Helper()
	ctx := bounded(t)
	require.NoError(t, s.View(ctx, tenant, func(tx ports.Tx) error { return fn(ctx, tx) }))
}

// mayGiveWay reports whether the store asks for the transaction to be run again.
func mayGiveWay(err error) bool {
	return errors.Is(err, ports.ErrDeadlock) || errors.Is(err, ports.ErrSerialization) || errors.Is(err, ports.ErrLockTimeout)
}

// insist runs a transaction again for as long as the store says that it had to
// give way. It counts how often that was.
func insist(ctx context.Context, s ports.Store, tenant core.TenantID, fn func(tx ports.Tx) error) (gaveWay int, err error) {
	for {
		err := s.InTx(ctx, tenant, fn)
		if !mayGiveWay(err) || ctx.Err() != nil {
			return gaveWay, err
		}
		gaveWay++
	}
}
