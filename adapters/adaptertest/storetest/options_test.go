package storetest

import (
	"testing"

	"github.com/redrive/redrive/adapters/memory"
	"github.com/redrive/redrive/ports"
)

// A store need not keep sessions, if its author says so.
func TestNoSessions(t *testing.T) {
	t.Parallel()
	type hidden struct{ ports.Store }
	testSessions(t, func(*testing.T) ports.Store { return hidden{memory.NewStore()} }, Options{NoSessions: true})
}

// Nor need it move tenants.
func TestNoMoves(t *testing.T) {
	t.Parallel()
	type hidden struct{ ports.Store }
	testMoves(t, func(*testing.T) ports.Store { return hidden{memory.NewStore()} }, Options{NoMoves: true})
}
