package oracle_test

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/internal/sim/oracle"
	"github.com/redrive/redrive/ports"
)

// Whose an attempt is follows from what was asked and what is answered.
func TestTogether(t *testing.T) {
	t.Parallel()
	continues := oracle.Request{Use: oracle.UseContinue, Tenant: "acme", Run: "run"}
	capped := func(most core.Credits) oracle.Request {
		q := continues
		q.MaxPrice = &most
		return q
	}
	// begun is a Continue of a run that actors 0 and on have asked for together.
	begun := func(t *testing.T, asked ...oracle.Request) *world {
		w := settled(t, core.OutcomeTransient)
		for actor, q := range asked {
			w.Asked(uint8(actor), q)
			w.together |= 1 << actor
		}
		w.retried(func(*core.RetryPlan) {})
		return w
	}
	answer := func(w *world, actor uint8, err error) {
		a := oracle.Answer{Use: oracle.UseContinue, Tenant: "acme", Actor: actor, Effects: w.Effects(actor), Err: err, Failed: true, SeenMin: now, SeenMax: now}
		if err == nil {
			a.Run = w.run
		}
		w.Answered(a)
	}
	refused := &core.Error{Code: core.CodeRunAlreadyRunning}
	for _, c := range []struct {
		name string
		want oracle.Rule
		do   func(t *testing.T) *world
	}{
		{"OneOfTwoWins", oracle.None, func(t *testing.T) *world {
			w := begun(t, continues, continues)
			answer(w, 0, refused)
			answer(w, 1, nil)
			return w
		}},
		{"NeitherWins", oracle.Refusal, func(t *testing.T) *world {
			w := begun(t, continues, continues)
			answer(w, 0, refused)
			require.Nil(t, w.Violation())
			answer(w, 1, refused)
			return w
		}},
		{"TheOtherIsNotKnown", oracle.None, func(t *testing.T) *world {
			w := begun(t, continues, continues)
			answer(w, 0, ports.ErrCommitUnknown)
			answer(w, 1, refused)
			return w
		}},
		{"NotAskedFor", oracle.OneAttempt, func(t *testing.T) *world {
			other := continues
			other.Run = "other"
			return begun(t, other)
		}},
		{"AskedForByAnotherTenant", oracle.OneAttempt, func(t *testing.T) *world {
			other := continues
			other.Tenant = "bolt"
			return begun(t, other)
		}},
		{"FailedAndBegun", oracle.Refusal, func(t *testing.T) *world {
			w := begun(t, continues)
			answer(w, 0, errors.New("nothing happened"))
			return w
		}},
		{"AnothersAttempt", oracle.Idempotency, func(t *testing.T) *world {
			other := continues
			other.Run = "other"
			w := begun(t, continues, other)
			w.Asked(1, continues) // it knows the run by now, but did not when that was begun
			answer(w, 1, nil)
			return w
		}},
		{"OneAcceptsThePrice", oracle.None, func(t *testing.T) *world { return begun(t, capped(1), capped(6)) }},
		{"NoneAcceptsThePrice", oracle.Accepted, func(t *testing.T) *world { return begun(t, capped(1), capped(5)) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			v := c.do(t).Violation()
			if c.want == oracle.None {
				require.Nil(t, v)
				return
			}
			require.NotNil(t, v)
			require.Equal(t, c.want, v.Rule, v.Text)
		})
	}
}
