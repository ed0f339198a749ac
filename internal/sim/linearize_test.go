package sim_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/internal/sim"
)

// What users are answered is linearizable in the code as it is.
func TestLinearize(t *testing.T) {
	t.Parallel()
	c := sim.LinearizeConfig{Config: sim.DefaultConfig()}
	c.Seeds = 400
	r, err := sim.Linearize(t.Context(), c)
	require.NoError(t, err)
	for _, f := range r.Found {
		t.Errorf("seed %d, tenant %s: %s\n%s", f.Seed, f.Tenant, f.Verdict, f.Text)
		break
	}
	require.Equal(t, r.Histories, r.OK)
	require.Positive(t, r.Open)
	t.Logf("%d histories of %.1f operations, %d requests with an unknown outcome: %.0f histories/s of checking on one core",
		r.Histories, float64(r.Operations)/float64(r.Histories), r.Open, float64(r.Histories)/r.Checking.Seconds())
}
