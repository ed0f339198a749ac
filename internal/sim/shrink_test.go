package sim_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/internal/sim"
)

// Every planted mistake is found, and its token shrinks to one that violates the
// same rule first, the same way each time.
func TestShrinkPlanted(t *testing.T) {
	t.Parallel()
	var times []time.Duration
	var left []int
	for _, p := range planted {
		c := sim.DefaultConfig()
		c.Seeds, c.Wrap = 3000, p.wrap()
		report, err := sim.Campaign(t.Context(), c)
		require.NoError(t, err)
		require.NotEmpty(t, report.Found, p.name)
		found := report.Found[0]

		o := sim.ShrinkOptions{Wrap: p.wrap()}
		token, stats, err := sim.Shrink(t.Context(), found.Token, o)
		require.NoError(t, err)
		require.Equal(t, found.Violation.Rule, stats.Rule, p.name)
		require.Equal(t, len(found.Token.Deviations), stats.DeviationsBefore)
		require.LessOrEqual(t, stats.DeviationsAfter, stats.DeviationsBefore, p.name)
		require.Len(t, token.Deviations, stats.DeviationsAfter)

		if stats.Played < 1000 { // the one that takes thousands is as long as all the others
			again, same, err := sim.Shrink(t.Context(), found.Token, o)
			require.NoError(t, err)
			require.Equal(t, token, again, p.name)
			require.Equal(t, stats.Played, same.Played)
		}

		read, err := sim.ParseToken(token.String())
		require.NoError(t, err)
		played, err := sim.ReplayWith(read, p.wrap())
		require.NoError(t, err)
		require.NotNil(t, played.Violation, p.name)
		require.Equal(t, found.Violation.Rule, played.Violation.Rule, p.name)
		times, left = append(times, stats.Elapsed), append(left, stats.DeviationsAfter)
		t.Logf("%-36s seed %4d %-12s %2d → %d deviations, %2d → %2d operations, %3d → %3d steps, %4d worlds in %s",
			p.name, found.Seed, stats.Rule, stats.DeviationsBefore, stats.DeviationsAfter, stats.OpsBefore, stats.OpsAfter,
			stats.StepsBefore, stats.StepsAfter, stats.Played, stats.Elapsed.Round(10*time.Microsecond))
	}
	slices.Sort(times)
	slices.Sort(left)
	t.Logf("medians: %s, %d deviations left", times[len(times)/2].Round(10*time.Microsecond), left[len(left)/2])
}

// A token of a world in which everything holds cannot be shrunk.
func TestShrinkNeedsAViolation(t *testing.T) {
	t.Parallel()
	_, token, err := sim.Play(sim.DefaultConfig(), 1)
	require.NoError(t, err)
	_, _, err = sim.Shrink(t.Context(), token, sim.ShrinkOptions{})
	require.ErrorIs(t, err, sim.ErrNoViolation)
}

// Shrinking ends with its context, and after as many tries as it may make; what it
// has then still violates the rule.
func TestShrinkStops(t *testing.T) {
	t.Parallel()
	wrap := planted[0].wrap
	c := sim.DefaultConfig()
	c.Seeds, c.Wrap = 3000, wrap()
	report, err := sim.Campaign(t.Context(), c)
	require.NoError(t, err)
	require.NotEmpty(t, report.Found)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, stats, err := sim.Shrink(ctx, report.Found[0].Token, sim.ShrinkOptions{Wrap: wrap()})
	require.ErrorIs(t, err, context.Canceled)
	require.Zero(t, stats.Played)

	token, stats, err := sim.Shrink(t.Context(), report.Found[0].Token, sim.ShrinkOptions{Wrap: wrap(), Tries: 5})
	require.NoError(t, err)
	require.Equal(t, 5, stats.Played)
	played, err := sim.ReplayWith(token, wrap())
	require.NoError(t, err)
	require.NotNil(t, played.Violation)
	require.Equal(t, report.Found[0].Violation.Rule, played.Violation.Rule)
}
