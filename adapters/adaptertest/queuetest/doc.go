// Package queuetest is the conformance suite of ports.Queue and ports.Feed.
// Every adapter runs it from a test of its own:
//
//	func TestQueue(t *testing.T) {
//		queuetest.Run(t, func(t *testing.T) queuetest.Subject {
//			q := newQueue(t)
//			return queuetest.Subject{Queue: q, Feed: q, Close: q.Close}
//		})
//	}
//
// The contract lets a queue lose, repeat, reorder and delay jobs, and nothing
// in Redrive depends on better. A queue that did so without any fault would be
// of no use, though, so the suite holds it to more: while nothing breaks, what
// was enqueued is delivered, once, until it is acked.
//
// # What a queue has to do to pass
//
//   - Jobs travel in messages as ports.Messages cuts them, and share no memory with the
//     caller. A message of exactly the jobs of an outstanding one is carried once.
//   - Receive waits, for ctx and Close too, and gives no more jobs than it must. A Receive
//     that is cancelled has taken nothing.
//   - Ack, Nack and Release concern what the delivery still has, and repeats do nothing.
//     What is released is delivered at once; ports.SplitMessage says what stays.
//   - Of 10,000 jobs none is lost and none comes twice, with one consumer or with many.
//
// The fields of Subject say what the port leaves open. A queue that gives back by itself
// what was not answered runs RunLease as well, with a lease of a second or so.
//
// # How long it takes
//
// 1 s in memory, 10 s over a broker or a database, on two cores.
package queuetest
