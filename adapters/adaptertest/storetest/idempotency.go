package storetest

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/ports"
)

// testIdempotency: whatever is asked for under one key, however often and at
// whatever moment, happens once, and every caller gets the same answer.
func testIdempotency(t *testing.T, newStore Factory, o Options) {
	t.Run("Initiate", func(t *testing.T) {
		t.Parallel()
		s := newService(t, newStore, "acme", "beta")
		ctx := bounded(t)
		for round := range max(1, o.Rounds/4) {
			key := core.Key(fmt.Sprint("key-", round))
			answers := make([]core.Run, o.Contenders)
			for i, err := range together(t, o.Contenders, func(i int) (err error) {
				req := s.request(s.tenants[i%2], 5) // both tenants use the same key
				req.IdempotencyKey = key
				answers[i], err = s.servers[i%len(s.servers)].Initiate(ctx, admin(req.Tenant), req)
				return err
			}) {
				require.NoError(t, err, "goroutine %d", i)
				require.Equal(t, answers[i%2], answers[i], "every caller gets the first answer")
			}
			require.NotEqual(t, answers[0].ID, answers[1].ID, "another tenant's is another")
		}
		for _, id := range s.tenants {
			c := MustRead(t, s.store, id)
			require.Len(t, c.Runs, max(1, o.Rounds/4))
			require.Len(t, charges(t, s.store, id), len(c.Runs))
		}
		require.Equal(t, 2*5*max(1, o.Rounds/4), s.queue.Len())
		s.check(t)
	})

	t.Run("InitiateOfSomethingElse", func(t *testing.T) {
		t.Parallel()
		s := newService(t, newStore, "acme")
		ctx := bounded(t)
		reused := 0
		for _, err := range together(t, o.Contenders, func(i int) error {
			req := s.request("acme", 1+i%2)
			req.IdempotencyKey = "key"
			_, err := s.servers[i%len(s.servers)].Initiate(ctx, admin("acme"), req)
			return err
		}) {
			if err != nil {
				require.ErrorIs(t, err, core.ErrIdempotencyKeyReused)
				reused++
			}
		}
		require.Equal(t, o.Contenders/2, reused)
		require.Len(t, MustRead(t, s.store, "acme").Runs, 1)
		s.check(t)
	})

	t.Run("Refusal", func(t *testing.T) {
		t.Parallel()
		s := newService(t, newStore, "acme")
		ctx := bounded(t)
		tooMuch := core.Credits(900_000)
		_, err := s.servers[0].ChangeTemplate(ctx, core.System, "acme", "t", core.TemplateChange{CreditsPerRun: &tooMuch})
		require.NoError(t, err)
		before := MustRead(t, s.store, "acme")
		ask := func(i int) error {
			req := s.request("acme", 2)
			req.IdempotencyKey = "key"
			_, err := s.servers[i%len(s.servers)].Initiate(ctx, admin("acme"), req)
			return err
		}
		for _, err := range together(t, 10, ask) {
			require.ErrorIs(t, err, core.ErrInsufficientCredits)
		}
		equal(t, before, MustRead(t, s.store, "acme"))
		_, err = s.servers[0].PurchaseCredits(ctx, core.System, "acme", "rich", 10_000_000)
		require.NoError(t, err)
		require.ErrorIs(t, ask(0), core.ErrInsufficientCredits, "the first answer stands")
		s.check(t)
	})

	t.Run("Continue", func(t *testing.T) {
		t.Parallel()
		s := newService(t, newStore, "acme")
		s.outcomes(func(ports.Task, int) core.Outcome { return core.OutcomeTransient })
		ctx := bounded(t)
		run := s.initiate(t, "acme", 4)
		require.NoError(t, s.work(ctx, s.servers[0]))
		for round := range 5 {
			answers := make([]core.Run, o.Contenders)
			for i, err := range together(t, o.Contenders, func(i int) (err error) {
				answers[i], err = s.servers[i%len(s.servers)].RetryFailed(ctx, admin("acme"), run.ID, app.RetryRequest{IdempotencyKey: core.Key(fmt.Sprint("key-", round))})
				return err
			}) {
				require.NoError(t, err)
				require.Equal(t, core.AttemptNumber(round+1), answers[i].Attempt)
				require.Equal(t, answers[0], answers[i])
			}
			require.NoError(t, s.work(ctx, s.servers[1]))
			require.Len(t, charges(t, s.store, "acme"), round+2)
			s.check(t)
		}
	})

	// The runs' locks do not keep these apart: only the key does. Both look for
	// an answer before either has one.
	t.Run("OneKeyForTwoRuns", func(t *testing.T) {
		t.Parallel()
		var lookups atomic.Pointer[rendezvous]
		s := newService(t, func(t *testing.T) ports.Store { return meetingStore{newStore(t), &lookups} }, "acme")
		s.outcomes(func(ports.Task, int) core.Outcome { return core.OutcomeTransient })
		ctx := bounded(t)
		for round := range 4 {
			runs := []core.Run{s.initiate(t, "acme", 2), s.initiate(t, "acme", 2)}
			if round%2 == 0 {
				require.NoError(t, s.work(ctx, s.servers[0])) // else they are refused, and that is the answer
			}
			key := core.Key(fmt.Sprint("key-", round))
			first := 0
			lookups.Store(newRendezvous(2))
			for _, err := range together(t, 2, func(i int) error {
				_, err := s.servers[i].RetryFailed(ctx, admin("acme"), runs[i].ID, app.RetryRequest{IdempotencyKey: key})
				return err
			}) {
				if err == nil || refusedAs(err, core.CodeRunAlreadyRunning) {
					first++
					continue
				}
				require.ErrorIs(t, err, core.ErrIdempotencyKeyReused, "round %d", round)
			}
			lookups.Store(nil)
			require.Equal(t, 1, first, "round %d", round)
			s.check(t)
		}
	})

	t.Run("GrantRepeatedWhenItsMonthIsOver", func(t *testing.T) {
		t.Parallel()
		s := newService(t, newStore, "acme")
		ctx := bounded(t)
		before := MustRead(t, s.store, "acme")
		s.clock.Advance(time.Hour)
		again, err := s.servers[0].GrantAllowance(ctx, core.System, "acme", "march", march, 100)
		require.NoError(t, err, "a repeat gets the first answer, however late")
		require.Equal(t, before.Entries[2], again) // after the two months that it was made with
		again, err = s.servers[0].PurchaseCredits(ctx, core.System, "acme", "first", 1_000_000)
		require.NoError(t, err)
		require.Equal(t, before.Entries[3], again)
		equal(t, before, MustRead(t, s.store, "acme"))
	})

	t.Run("Grants", func(t *testing.T) {
		t.Parallel()
		s := newService(t, newStore, "acme")
		ctx := bounded(t)
		before := MustRead(t, s.store, "acme")
		entries := make([]core.Entry, o.Contenders)
		for i, err := range together(t, o.Contenders, func(i int) (err error) {
			entries[i], err = s.servers[i%len(s.servers)].PurchaseCredits(ctx, core.System, "acme", "purchase", 11)
			return err
		}) {
			require.NoError(t, err)
			require.Equal(t, entries[0], entries[i])
		}
		for _, err := range together(t, 9, func(i int) error { return s.servers[i%len(s.servers)].Refill(ctx) }) {
			require.NoError(t, err)
		}
		s.clock.Advance(time.Hour) // into April, which the tenant was granted when it was made
		for _, err := range together(t, 9, func(i int) error { return s.servers[i%len(s.servers)].Refill(ctx) }) {
			require.NoError(t, err)
		}
		c := MustRead(t, s.store, "acme")
		require.Len(t, c.Entries, len(before.Entries)+1)
		require.Equal(t, []core.Balance{balance(march, 1100, 1_000_011), balance(april, 1000, 1_000_011)}, c.Balances)
		s.check(t)
	})
}

// meetingStore lets transactions meet when they look for an answer, for as long
// as lookups has a rendezvous. Who is kept from it by a lock is not waited for
// longer than grace.
type meetingStore struct {
	ports.Store
	lookups *atomic.Pointer[rendezvous]
}

// InTx implements ports.Store.
func (s meetingStore) InTx(ctx context.Context, tenant core.TenantID, fn func(ports.Tx) error) error {
	return s.Store.InTx(ctx, tenant, func(tx ports.Tx) error { return fn(meetingTx{tx, s.lookups}) })
}

type meetingTx struct {
	ports.Tx
	lookups *atomic.Pointer[rendezvous]
}

// Answers implements ports.Tx.
func (t meetingTx) Answers() ports.Answers { return meetingAnswers{t.Tx.Answers(), t.lookups} }

type meetingAnswers struct {
	ports.Answers
	lookups *atomic.Pointer[rendezvous]
}

// Get implements ports.Answers.
func (a meetingAnswers) Get(ctx context.Context, key core.Key) (core.Answer, error) {
	answer, err := a.Answers.Get(ctx, key)
	if r := a.lookups.Load(); r != nil {
		soon, cancel := context.WithTimeout(ctx, grace)
		defer cancel()
		_ = r.meet(soon) // alone is fine too
	}
	return answer, err
}
