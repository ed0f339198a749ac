// Package sched runs actors as coroutines on one goroutine and owns every choice:
// who goes on, which fault happens, which message comes first. It knows nothing
// of Redrive.
//
// An actor yields before each step that another actor could matter to. Between
// two yields nothing else runs, so a schedule is the sequence of actors chosen,
// and equal choices give equal executions, byte for byte.
//
// Every choice has a default: the actor that runs goes on until it waits, the
// next one after it takes over, nothing fails. What was chosen otherwise is
// recorded as deviations, keyed by the actor and its own number of steps, so that
// most of them keep their meaning when others are taken away. They are what is
// replayed and what is shrunk.
package sched
