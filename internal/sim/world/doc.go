// Package world plays one scenario: tenants, users, workers and recovery loops in
// several processes that share one store and one queue, on the real use cases of
// core/app and the adapters of adapters/memory, with every port made hostile.
//
// A world has two phases. While faults may happen, users work through their
// scripts. Then faults stop and it heals: users finish, and everything that was
// begun has to come to its end.
package world
