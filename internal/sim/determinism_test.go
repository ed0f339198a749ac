package sim_test

import (
	"errors"
	"fmt"
	"hash/fnv"
	"runtime"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/internal/sim"
	"github.com/redrive/redrive/internal/sim/sched"
	"github.com/redrive/redrive/internal/sim/world"
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
	for _, wrong := range []string{"", "sim3.x", "sim1.x.AA", "sim3.x.?", token.String()[:40], token.String() + "AAAA"} {
		_, err := sim.ParseToken(wrong)
		require.ErrorIs(t, err, sim.ErrToken, wrong)
	}
}

// Traces depend on nothing but the seed: neither on the number of cores, nor on
// what else goes on, nor on what a world played before.
func TestTracesDoNotDependOnCores(t *testing.T) { //nolint:paralleltest // it changes GOMAXPROCS
	const seeds = 150
	before := runtime.GOMAXPROCS(0)
	defer runtime.GOMAXPROCS(before)
	var first []uint64
	for _, cores := range []int{1, 2, 1} {
		runtime.GOMAXPROCS(cores)
		both, errs := [2][]uint64{}, [2]error{}
		var wait sync.WaitGroup
		for i := range both {
			wait.Go(func() { both[i], errs[i] = hashes(seeds, i == 1) })
		}
		wait.Wait()
		require.NoError(t, errors.Join(errs[:]...))
		require.Equal(t, both[0], both[1], "on %d cores", cores)
		if first == nil {
			first = both[0]
		}
		require.Equal(t, first, both[0], "on %d cores", cores)
	}
	all := fnv.New64a()
	for _, h := range first {
		_, err := fmt.Fprintln(all, h)
		require.NoError(t, err)
	}
	t.Logf("%d traces, all together %016x", seeds, all.Sum64())
}

// hashes plays seeds, in one world after the other or with a new one for each, and
// gives the hashes of their traces by seed.
func hashes(seeds uint64, fresh bool) (list []uint64, err error) {
	w, err := world.New()
	if err != nil {
		return nil, err
	}
	defer w.Close()
	for seed := range seeds {
		r, token, err := sim.Play(sim.DefaultConfig(), seed)
		if err != nil {
			return nil, err
		}
		if !fresh {
			sc, err := token.World()
			if err != nil {
				return nil, err
			}
			if r, err = w.Run(sc, sched.NewReplay(token.Deviations), world.Options{}); err != nil {
				return nil, err
			}
		}
		list = append(list, r.Hash)
	}
	return list, nil
}
