package queuetest

import (
	"context"

	"github.com/redrive/redrive/ports"

	"github.com/redrive/redrive/core"
)

// Singly makes each job a message of its own, for tests that deal with jobs one by one.
type Singly struct{ ports.Queue }

// Enqueue implements ports.Queue.
func (q Singly) Enqueue(ctx context.Context, jobs []core.Job) (accepted int, err error) {
	for i := 0; i < len(jobs) && err == nil; i++ {
		var n int
		n, err = q.Queue.Enqueue(ctx, jobs[i:i+1])
		accepted += n
	}
	if len(jobs) == 0 {
		return q.Queue.Enqueue(ctx, jobs)
	}
	return accepted, err
}
