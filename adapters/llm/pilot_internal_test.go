package llm

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
)

// Files that begin at the same moment do not all meet a credential that is refused.
func TestPilots(t *testing.T) {
	t.Parallel()
	key, other := templateKey{tenant: "acme", id: "t", version: 1}, templateKey{tenant: "acme", id: "t", version: 2}
	refused, completed := ours(FailureUnauthorized), core.FileResult{Outcome: core.OutcomeCompleted}
	unreadable := ours(core.FailureUnreadable)

	// others are n files that begin while the first is under way, and what they were told.
	others := func(t *testing.T, p *pilots, n int) func() (told, asked int) {
		type outcome struct{ told bool }
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
		return func() (told, asked int) {
			for range n {
				if (<-all).told {
					told++
				} else {
					asked++
				}
			}
			return told, asked
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
		told, asked := outcome()
		require.Equal(t, 30, told)
		require.Zero(t, asked)

		after, refusal = p.before(t.Context(), key)
		require.Nil(t, refusal, "the next one finds out whether it is mended")
		outcome = others(t, p, 5)
		after(completed)
		told, asked = outcome()
		require.Zero(t, told)
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
		told, _ := outcome()
		require.Equal(t, 3, told, "a refusal later on makes them wait again")
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
			told, _ := outcome()
			require.Zero(t, told)
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
