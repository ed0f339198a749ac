package core_test

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
)

func TestRetryPolicy(t *testing.T) {
	t.Parallel()
	good := core.RetryPolicy{MaxTries: 3, BaseDelay: time.Second, MaxDelay: 4 * time.Second, Budget: time.Minute}
	require.NoError(t, good.Validate())
	for name, tc := range map[string]struct {
		change func(*core.RetryPolicy)
		ok     bool
	}{
		"never executes":        {func(p *core.RetryPolicy) { p.MaxTries = 0 }, false},
		"never retries":         {func(p *core.RetryPolicy) { p.MaxTries = 1 }, true},
		"negative base":         {func(p *core.RetryPolicy) { p.BaseDelay = -1 }, false},
		"no base":               {func(p *core.RetryPolicy) { p.BaseDelay = 0 }, true},
		"bound below the base":  {func(p *core.RetryPolicy) { p.MaxDelay = time.Second - 1 }, false},
		"bound equals the base": {func(p *core.RetryPolicy) { p.MaxDelay = time.Second }, true},
		"negative budget":       {func(p *core.RetryPolicy) { p.Budget = -1 }, false},
		"no budget":             {func(p *core.RetryPolicy) { p.Budget = 0 }, true},
	} {
		p := good
		tc.change(&p)
		require.Equal(t, tc.ok, p.Validate() == nil, name)
	}
}

func TestDelay(t *testing.T) {
	t.Parallel()
	const most = 1 - 1e-9 // the largest roll, nearly
	p := core.RetryPolicy{MaxTries: 10, BaseDelay: time.Second, MaxDelay: 6 * time.Second, Budget: time.Minute}
	for _, tc := range []struct {
		name       string
		try        int
		spent      time.Duration
		retryAfter time.Duration
		roll       float64
		wait       time.Duration
		again      bool
	}{
		{"first", 1, 0, 0, 0.5, 500 * time.Millisecond, true},
		{"second doubles", 2, 0, 0, 0.5, time.Second, true},
		{"third doubles again", 3, 0, 0, 0.5, 2 * time.Second, true},
		{"fourth is bounded", 4, 0, 0, 0.5, 3 * time.Second, true},
		{"and so are all others", 9, 0, 0, 0.5, 3 * time.Second, true},
		{"full jitter down to nothing", 3, 0, 0, 0, 0, true},
		{"the provider is not undercut", 1, 0, 10 * time.Second, most, 10 * time.Second, true},
		{"though it asks for more than the bound", 1, 0, 30 * time.Second, 0, 30 * time.Second, true},
		{"a shorter wish changes nothing", 3, 0, time.Second, 0.5, 2 * time.Second, true},
		{"tries are used up", 10, 0, 0, 0.5, 0, false},
		{"more than used up", 11, 0, 0, 0.5, 0, false},
		{"within the budget to the last", 3, 58 * time.Second, 0, 0.5, 2 * time.Second, true},
		{"beyond the budget", 3, 58*time.Second + 1, 0, 0.5, 2 * time.Second, false},
		{"the provider asks for more than the budget", 1, 0, time.Minute + 1, 0, time.Minute + 1, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			wait, again := p.Delay(tc.try, tc.spent, tc.retryAfter, tc.roll)
			require.Equal(t, tc.wait, wait)
			require.Equal(t, tc.again, again)
		})
	}
	t.Run("one try never waits", func(t *testing.T) {
		t.Parallel()
		wait, again := core.RetryPolicy{MaxTries: 1, BaseDelay: time.Second, MaxDelay: time.Second, Budget: time.Hour}.Delay(1, 0, 0, 0.5)
		require.Zero(t, wait)
		require.False(t, again)
	})
	t.Run("a bound that the shift leaves", func(t *testing.T) {
		t.Parallel()
		long := core.RetryPolicy{MaxTries: 100, BaseDelay: time.Second, MaxDelay: time.Hour, Budget: 100 * time.Hour}
		for try := 13; try < 100; try++ {
			wait, again := long.Delay(try, 0, 0, 0.5)
			require.Equal(t, 30*time.Minute, wait, "try %d", try)
			require.True(t, again)
		}
	})
}

func TestDelayBoundDoesNotWrap(t *testing.T) {
	t.Parallel()
	p := core.RetryPolicy{MaxTries: 60, BaseDelay: 30 * time.Second, MaxDelay: time.Hour, Budget: 1000 * time.Hour}
	require.NoError(t, p.Validate())
	for try := 8; try < 60; try++ {
		wait, again := p.Delay(try, 0, 0, 0.5)
		require.Equal(t, 30*time.Minute, wait, "try %d", try)
		require.True(t, again)
	}
}

func TestDelayHugeRetryAfterIsBeyondTheBudget(t *testing.T) {
	t.Parallel()
	p := core.RetryPolicy{MaxTries: 3, BaseDelay: time.Second, MaxDelay: 30 * time.Second, Budget: 5 * time.Minute}
	_, again := p.Delay(1, time.Second, math.MaxInt64, 0.5)
	require.False(t, again, "a wait of 292 years was begun")
}

func TestBackoff(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		n    int
		want time.Duration
	}{
		{-1, 100}, {0, 100}, {1, 200}, {2, 400}, {3, 700}, {62, 700}, {math.MaxInt, 700},
	} {
		require.Equal(t, c.want, core.Backoff(100, 700, c.n), "n = %d", c.n)
	}
	require.Equal(t, time.Duration(70), core.Backoff(100, 70, 0), "most bounds the first as well")
	require.Zero(t, core.Backoff(0, 700, 5))
	require.Zero(t, core.Backoff(-1, 700, 5))
	require.Equal(t, time.Duration(math.MaxInt64), core.Backoff(1, math.MaxInt64, 1<<20))
}
