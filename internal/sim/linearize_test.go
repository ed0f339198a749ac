package sim_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/internal/sim"
	"github.com/redrive/redrive/internal/sim/history"
)

// What users are answered is linearizable in the code as it is.
func TestLinearize(t *testing.T) {
	t.Parallel()
	c := sim.LinearizeConfig{Config: sim.DefaultConfig(), Limit: time.Second}
	c.Seeds = 400
	r, err := sim.Linearize(t.Context(), c)
	require.NoError(t, err)
	for _, f := range r.Found {
		if f.Verdict == history.Illegal {
			t.Errorf("seed %d, tenant %s: %s\n%s", f.Seed, f.Tenant, f.Verdict, f.Text)
			break
		}
	}
	// One history in some ten thousand has so many lost answers that the search
	// through their orders has no end; it says that it does not know.
	require.LessOrEqual(t, r.Unknown, r.Histories/500)
	require.Equal(t, r.Histories, r.OK+r.Illegal+r.Unknown)
	require.Positive(t, r.Open)
	t.Logf("%d histories of %.1f operations, %d requests with an unknown outcome: %.0f histories/s of checking on one core",
		r.Histories, float64(r.Operations)/float64(r.Histories), r.Open, float64(r.Histories)/r.Checking.Seconds())
}

// A Continue that decides on a run read before its lock, charges that do not lock
// the credits, and answers that are forgotten show in what users are told.
func TestLinearizeFindsPlanted(t *testing.T) {
	t.Parallel()
	illegal := map[string]uint64{}
	for _, p := range planted {
		switch p.name {
		case "run read before it is locked", "credits not locked", "answers not remembered":
		default:
			continue
		}
		c := sim.LinearizeConfig{Config: sim.DefaultConfig()}
		c.Seeds, c.Wrap, c.Limit = 1500, p.wrap(), time.Second
		r, err := sim.Linearize(t.Context(), c)
		require.NoError(t, err)
		require.NotZero(t, r.Illegal, p.name)
		require.Len(t, r.Found, int(r.Illegal+r.Unknown))
		require.NotEmpty(t, r.Found[0].Text)
		illegal[p.name] = r.Illegal
	}
	require.Len(t, illegal, 3)
	t.Log(illegal)
}
