package sim_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/internal/sim"
	"github.com/redrive/redrive/internal/sim/faults"
	"github.com/redrive/redrive/internal/sim/sched"
	"github.com/redrive/redrive/internal/sim/world"
)

func small(t *testing.T, name string) *world.Scenario {
	t.Helper()
	sc, err := world.Named(name)
	require.NoError(t, err)
	return sc
}

// The default schedule of a small scenario gets to the moment that it is about: at
// least two users, or a user and recovery, or a user and a worker could go on.
func TestSmallScenariosAreSearched(t *testing.T) {
	t.Parallel()
	for _, name := range world.Small() {
		counts, found, err := sim.Exhaust(t.Context(), small(t, name), sim.Bounds{Preemptions: 1}, sim.ExhaustOptions{})
		require.NoError(t, err)
		require.Nil(t, found, name)
		require.Len(t, counts.Levels, 2, name)
		require.Greater(t, counts.Levels[1].Schedules, uint64(15), name)
	}
}

// The counts are the same on any number of cores, and from one time to the next.
func TestExhaustIsDeterministic(t *testing.T) {
	t.Parallel()
	bounds := sim.Bounds{Preemptions: 1, Faults: 1, Kinds: []sched.Kind{faults.CommitFault, faults.EnqueueFault}}
	var first sim.Counts
	for i, workers := range []int{1, 2, 3, 1} {
		counts, found, err := sim.Exhaust(t.Context(), small(t, "two-continues"), bounds, sim.ExhaustOptions{Workers: workers})
		require.NoError(t, err)
		require.Nil(t, found)
		counts.Elapsed = 0
		if i == 0 {
			first = counts
		}
		require.Equal(t, first, counts, "%d workers", workers)
	}
	require.Len(t, first.Levels, 3)
}

// The search finds what a Continue does that reads the run before it locks it, with
// the fewest deviations, whatever the number of cores; of the code as it is, it
// plays every schedule and finds nothing.
func TestExhaustFindsARace(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		scenario   string
		bounds     sim.Bounds
		deviations int
	}{
		{"continue-cancel", sim.Bounds{Preemptions: 2}, 2},
		{"last-credits", sim.Bounds{Preemptions: 3}, 3},
		{"initiate-recovery", sim.Bounds{Preemptions: 1, Faults: 1, Kinds: []sched.Kind{faults.EnqueueFault}}, 2},
	} {
		scenario := small(t, c.scenario)
		clean, found, err := sim.Exhaust(t.Context(), scenario, c.bounds, sim.ExhaustOptions{})
		require.NoError(t, err)
		require.Nil(t, found)

		var first *sim.Found
		var until sim.Counts
		for _, workers := range []int{1, 3} {
			o := sim.ExhaustOptions{Workers: workers, Wrap: racing()}
			counts, found, err := sim.Exhaust(t.Context(), scenario, c.bounds, o)
			require.NoError(t, err)
			require.NotNil(t, found)
			counts.Elapsed = 0
			if first == nil {
				first, until = found, counts
				t.Logf("%s: schedule %d of %d: %s with %v", c.scenario, counts.Schedules, clean.Schedules, found.Violation.Error(), found.Token.Deviations)
			}
			require.Equal(t, first, found)
			require.Equal(t, until, counts)
		}
		require.Len(t, first.Token.Deviations, c.deviations, c.scenario)
		replayed, err := sim.ReplayWith(first.Token, racing())
		require.NoError(t, err)
		require.Equal(t, first.Hash, replayed.Hash)
		require.Equal(t, first.Violation, *replayed.Violation)
		right, err := sim.Replay(first.Token)
		require.NoError(t, err)
		require.Nil(t, right.Violation, "the same schedule is harmless in the code as it is")
	}
}

// The number of schedules changes only when the code takes other steps. Whoever
// changes it on purpose writes the new numbers here.
func TestExhaustCounts(t *testing.T) {
	t.Parallel()
	want := map[string]uint64{
		"two-continues": 979, "three-continues": 2419, "same-key": 1163, "continue-cancel": 522,
		"continue-recovery": 919, "enqueue-claim": 3298, "last-credits": 967, "initiate-recovery": 910,
		"interrupted-continues": 979, "fault-cancel": 1536, "hot-tenant": 2715, "outbox": 829, "outbox-initiate": 332, "early-results": 919,
		"shared-message": 5351, "sole-restart": 823, "tenant-limit": 859, "stop-at-work": 425, "rolling-upgrade": 844,
	}
	got := map[string]uint64{}
	for _, name := range world.Small() {
		counts, found, err := sim.Exhaust(t.Context(), small(t, name), sim.Bounds{Preemptions: 2}, sim.ExhaustOptions{})
		require.NoError(t, err)
		require.Nil(t, found, name)
		t.Logf("%-18s %5d schedules, %5d distinct, %6d steps, %s", name, counts.Schedules, counts.Distinct, counts.Steps, counts.Elapsed)
		got[name] = counts.Schedules
	}
	require.Equal(t, want, got)
}

// A search that is told to stop says so.
func TestExhaustStops(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, found, err := sim.Exhaust(ctx, small(t, "two-continues"), sim.Bounds{Preemptions: 2}, sim.ExhaustOptions{})
	require.ErrorIs(t, err, context.Canceled)
	require.Nil(t, found)
}
