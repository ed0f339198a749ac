package queuetest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// subject is a Subject with what the tests do to it.
type subject struct {
	Subject             // whose Queue makes each job a message of its own
	many    ports.Queue // as it is
	ctx     context.Context
}

func newSubject(t *testing.T, newQueue Factory) *subject {
	t.Helper()
	s := newQueue(t)
	require.NotNil(t, s.Queue)
	require.NotNil(t, s.Feed)
	require.NotNil(t, s.Close)
	if s.Quiet == 0 {
		s.Quiet = 50 * time.Millisecond
	}
	if s.Many == 0 {
		s.Many = 10_000
	}
	many := s.Queue
	s.Queue = Singly{many}
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	t.Cleanup(cancel)
	return &subject{s, many, ctx}
}

// manySingly is how many messages of one job the large tests make: on Postgres each is a
// statement.
func (s *subject) manySingly() int { return min(s.Many, 2_000) }

// identity is what a queue tells jobs apart by.
type identity struct {
	tenant core.TenantID
	id     core.JobID
	epoch  core.Epoch
}

func identityOf(j core.Job) identity { return identity{j.Tenant, j.ID, j.Epoch} }

// job makes the job of one file of run "r".
func job(file int, epoch core.Epoch) core.Job {
	return core.Job{Tenant: "acme", Run: "r", Epoch: epoch, ID: core.FileJobID("r", file), Template: "t", Files: []int{file}}
}

func jobs(n int, epoch core.Epoch) []core.Job {
	list := make([]core.Job, n)
	for i := range list {
		list[i] = job(i, epoch)
	}
	return list
}

// enqueue must succeed, and every job must count as taken.
func (s *subject) enqueue(t *testing.T, list ...core.Job) {
	t.Helper()
	accepted, err := s.Queue.Enqueue(s.ctx, list)
	require.NoError(t, err)
	require.Equal(t, len(list), accepted, "jobs taken")
}

// receive collects n deliveries.
func (s *subject) receive(t *testing.T, n int) []ports.Delivery {
	t.Helper()
	var got []ports.Delivery
	for len(got) < n {
		more, err := s.Feed.Receive(s.ctx, n-len(got), ports.Skip{})
		require.NoError(t, err, "after %d of %d deliveries", len(got), n)
		require.NotEmpty(t, more, "Receive waits for at least one job")
		require.LessOrEqual(t, len(more), n-len(got), "limit")
		got = append(got, more...)
	}
	return got
}

func (s *subject) receiveOne(t *testing.T) ports.Delivery {
	t.Helper()
	return s.receive(t, 1)[0]
}

// ack acks deliveries and gives their jobs.
func (s *subject) ack(t *testing.T, list ...ports.Delivery) []core.Job {
	t.Helper()
	done := make([]core.Job, len(list))
	for i, d := range list {
		require.NoError(t, d.Ack(s.ctx))
		done[i] = d.Jobs()[0]
	}
	return done
}

// quiet checks that nothing is delivered any more.
func (s *subject) quiet(t *testing.T) {
	t.Helper()
	if s.MayRepeat {
		return
	}
	ctx, cancel := context.WithTimeout(s.ctx, s.Quiet)
	defer cancel()
	more, err := s.Feed.Receive(ctx, 10, ports.Skip{})
	for _, d := range more {
		require.Fail(t, "a delivery too many", "%+v", d.Jobs()[0])
	}
	require.ErrorIs(t, err, context.DeadlineExceeded)
}

// receiving is a Receive that goes on in a goroutine of its own.
type receiving struct {
	got []ports.Delivery
	err error
}

func (s *subject) receiveAsync(ctx context.Context, limit int) <-chan receiving {
	done := make(chan receiving, 1)
	go func() {
		got, err := s.Feed.Receive(ctx, limit, ports.Skip{})
		done <- receiving{got, err}
	}()
	return done
}

func await(t *testing.T, what string, done <-chan receiving) receiving {
	t.Helper()
	select {
	case r := <-done:
		return r
	case <-time.After(timeout):
		require.FailNow(t, "hangs", "%s did not end within %v", what, timeout)
		return receiving{}
	}
}

// over reports whether err says that ctx ended.
func over(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}
