package sim_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/internal/sim"
)

// Every world can be played again from its token alone, event by event.
func TestReplayIsTheSameTrace(t *testing.T) {
	t.Parallel()
	c := sim.DefaultConfig()
	for seed := range uint64(60) {
		played, token, err := sim.Play(c, seed)
		require.NoError(t, err)
		require.NotEmpty(t, played.Events)
		read, err := sim.ParseToken(token.String())
		require.NoError(t, err)
		require.Equal(t, token, read)
		again, err := sim.Replay(read)
		require.NoError(t, err)
		require.False(t, again.Changed)
		require.Equal(t, played.Hash, again.Hash, "seed %d", seed)
		require.Equal(t, played.Events, again.Events, "seed %d", seed)
	}
}

// Two campaigns with equal configurations report the same, whatever the number of
// goroutines.
func TestCampaignDoesNotDependOnCores(t *testing.T) {
	t.Parallel()
	c := sim.DefaultConfig()
	c.Seeds = 300
	c.Workers = 1
	one, err := sim.Campaign(t.Context(), c)
	require.NoError(t, err)
	c.Workers = 4
	four, err := sim.Campaign(t.Context(), c)
	require.NoError(t, err)
	one.Elapsed, four.Elapsed = 0, 0
	require.Equal(t, one, four)
}

// A token of other code says so, and a damaged one is refused.
func TestToken(t *testing.T) {
	t.Parallel()
	_, token, err := sim.Play(sim.DefaultConfig(), 1)
	require.NoError(t, err)
	token.Build = "0123456789ab"
	again, err := sim.Replay(token)
	require.NoError(t, err)
	require.True(t, again.Changed)
	for _, wrong := range []string{"", "sim1.x", "sim0.x.AA", "sim1.x.?", token.String()[:40], token.String() + "AAAA"} {
		_, err := sim.ParseToken(wrong)
		require.ErrorIs(t, err, sim.ErrToken, wrong)
	}
}
