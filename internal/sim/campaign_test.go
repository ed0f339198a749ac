package sim_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/internal/sim"
	"github.com/redrive/redrive/internal/sim/oracle"
)

// A campaign finds nothing in the code as it is, and meets every situation.
func TestCampaignIsClean(t *testing.T) {
	t.Parallel()
	c := sim.DefaultConfig()
	c.Seeds = oracle.CoveredAfter
	report, err := sim.Campaign(t.Context(), c)
	require.NoError(t, err)
	for _, f := range report.Found {
		t.Errorf("seed %d (%s): %s at step %d\n%s", f.Seed, f.Strategy, f.Violation.Error(), f.Violation.Step, f.Stack)
	}
	require.EqualValues(t, c.Seeds, report.Seeds)
	require.Empty(t, report.Situations.Missing())
	t.Logf("%d seeds, %d steps, %s: %.0f seeds/s, %.0f steps/s", report.Seeds, report.Steps, report.Elapsed,
		float64(report.Seeds)/report.Elapsed.Seconds(), float64(report.Steps)/report.Elapsed.Seconds())
}
