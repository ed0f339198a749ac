package scheduler

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestDiceAndPauses(t *testing.T) {
	t.Parallel()
	a, b := dice{7}, dice{7}
	sum := 0.0
	for range 1000 {
		x := a.roll()
		require.Equal(t, x, b.roll())
		require.True(t, x >= 0 && x < 1)
		sum += x
	}
	require.InDelta(t, 500, sum, 30)
	require.NotEqual(t, a.roll(), (&dice{8}).roll())
	// SplitMix64 of the seed 0 begins with 0xe220a8397b1dcdaf.
	require.Equal(t, float64(uint64(0xe220a8397b1dcdaf)>>11)/(1<<53), (&dice{}).roll())

	p := pause{first: time.Second, most: 3 * time.Second}
	for _, mean := range []time.Duration{time.Second, 1500 * time.Millisecond, 2250 * time.Millisecond, 3 * time.Second, 3 * time.Second} {
		at := a
		want := mean/2 + time.Duration(at.roll()*float64(mean))
		require.Equal(t, want, p.next(&a))
	}
	p.reset()
	require.LessOrEqual(t, p.next(&a), 1500*time.Millisecond)
	require.LessOrEqual(t, backoff(1, &a), firstPause*3/2)
	require.GreaterOrEqual(t, backoff(3, &a), firstPause*9/8)
	require.GreaterOrEqual(t, backoff(1000, &a), mostPause/2)
}

func TestTimers(t *testing.T) {
	t.Parallel()
	var set timers
	var fired []int
	at := func(s int) time.Time { return time.Unix(int64(s), 0) }
	require.True(t, set.next().IsZero())
	for i, s := range []int{3, 1, 2, 1} {
		set.set(at(s), func() { fired = append(fired, i) })
	}
	stopped := set.set(at(0), func() { fired = append(fired, 99) })
	require.Equal(t, at(0), set.next())
	stopped.stop()
	require.Equal(t, at(1), set.next())
	set.run(at(1).Add(-1))
	require.Empty(t, fired)
	set.run(at(1))
	require.Equal(t, []int{1, 3}, fired)
	again := set.set(at(1), func() { fired = append(fired, 5) })
	again.stop()
	set.run(at(3))
	require.Equal(t, []int{1, 3, 2, 0}, fired)
	require.True(t, set.next().IsZero())
	(*timer)(nil).stop()
}
