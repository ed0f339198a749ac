// Package faults wraps every port of a simulated process. Each call first yields
// to the scheduler, then may fail in one of the ways that its real adapter can,
// and what gets through is recorded and told to the oracle. A call of an actor
// that was killed has no effect.
package faults
