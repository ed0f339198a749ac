package storetest

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/ports"
)

// testContinues: of many Continues of one run at the same moment exactly one
// wins (I9). The others are told that the run is running, and charge nothing.
func testContinues(t *testing.T, newStore Factory, o Options) {
	t.Run("OneWins", func(t *testing.T) {
		t.Parallel()
		const files, failing = 7, 5
		s := newService(t, newStore, "acme")
		s.outcomes(func(_ ports.Task, index int) core.Outcome {
			switch {
			case index < failing:
				return core.OutcomeTransient
			case index == failing:
				return core.OutcomePermanent
			default:
				return core.OutcomeCompleted
			}
		})
		ctx := bounded(t)
		var run core.Run
		for round := range o.Rounds {
			if round%core.MaxMaxRetryCount == 0 { // the last one has used its retries
				run = s.initiate(t, "acme", files)
				require.NoError(t, s.work(ctx, s.servers[0]))
			}
			before, _, _ := s.read(t, run.ID)
			require.Equal(t, core.RunCompletedWithErrors, before.Status)
			chargesBefore := len(charges(t, s.store, "acme"))

			answers := make([]core.Run, o.Contenders)
			won := -1
			for i, err := range together(t, o.Contenders, func(i int) (err error) {
				answers[i], err = s.servers[i%len(s.servers)].RetryFailed(ctx, admin("acme"), run.ID, app.RetryRequest{})
				return err
			}) {
				if err == nil {
					require.Equal(t, -1, won, "round %d: a second Continue was accepted", round)
					won = i
					continue
				}
				require.ErrorIs(t, err, core.ErrRunAlreadyRunning, "round %d", round)
			}
			require.NotEqual(t, -1, won, "round %d: no Continue was accepted", round)
			require.Equal(t, before.Attempt+1, answers[won].Attempt)
			after := charges(t, s.store, "acme")
			require.Len(t, after, chargesBefore+1, "round %d", round)
			require.Equal(t, failing*price, after[len(after)-1].Amount.Total())
			require.Equal(t, failing, s.queue.Len(), "jobs in the queue")
			dispatched, _, _ := s.read(t, run.ID)
			require.Equal(t, core.DispatchConfirmed, dispatched.Dispatch)
			s.check(t)

			for i, err := range together(t, 4, func(i int) error { return s.work(ctx, s.servers[i%len(s.servers)]) }) {
				require.NoError(t, err, "worker %d", i)
			}
			closed, rows, _ := s.read(t, run.ID)
			require.Equal(t, core.RunCompletedWithErrors, closed.Status)
			require.Equal(t, before.Attempt+1, closed.Attempt)
			require.Equal(t, before.CreditsConsumed+failing*price, closed.CreditsConsumed)
			for i := range failing {
				require.Equal(t, before.Attempt+1, core.AttemptNumber(rows[i].RetryAttempt), "file %d", i)
			}
			s.check(t)
		}
	})

	// Both charge the same credits, which suffice for one of them.
	t.Run("OneOfTwoRunsCanPay", func(t *testing.T) {
		t.Parallel()
		for range max(1, o.Rounds/4) {
			s := newService(t, newStore, "acme")
			s.outcomes(func(ports.Task, int) core.Outcome { return core.OutcomeTransient })
			ctx := bounded(t)
			runs := []core.Run{s.initiate(t, "acme", 4), s.initiate(t, "acme", 4)}
			require.NoError(t, s.work(ctx, s.servers[0]))
			left := MustRead(t, s.store, "acme").Balances[0].Total()
			expensive := left / 6 // four cannot be paid twice
			_, err := s.servers[0].ChangeTemplate(ctx, core.System, "acme", "t", core.TemplateChange{CreditsPerRun: &expensive})
			require.NoError(t, err)
			won := 0
			for _, err := range together(t, 2, func(i int) error {
				_, err := s.servers[i].RetryFailed(ctx, admin("acme"), runs[i].ID, app.RetryRequest{})
				return err
			}) {
				if err == nil {
					won++
					continue
				}
				var refusal *core.Error
				require.ErrorAs(t, err, &refusal)
				require.Equal(t, core.CodeInsufficientCredits, refusal.Code)
				require.Equal(t, left-4*expensive, refusal.Available)
			}
			require.Equal(t, 1, won)
			s.check(t)
		}
	})

	// Continues of many runs of one tenant: all are accepted, the credits are
	// taken one after the other.
	t.Run("OfManyRuns", func(t *testing.T) {
		t.Parallel()
		s := newService(t, newStore, "acme", "beta")
		s.outcomes(func(ports.Task, int) core.Outcome { return core.OutcomeTransient })
		ctx := bounded(t)
		var runs []core.Run
		for i := range 20 {
			runs = append(runs, s.initiate(t, s.tenants[i%2], 3))
		}
		require.NoError(t, s.work(ctx, s.servers[0]))
		for i, err := range together(t, 2*len(runs), func(i int) error {
			run := runs[i%len(runs)]
			if i >= len(runs) {
				_, err := s.servers[0].PurchaseCredits(ctx, core.System, run.Tenant, core.Key(fmt.Sprint("more-", i)), 7)
				return err
			}
			_, err := s.servers[i%len(s.servers)].RetryFailed(ctx, admin(run.Tenant), run.ID, app.RetryRequest{})
			return err
		}) {
			require.NoError(t, err, "goroutine %d", i)
		}
		s.check(t)
		for _, id := range s.tenants {
			c := MustRead(t, s.store, id)
			require.Equal(t, core.Credits(1000+100+1_000_000+10*7)-2*10*3*price, c.Balances[0].Total())
		}
	})
}

// refusedAs reports whether err is one of the refusals that a race may bring.
func refusedAs(err error, codes ...core.Code) bool {
	var refusal *core.Error
	if !errors.As(err, &refusal) {
		return false
	}
	for _, code := range codes {
		if refusal.Code == code {
			return true
		}
	}
	return false
}
