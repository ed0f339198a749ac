package storetest

import (
	"testing"
	"time"

	"github.com/redrive/redrive/ports"
)

// Factory gives a new empty store. It registers with t whatever has to be
// stopped or removed afterwards. Subtests call it in parallel. A store that has
// a limit of open transactions needs at least 8 of them.
type Factory func(t *testing.T) ports.Store

// Options scale the suite. A zero value means the default of that field.
type Options struct {
	// Rounds is how often the Continue race is repeated on one run; default 20.
	Rounds int
	// Contenders is how many goroutines continue one run at once; default 50.
	Contenders int
	// RaceRounds is how many random operations each goroutine of the mixed
	// races makes; default 150.
	RaceRounds int
	// LargeRun is the number of files of the large runs; default 10,000.
	LargeRun int
	// Seed makes the mixed races repeat a seed that was logged; default: a new
	// one each time. Goroutines still interleave as they like.
	Seed uint64
	// NoSessions says that the store is no ports.SessionStore. It serves everything but
	// the page, whose sign-in needs one.
	NoSessions bool
	// NoTickets says that the store is no ports.TicketStore. It serves everything but
	// tickets for event streams.
	NoTickets bool
	// NoMoves says that the store is no ports.Mover. It serves everything but the move of
	// tenants to another database.
	NoMoves bool
}

func (o Options) withDefaults() Options {
	if o.Rounds == 0 {
		o.Rounds = 20
	}
	if o.Contenders == 0 {
		o.Contenders = 50
	}
	if o.RaceRounds == 0 {
		o.RaceRounds = 150
	}
	if o.LargeRun == 0 {
		o.LargeRun = 10_000
	}
	return o
}

const (
	// patience bounds what must happen. It is generous, since only a store that
	// hangs uses it up.
	patience = 2 * time.Minute
	// grace is given to what must not happen: a store that does it in time
	// fails, a slow one is not blamed for it.
	grace = 25 * time.Millisecond
)

// Run runs the whole suite with default options.
func Run(t *testing.T, newStore Factory) {
	t.Helper()
	RunWith(t, newStore, Options{})
}

// RunWith runs the whole suite.
func RunWith(t *testing.T, newStore Factory, o Options) {
	t.Helper()
	o = o.withDefaults()
	for _, group := range []struct {
		name string
		run  func(*testing.T, Factory, Options)
	}{
		{"Coverage", testCoverage},
		{"RoundTrip", testRoundTrips},
		{"Refused", testRefused},
		{"Runs", testRuns},
		{"Files", testFiles},
		{"Alike", testAlike},
		{"LockRows", testLockRows},
		{"Starts", testStarts},
		{"Lists", testLists},
		{"Find", testFind},
		{"Sessions", testSessions},
		{"Webhooks", testWebhooks},
		{"Tickets", testTickets},
		{"APIKeys", testAPIKeys},
		{"AuditLog", testAuditLog},
		{"Statements", testStatements},
		{"Ledger", testLedger},
		{"Transaction", testTransactions},
		{"ReadCommitted", testReadCommitted},
		{"Locks", testLocks},
		{"Deadlock", testDeadlocks},
		{"Cancellation", testCancellation},
		{"View", testView},
		{"TenantIsolation", testTenantIsolation},
		{"Large", testLarge},
		{"Continue", testContinues},
		{"Idempotency", testIdempotency},
		{"Replies", testReplies},
		{"Dispatch", testDispatch},
		{"Leases", testLeases},
		{"HotTenant", testHotTenant},
		{"Races", testRaces},
		{"LargeRun", testLargeRun},
		{"Moves", testMoves},
		{"Bulk", testBulk},
	} {
		t.Run(group.name, func(t *testing.T) {
			t.Parallel()
			group.run(t, newStore, o)
		})
	}
}
