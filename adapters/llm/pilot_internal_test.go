package llm

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
)

// Files that begin at the same moment do not all send a credential that is refused.
func TestPilots(t *testing.T) {
	t.Parallel()
	key, other := templateKey{tenant: "acme", id: "t", version: 1}, templateKey{tenant: "acme", id: "t", version: 2}
	refused, completed := ours(FailureUnauthorized), core.FileResult{Outcome: core.OutcomeCompleted}
	unreadable := ours(core.FailureUnreadable)

	// others are n files that begin while the first is under way. It gives how many of
	// them shared its refusal, and how many made a request.
	others := func(t *testing.T, p *pilots, n int) func() (shared, asked int) {
		type outcome struct{ shared bool }
		all := make(chan outcome, n)
		for range n {
			go func() {
				after, refusal := p.before(t.Context(), key)
				if refusal != nil {
					all <- outcome{true}
					return
				}
				after(completed)
				all <- outcome{false}
			}()
		}
		synctest.Wait()
		return func() (shared, asked int) {
			for range n {
				if (<-all).shared {
					shared++
				} else {
					asked++
				}
			}
			return shared, asked
		}
	}
	bubble := func(name string, do func(t *testing.T, p *pilots)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { do(t, newPilots()) })
		})
	}

	bubble("ARefusalIsThatOfAll", func(t *testing.T, p *pilots) {
		after, _ := p.before(t.Context(), key)
		outcome := others(t, p, 30)
		afterOther, refusal := p.before(t.Context(), other)
		require.Nil(t, refusal, "another template asks for itself")
		afterOther(completed)
		after(refused)
		shared, asked := outcome()
		require.Equal(t, 30, shared)
		require.Zero(t, asked)

		after, refusal = p.before(t.Context(), key)
		require.Nil(t, refusal, "the next one finds out whether it is fixed")
		outcome = others(t, p, 5)
		after(completed)
		shared, asked = outcome()
		require.Zero(t, shared)
		require.Equal(t, 5, asked)
	})
	bubble("OnceAnsweredNothingWaits", func(t *testing.T, p *pilots) {
		after, _ := p.before(t.Context(), key)
		after(completed)
		first, _ := p.before(t.Context(), key)
		began := time.Now()
		_, asked := others(t, p, 10)()
		require.Equal(t, 10, asked)
		require.Zero(t, time.Since(began))
		first(refused)
		last, refusal := p.before(t.Context(), key)
		require.Nil(t, refusal)
		outcome := others(t, p, 3)
		last(refused)
		shared, _ := outcome()
		require.Equal(t, 3, shared, "a refusal later on makes them wait again")
	})
	bubble("ASlowOneIsNotWaitedFor", func(t *testing.T, p *pilots) {
		after, _ := p.before(t.Context(), key)
		began := time.Now()
		_, asked := others(t, p, 4)()
		require.Equal(t, 4, asked)
		require.Equal(t, pilotWait, time.Since(began))
		after(completed)
	})
	bubble("WhatSaysNothingLetsTheOthersGo", func(t *testing.T, p *pilots) {
		for _, r := range []core.FileResult{{}, unreadable, {Outcome: core.OutcomeTransient}} {
			after, _ := p.before(t.Context(), templateKey{tenant: "acme", id: "t", version: 1})
			outcome := others(t, p, 4)
			after(r)
			shared, _ := outcome()
			require.Zero(t, shared)
			delete(p.templates, key)
		}
	})
	bubble("Bounded", func(t *testing.T, p *pilots) {
		for i := range 3 * maxPilots {
			after, _ := p.before(t.Context(), templateKey{version: i})
			after(completed)
		}
		require.LessOrEqual(t, len(p.templates), maxPilots)
	})
}
