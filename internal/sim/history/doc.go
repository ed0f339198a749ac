// Package history checks that what clients were answered is linearizable: that
// there is one order of all requests of a tenant, each between its call and its
// answer, in which the sequential model gives the same answers. Porcupine
// searches for the order.
//
// A history has the requests of users, and what workers, recovery and the refill
// wrote meanwhile. The latter are no requests, but the model has to know when a run
// closed. Three things are more than an atomic step:
//
//   - A Continue or an initiation whose enqueueing failed charges first and gives
//     back later; others can see what is between. It is two operations over the
//     same interval, the second of which needs the first.
//   - A request that was never answered, or answered with ports.ErrCommitUnknown,
//     may have happened or not, and may happen yet: its interval stays open, and
//     the model goes both ways. So it is with a compensation whose outcome is
//     unknown. In a simulated world nothing happens later than when its client goes
//     on, which bounds the interval (Recorder.Prompt), and a request that committed
//     nothing is known to have had no effect.
//   - A template is read without a lock. A request may be charged any price that
//     the template had while the request was under way; that alone is taken from
//     the history instead of the model.
//
// The search has a time limit. If it runs out, the verdict is Unknown, which is
// neither OK nor Illegal.
package history
