// Package world plays one scenario: tenants, users, recovery loops and workers in
// several servers that share one store and one queue, on the real use cases of core/app
// and the adapters of adapters/memory, with every port made to fail.
//
// A server's worker is the real scheduler of core/app/worker. Its actions are carried out
// by actors (carriers), one each: what a goroutine does in a server, a carrier does here,
// one port call after the other, with everything else in between. A timer starts the
// scheduler and keeps its time. When the process dies, the scheduler is gone and another
// one begins.
//
// A world has two phases. While faults may happen, users work through their scripts. Then
// faults stop and it heals: users finish, and everything that was begun has to come to
// its end, in the schedulers too.
package world
