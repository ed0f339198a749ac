package storetest

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/ports"
)

// testLeases: who holds a file, who has lost it, and whose result counts.
func testLeases(t *testing.T, newStore Factory, _ Options) {
	t.Run("LateResultIsFenced", func(t *testing.T) {
		t.Parallel()
		s, run := startedRun(t, newStore, 2)
		late := s.claim(t, 2)
		s.clock.Advance(lease)
		s.recover(t)
		require.Equal(t, 2, s.queue.Len(), "under a new epoch")
		before := MustRead(t, s.store, "acme")
		s.settle(t, late) // pending again
		equal(t, before, MustRead(t, s.store, "acme"))
		second := s.claim(t, 2)
		before = MustRead(t, s.store, "acme")
		s.settle(t, late) // claimed by another worker
		equal(t, before, MustRead(t, s.store, "acme"))
		s.settle(t, second)
		before = MustRead(t, s.store, "acme")
		s.settle(t, late) // done
		s.settle(t, second)
		equal(t, before, MustRead(t, s.store, "acme"))
		closed, files, _ := s.read(t, run.ID)
		require.Equal(t, core.RunCompleted, closed.Status)
		require.Equal(t, 1, files[0].Redeliveries)
		s.check(t)
	})

	t.Run("OldMessageIsDropped", func(t *testing.T) {
		t.Parallel()
		s, _ := startedRun(t, newStore, 1)
		old := s.claim(t, 1)
		s.clock.Advance(lease)
		s.recover(t)
		before := MustRead(t, s.store, "acme")
		claimed, _, err := s.servers[0].Claim(bounded(t), []core.Job{old[0].Job}, app.WaitForLock)
		require.NoError(t, err)
		require.Empty(t, claimed)
		equal(t, before, MustRead(t, s.store, "acme"))
		again := s.claim(t, 1)
		claimed, _, err = s.servers[0].Claim(bounded(t), []core.Job{again[0].Job}, app.WaitForLock)
		require.NoError(t, err)
		require.Empty(t, claimed, "a second delivery")
	})

	t.Run("RenewedLeaseHolds", func(t *testing.T) {
		t.Parallel()
		s, run := startedRun(t, newStore, 1)
		held := s.claim(t, 1)
		for range 5 {
			s.clock.Advance(lease - time.Second)
			lost, _, err := s.servers[0].Renew(bounded(t), []core.Job{held[0].Job}, app.WaitForLock)
			require.NoError(t, err)
			require.Empty(t, lost)
			s.recover(t)
		}
		require.Zero(t, s.queue.Len())
		s.settle(t, held)
		closed, _, _ := s.read(t, run.ID)
		require.Equal(t, core.RunCompleted, closed.Status)
		lost, _, err := s.servers[0].Renew(bounded(t), []core.Job{held[0].Job}, app.WaitForLock)
		require.NoError(t, err)
		require.Len(t, lost, 1)
		s.check(t)
	})

	t.Run("HandedBackIsClaimedAtOnce", func(t *testing.T) {
		t.Parallel()
		s, run := startedRun(t, newStore, 2)
		held := s.claim(t, 2)
		require.NoError(t, s.servers[0].HandBack(bounded(t), []core.Job{held[0].Job, held[1].Job}))
		require.Equal(t, 2, s.queue.Len())
		again := s.claim(t, 2)
		s.settle(t, held)
		s.settle(t, again)
		closed, files, _ := s.read(t, run.ID)
		require.Equal(t, core.RunCompleted, closed.Status)
		require.Zero(t, files[0].Redeliveries, "no worker died")
		s.check(t)
	})

	t.Run("CancelledIsFencedAndFree", func(t *testing.T) {
		t.Parallel()
		s, run := startedRun(t, newStore, 3)
		ctx := bounded(t)
		held := s.claim(t, 2)
		s.settle(t, held[:1])
		cancelled, err := s.servers[0].Cancel(ctx, admin("acme"), run.ID)
		require.NoError(t, err)
		require.Equal(t, core.RunInterrupted, cancelled.Status)
		s.settle(t, held[1:])
		s.check(t)
		require.NoError(t, s.work(ctx, s.servers[0])) // what was waiting does nothing any more
		balances := MustRead(t, s.store, "acme").Balances
		continued, err := s.servers[0].RetryFailed(ctx, admin("acme"), run.ID, app.RetryRequest{})
		require.NoError(t, err)
		require.Equal(t, 2, continued.AttemptJobs)
		equal(t, balances, MustRead(t, s.store, "acme").Balances, "they were paid for")
		again := s.claim(t, 2)
		s.settle(t, held[1:]) // of the time before the cancel
		s.check(t)
		s.settle(t, again)
		closed, _, _ := s.read(t, run.ID)
		require.Equal(t, core.RunCompleted, closed.Status)
		s.check(t)
	})

	// Its worker dies again and again: recovery gives up, the run closes, and to
	// continue it is free.
	t.Run("GivenUp", func(t *testing.T) {
		t.Parallel()
		s, run := startedRun(t, newStore, 1)
		for range 3 {
			s.claim(t, 1)
			s.clock.Advance(lease)
			s.recover(t)
		}
		closed, _, _ := s.read(t, run.ID)
		require.Equal(t, core.RunInterrupted, closed.Status)
		require.Equal(t, core.ReasonRedeliveriesExhausted, closed.Reason)
		s.check(t)
		continued, err := s.servers[0].RetryFailed(bounded(t), admin("acme"), run.ID, app.RetryRequest{})
		require.NoError(t, err)
		require.Equal(t, closed.CreditsConsumed, continued.CreditsConsumed)
		s.settle(t, s.claim(t, 1))
		closed, _, _ = s.read(t, run.ID)
		require.Equal(t, core.RunCompleted, closed.Status)
		s.check(t)
	})

	// The queue loses a job: recovery sends it again under its own epoch, and if
	// it was not lost after all, nothing comes of it.
	t.Run("LostMessage", func(t *testing.T) {
		t.Parallel()
		s, run := startedRun(t, newStore, 1)
		ctx := bounded(t)
		got, err := s.queue.Receive(ctx, 1, ports.Skip{})
		require.NoError(t, err)
		require.NoError(t, got[0].Ack(ctx)) // acked and never claimed
		s.clock.Advance(2 * time.Minute)
		s.recover(t)
		require.Equal(t, 1, s.queue.Len())
		s.settle(t, s.claim(t, 1))
		claimed, _, err := s.servers[0].Claim(ctx, got[0].Jobs(), app.WaitForLock)
		require.NoError(t, err)
		require.Empty(t, claimed)
		closed, _, _ := s.read(t, run.ID)
		require.Equal(t, core.RunCompleted, closed.Status)
		s.check(t)
	})
}

func startedRun(t *testing.T, newStore Factory, files int) (*service, core.Run) {
	t.Helper()
	s := newService(t, newStore, "acme")
	return s, s.initiate(t, "acme", files)
}

// claim receives, claims, acks and executes n jobs, which must be there, and
// gives their results, to be settled or not.
func (s *service) claim(t *testing.T, n int) []core.Settlement {
	t.Helper()
	ctx := bounded(t)
	var deliveries []ports.Delivery
	for len(deliveries) < n {
		require.Positive(t, s.queue.Len())
		more, err := s.queue.Receive(ctx, n-len(deliveries), ports.Skip{})
		require.NoError(t, err)
		deliveries = append(deliveries, more...)
	}
	var all []app.Claimed
	for _, d := range deliveries {
		claimed, _, err := s.servers[0].Claim(ctx, d.Jobs(), app.WaitForLock)
		require.NoError(t, err)
		require.NoError(t, d.Ack(ctx))
		all = append(all, claimed...)
	}
	require.Len(t, all, n)
	settlements, err := executeAll(ctx, s.servers[0], all)
	require.NoError(t, err)
	return settlements
}

func (s *service) settle(t *testing.T, settlements []core.Settlement) {
	t.Helper()
	require.NoError(t, settle(bounded(t), s.servers[1], settlements))
}

func (s *service) recover(t *testing.T) {
	t.Helper()
	_, err := s.servers[2].Recover(bounded(t), 1000)
	require.NoError(t, err)
}
