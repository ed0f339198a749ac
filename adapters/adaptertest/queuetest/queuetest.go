package queuetest

import (
	"testing"
	"time"

	"github.com/redrive/redrive/ports"
)

// Subject is a queue under test with what it can do.
type Subject struct {
	Queue ports.Queue
	Feed  ports.Feed
	// Close closes both; every Receive then ends with ports.ErrClosed.
	Close func() error

	// RemembersAcked says that the queue deduplicates over a window of time and
	// not only while a job is outstanding, as brokers do: a job that was acked
	// may then be swallowed when it is enqueued again under the same epoch. The
	// same job under a new epoch must be delivered all the same.
	RemembersAcked bool
	// MayRepeat says that a job may be delivered again although it was acked or
	// is still in a worker's hands, without any fault.
	MayRepeat bool
	// ComesWhole says that a message of which a part was released, and which is then
	// not answered, comes again with that part: a broker's cannot be changed.
	ComesWhole bool
	// Skips says that Receive looks past what it is told to skip.
	Skips bool
	// Fair says that tenants are served in turn, also when their jobs wait.
	Fair bool
	// Broker is given where a broker hands messages to the process before they are received,
	// which takes it a moment: it counts as waiting what it has not handed over yet. What is
	// said of the order of messages holds for those that the process has.
	Broker ports.QueueStats
	// Quiet is how long the suite listens before it believes that nothing comes;
	// default 50 ms. Only a queue with slow polling needs more.
	Quiet time.Duration
	// Many is the number of jobs in the large test; default 10,000.
	Many int
}

// Factory gives a new empty queue. It registers with t whatever has to be
// stopped or removed afterwards. Subtests call it in parallel.
type Factory func(t *testing.T) Subject

// timeout bounds what must happen; only a queue that hangs uses it up.
const timeout = 60 * time.Second

// RunLease is the test for queues that deliver again what was not answered. They do it
// in here within seconds, which is too short a lease for the other tests.
func RunLease(t *testing.T, newQueue Factory) {
	t.Helper()
	testLease(t, newSubject(t, newQueue))
}

// Run runs the suite.
func Run(t *testing.T, newQueue Factory) {
	t.Helper()
	for _, test := range []struct {
		name string
		run  func(*testing.T, *subject)
	}{
		{"Delivers", testDelivers},
		{"RoundTrip", testRoundTrip},
		{"NotAliased", testNotAliased},
		{"NoJobs", testNoJobs},
		{"Limit", testLimit},
		{"Skip", testSkip},
		{"ReceiveWaits", testReceiveWaits},
		{"ReceiveIsCancelled", testReceiveIsCancelled},
		{"CancelledReceiveLosesNothing", testCancelledReceiveLosesNothing},
		{"EnqueueIsCancelled", testEnqueueIsCancelled},
		{"Closed", testClosed},
		{"Dedupe/Waiting", testDedupeWaiting},
		{"Dedupe/Delivered", testDedupeDelivered},
		{"Dedupe/InOneCall", testDedupeInOneCall},
		{"Dedupe/ByTheWholeKey", testDedupeByTheWholeKey},
		{"Dedupe/AfterNack", testDedupeAfterNack},
		{"NewEpoch/Waiting", testNewEpochWaiting},
		{"NewEpoch/Delivered", testNewEpochDelivered},
		{"NewEpoch/Acked", testNewEpochAcked},
		{"SameAgainAfterAck", testSameAgainAfterAck},
		{"Ack", testAck},
		{"Nack", testNack},
		{"AckAndNack", testAckAndNack},
		{"Redelivery", testRedelivery},
		{"Message/Travels", testMessageTravels},
		{"Message/OfOneKind", testMessageIsOfOneKind},
		{"Message/Repeats", testMessageRepeats},
		{"Message/Overlap", testMessagesOverlap},
		{"Release/AtOnce", testReleaseAtOnce},
		{"Release/ThenAck", testReleaseThenAck},
		{"Release/ThenNack", testReleaseThenNack},
		{"Release/All", testReleaseAll},
		{"Release/Refused", testReleaseRefused},
		{"Release/AgainAndAgain", testReleaseAgainAndAgain},
		{"Release/Shares", testReleaseShares},
		{"Fair/LargeMessages", testFairWithLargeMessages},
		{"ManyTogether", testManyTogether},
		{"Fair", testFair},
		{"Consumers", testConsumers},
		{"EnqueueAtOnce", testEnqueueAtOnce},
		{"Many", testMany},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.run(t, newSubject(t, newQueue))
		})
	}
}
