package scheduler

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
)

// sizes are how many jobs of each run are there.
func sizes(h *hand) map[core.RunID]int {
	n := map[core.RunID]int{}
	for _, r := range h.s.runs {
		n[r.key.Run] = len(r.jobs)
	}
	return n
}

func TestPlacesAreSharedOut(t *testing.T) {
	t.Parallel()

	// It could not be read, perhaps, and is no reason to drop the others.
	t.Run("ToMessagesBesideOneWithoutJobs", func(t *testing.T) {
		t.Parallel()
		h := play1(t, nil)
		h.messages(acme("r", 2), nil, globex("s", 1))
		require.Equal(t, Answer{Message: 2, Reply: Nack}, one[Answer](h))
		require.Equal(t, map[core.RunID]int{"r": 2, "s": 1}, sizes(h))
	})

	t.Run("AsFarAsTheFirstCanUseThem", func(t *testing.T) {
		t.Parallel()
		h := play1(t, func(c *Config) { c.Concurrency = 10 })
		h.messages(acme("r", 3), globex("s", 9))
		require.Equal(t, map[core.RunID]int{"r": 3, "s": 7}, sizes(h))
	})

	// A message keeps the jobs that have no place with those that have one; a message of
	// which none has goes on to others.
	t.Run("ToAWholeMessageWhileMoreIsClaimedAhead", func(t *testing.T) {
		t.Parallel()
		h := play1(t, func(c *Config) { c.Ahead = 16 })
		h.s.pace.mean = 0
		h.message(acme("r", 30)...)
		require.Equal(t, map[core.RunID]int{"r": 30}, sizes(h))
		none[Answer](h)
	})

	t.Run("ToWholeMessagesWhileMoreIsClaimedAhead", func(t *testing.T) {
		t.Parallel()
		h := play1(t, func(c *Config) { c.Ahead = 16 })
		h.s.pace.mean = 0
		h.messages(acme("r", 30), acme("s", 5))
		require.Equal(t, map[core.RunID]int{"r": 30}, sizes(h))
		require.Equal(t, Answer{Message: 2, Reply: Release, Jobs: acme("s", 5)}, one[Answer](h))
	})
}

// The Receive that is under way has its places: what is parked does not enter them, even
// if its limit has grown.
func TestTheParkedLeaveTheReceiveItsPlaces(t *testing.T) {
	t.Parallel()
	limit := 1
	h := play1(t, func(c *Config) {
		c.Concurrency, c.Parked, c.TenantLimit = 2, 2, func(core.TenantID) int { return limit }
	})
	h.message(acme("r", 2)...)
	require.Equal(t, 1, one[Receive](h).Limit)
	h.claimed(one[Claim](h))
	limit = 2
	h.do(Tick{})
	none[Claim](h)
	require.Equal(t, 1, h.s.Stats(h.now).Parked)
	h.do(Received{})
	require.Len(t, one[Claim](h).Jobs, 1)
	require.Zero(t, h.s.Stats(h.now).Parked)
}

// No more is asked for than there are places, however many may be parked.
func TestAReceiveIsForThePlaces(t *testing.T) {
	t.Parallel()
	h := play1(t, func(c *Config) { c.Concurrency, c.Parked = 2, 3 })
	require.Equal(t, 2, one[Receive](h).Limit)
}

// As long as nothing comes that can be used the pauses grow.
func TestPausesGrowWhileNothingCanBeUsed(t *testing.T) {
	t.Parallel()
	h := play1(t, func(c *Config) { c.TenantLimit = func(core.TenantID) int { return 1 } })
	h.works(acme("r", 1)...)
	for i, mean := range []time.Duration{20 * time.Millisecond, 30 * time.Millisecond, 45 * time.Millisecond} {
		h.message(acme(fmt.Sprint("s", i), 2)...)
		h.do(Answered{Message: h.last})
		none[Receive](h)
		came := h.now
		h.now = came.Add(mean/2 - 1)
		h.do(Tick{})
		none[Receive](h)
		h.now = came.Add(mean * 3 / 2)
		h.do(Tick{})
		one[Receive](h)
	}
}

func TestGatheringPlaces(t *testing.T) {
	t.Parallel()
	full := func(t *testing.T) (*hand, []*Job) {
		h := play1(t, func(c *Config) { c.Linger = 2 * time.Millisecond })
		return h, h.works(acme("r", 8)...)
	}

	t.Run("BeginsWithTheFirst", func(t *testing.T) {
		t.Parallel()
		h, jobs := full(t)
		h.at(5 * time.Millisecond)
		h.do(executedWell(jobs[0])...)
		none[Receive](h)
		h.at(7*time.Millisecond - 1)
		none[Receive](h)
		h.at(7 * time.Millisecond)
		require.Equal(t, 1, one[Receive](h).Limit)
	})

	// Without another event it goes on.
	t.Run("HasItsTimer", func(t *testing.T) {
		t.Parallel()
		h, jobs := full(t)
		h.do(Executed{Job: jobs[0], GaveUp: true})
		none[Receive](h)
		require.Equal(t, h.start.Add(2*time.Millisecond), one[SetTimer](h).At)
		h.do(Tick{})
		none[SetTimer](h)
		h.at(2 * time.Millisecond)
		one[Receive](h)
	})

	t.Run("EndsWithHalfOfThem", func(t *testing.T) {
		t.Parallel()
		h, jobs := full(t)
		h.do(executedWell(jobs[:3]...)...)
		none[Receive](h)
		h.do(executedWell(jobs[3])...)
		require.Equal(t, 4, one[Receive](h).Limit)
	})
}

// What a claim's answer does not name has had no effect.
func TestAClaimThatSaysNothingOfAJobHadNoEffectOnIt(t *testing.T) {
	t.Parallel()
	h := play1(t, nil)
	h.message(acme("r", 3)...)
	h.do(ClaimAnswered{Group: one[Claim](h).Group, Outcomes: outcomes(2, OutcomeClaimed)})
	require.Len(t, one[Execute](h).Jobs, 2)
	require.Equal(t, Answer{Message: 1, Reply: Ack}, one[Answer](h))
	require.EqualValues(t, 2, h.s.Stats(h.now).Claimed)
}

// More is claimed ahead after many short jobs in a row, not after some.
func TestPaceGoesOverManyJobs(t *testing.T) {
	t.Parallel()
	p := newPace()
	for range 166 {
		p.add(0)
	}
	require.Greater(t, p.mean, shortJob)
	p.add(0)
	require.LessOrEqual(t, p.mean, shortJob)
	require.Greater(t, p.mean, shortJob*31/32)
}

// What is parked has waited for longer than what comes.
func TestTheParkedEnterBeforeWhatComes(t *testing.T) {
	t.Parallel()
	limit := 1
	h := play1(t, func(c *Config) {
		c.Concurrency, c.Parked, c.TenantLimit = 2, 2, func(core.TenantID) int { return limit }
	})
	h.message(acme("r", 2)...)
	h.claimed(one[Claim](h))
	limit = 2
	h.message(globex("s", 1)...)
	require.Equal(t, core.RunID("r"), one[Claim](h).Jobs[0].Run)
	require.Contains(t, all[Answer](h), Answer{Message: 2, Reply: Release, Jobs: globex("s", 1)})
}

// A fault says nothing about what the queue has: the pauses for want of something that can
// be used begin with the first again.
func TestAFaultEndsTheCrowd(t *testing.T) {
	t.Parallel()
	h := play1(t, func(c *Config) { c.TenantLimit = func(core.TenantID) int { return 1 } })
	h.works(acme("r", 1)...)
	h.message(acme("s", 2)...)
	require.NotZero(t, h.s.receive.crowded.step)
	h.at(time.Second)
	h.do(Received{Failed: true})
	require.Zero(t, h.s.receive.crowded.step)
}

// A message with a job that was claimed before has done some good: what can not be used of
// it goes to others at once, and not after a back-off.
func TestAMessageWithAJobThatIsClaimedIsKept(t *testing.T) {
	t.Parallel()
	h := play1(t, func(c *Config) { c.TenantLimit = func(core.TenantID) int { return 1 } })
	h.works(acme("r", 1)...)
	h.message(acme("r", 2)...)
	require.Equal(t, Answer{Message: 2, Reply: Release, Jobs: acme("r", 2)[1:]}, one[Answer](h))
}
