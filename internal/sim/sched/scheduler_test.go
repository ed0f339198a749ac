package sched_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/internal/sim/sched"
)

// run lets everybody go on until nobody can.
func run(s *sched.Scheduler) (order []sched.ActorID) {
	for {
		id, ok := s.Choose()
		if !ok {
			return order
		}
		s.Begin(id)
		s.Step(id)
		order = append(order, id)
	}
}

// withdrawals is the classic: two read a balance, yield, and write it.
func withdrawals(s *sched.Scheduler, c sched.Chooser) (balance int, order []sched.ActorID) {
	s.Reset(c, time.Time{})
	balance = 100
	for range 3 {
		s.Go(s.Add(), func() {
			read := balance
			s.Yield()
			balance = read - 10
		})
	}
	order = run(s)
	return balance, order
}

func TestWalkFindsALostUpdateAndReplaysIt(t *testing.T) {
	t.Parallel()
	s := sched.New()
	defer s.Close()
	balance, _ := withdrawals(s, sched.Default{})
	require.Equal(t, 70, balance, "by default each goes on until it is done")
	require.Empty(t, s.Deviations())

	var rates sched.Rates
	for seed := range uint64(100) {
		var walk sched.Walk
		walk.Reset(seed, &rates)
		balance, order := withdrawals(s, &walk)
		if balance == 70 {
			continue
		}
		deviations := append([]sched.Deviation(nil), s.Deviations()...)
		again, same := withdrawals(s, sched.NewReplay(deviations))
		require.Equal(t, balance, again)
		require.Equal(t, order, same)
		require.Equal(t, deviations, s.Deviations())
		return
	}
	t.Fatal("100 random walks lost no update")
}

func TestKilledActorUnwinds(t *testing.T) {
	t.Parallel()
	s := sched.New()
	defer s.Close()
	s.Reset(sched.Default{}, time.Time{})
	id := s.Add()
	var effects []string
	s.Go(id, func() {
		defer func() {
			effects = append(effects, "unwound")
			s.Alive() // as every port does
			effects = append(effects, "never")
		}()
		defer func() { _ = recover() }() // as an executor's guard does
		s.Yield()
		effects = append(effects, "never")
	})
	s.Begin(id)
	s.Step(id)
	require.False(t, s.Idle(id))
	s.Kill(id)
	require.True(t, s.Idle(id))
	require.Equal(t, []string{"unwound"}, effects)
	require.Nil(t, s.Panicked(id))

	s.Go(id, func() { effects = append(effects, "again") })
	s.Begin(id)
	s.Step(id)
	require.Equal(t, []string{"unwound", "again"}, effects)
}

func TestPanicKeepsItsStack(t *testing.T) {
	t.Parallel()
	s := sched.New()
	defer s.Close()
	s.Reset(sched.Default{}, time.Time{})
	id := s.Add()
	s.Go(id, func() { breakDown() })
	s.Begin(id)
	s.Step(id)
	p := s.Panicked(id)
	require.NotNil(t, p)
	require.Equal(t, "broken", p.Value)
	require.Contains(t, string(p.Stack), "breakDown")
}

func breakDown() { panic("broken") }

func TestTimePassesWhenEverybodySleeps(t *testing.T) {
	t.Parallel()
	s := sched.New()
	defer s.Close()
	began := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	s.Reset(sched.Default{}, began)
	var woke []string
	for _, after := range []time.Duration{3 * time.Hour, time.Hour, 2 * time.Hour} {
		s.Go(s.Add(), func() {
			s.Sleep(began.Add(after))
			woke = append(woke, fmt.Sprint(after, s.Now.Sub(began)))
		})
	}
	run(s)
	require.Equal(t, []string{"1h0m0s 1h0m0s", "2h0m0s 2h0m0s", "3h0m0s 3h0m0s"}, woke)
}

func TestLockWaitOfAKilledActorFails(t *testing.T) {
	t.Parallel()
	s := sched.New()
	defer s.Close()
	s.Reset(sched.Default{}, time.Time{})
	id := s.Add()
	errs := errors.New("never")
	s.Go(id, func() {
		wait, _ := s.LockWait()
		errs = wait(t.Context())
		s.Alive()
	})
	s.Begin(id)
	s.Step(id)
	s.WakeAll()
	require.Error(t, errs)
	run(s)
	require.EqualError(t, errs, "never", "only the lock's holder wakes who waits for it")
	s.Kill(id)
	require.EqualError(t, errs, "sched: killed")
}
