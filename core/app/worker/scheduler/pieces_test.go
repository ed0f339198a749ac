package scheduler

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// What waits to be recorded may be as much as the bounds say, and no more.
func TestRoomForResults(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		own, others []int
		cost        int
		fits        bool
	}{
		"AllThatAJobMayHave":    {own: []int{1000}, cost: jobUnsaved - 1000, fits: true},
		"MoreThanAJobMayHave":   {own: []int{1000}, cost: jobUnsaved - 999},
		"AllThatTheyMayHave":    {others: []int{1000, 900}, cost: unsavedCost - 1900, fits: true},
		"MoreThanTheyMayHave":   {others: []int{1000, 900}, cost: unsavedCost - 1899},
		"MoreThanAllBoundsHave": {cost: unsavedCost + 1, fits: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := play1(t, nil)
			j := h.works(batchOf("r", 9))[0]
			others := append(h.works(batchOf("s", 9)), h.works(batchOf("u", 9))...)
			for _, cost := range c.own {
				h.do(Reported{Job: j, Cost: cost})
			}
			for i, cost := range c.others {
				h.do(Reported{Job: others[i], Cost: cost})
			}
			h.do(Reported{Job: j, Cost: c.cost})
			require.Equal(t, c.fits, len(all[Accept](h)) == 1)
		})
	}
}

// A stop that cancels a job drops those of its results that are not on their way. Without
// them the job can not be settled any more, so that their files are done again; if there
// were none it is settled like any other.
func TestAStopDropsResultsThatWait(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		waiting []int
		settled bool
	}{
		"None":               {settled: true},
		"OneForThePiece":     {waiting: []int{1}},
		"OneForRoom":         {waiting: []int{2 * unsavedCost}},
		"OneOfEach":          {waiting: []int{1, 2 * unsavedCost}},
		"SeveralForThePiece": {waiting: []int{1, 1}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := play1(t, nil)
			j := h.works(batchOf("r", 6))[0]
			h.do(Reported{Job: j, Cost: 1})
			piece := one[Settle](h)
			for _, cost := range c.waiting {
				h.do(Reported{Job: j, Cost: cost})
			}
			h.do(Stop{}, Received{})
			h.at(h.s.cfg.DrainTimeout)
			require.Equal(t, []*Job{j}, one[Cancel](h).Jobs)
			h.do(Executed{Job: j, Verdict: answered, Rest: 1})
			h.do(SettleAnswered{Group: piece.Group})
			if c.settled {
				none[HandBack](h)
				require.Equal(t, []Settlement{{Job: j}}, one[Settle](h).Settlements)
				h.do(SettleAnswered{Group: one[Settle](h).Group})
			} else {
				none[Settle](h)
				h.do(HandedBack{Group: one[HandBack](h).Group})
			}
			one[Stopped](h)
			h.over()
		})
	}
}

// A piece that the store refuses is tried result by result as long as its job can be
// recorded, and the job is settled after it.
func TestAPieceThatIsRefused(t *testing.T) {
	t.Parallel()
	refused := func(t *testing.T) (*hand, *Job, Settle) {
		h := play1(t, func(c *Config) { c.CancelEvery = time.Second })
		j := h.works(batchOf("r", 3))[0]
		h.do(Reported{Job: j, Cost: 1}, Reported{Job: j, Cost: 1}, Reported{Job: j, Cost: 1})
		h.do(SettleAnswered{Group: one[Settle](h).Group})
		piece := one[Settle](h)
		require.Equal(t, []Settlement{{Job: j, Piece: 2}}, piece.Settlements)
		return h, j, piece
	}
	oneByOne := func(t *testing.T, h *hand, j *Job) {
		for range 2 {
			require.Equal(t, []Settlement{{Job: j, Piece: 1}}, one[Settle](h).Settlements)
			h.do(SettleAnswered{Group: one[Settle](h).Group})
		}
	}
	settled := func(t *testing.T, h *hand, j *Job) {
		require.Equal(t, []Settlement{{Job: j}}, one[Settle](h).Settlements)
		h.do(SettleAnswered{Group: one[Settle](h).Group}, Received{})
		require.EqualValues(t, 1, h.s.Stats(h.now).Settled)
		h.over()
	}

	t.Run("WhileTheJobGoesOn", func(t *testing.T) {
		t.Parallel()
		h, j, piece := refused(t)
		h.do(SettleAnswered{Group: piece.Group, Fault: FaultRefused})
		oneByOne(t, h, j)
		none[Settle](h)
		h.do(Executed{Job: j, Verdict: answered, Rest: 1})
		settled(t, h, j)
	})

	t.Run("AfterTheJobHasEnded", func(t *testing.T) {
		t.Parallel()
		h, j, piece := refused(t)
		h.do(Executed{Job: j, Verdict: answered, Rest: 1})
		h.do(SettleAnswered{Group: piece.Group, Fault: FaultRefused})
		oneByOne(t, h, j)
		settled(t, h, j)
	})

	t.Run("OfAJobThatHasNoOtherResult", func(t *testing.T) {
		t.Parallel()
		h, j, piece := refused(t)
		h.do(SettleAnswered{Group: piece.Group, Fault: FaultRefused})
		oneByOne(t, h, j)
		h.do(Executed{Job: j, Verdict: answered})
		settled(t, h, j)
	})

	t.Run("AfterTheJobIsLost", func(t *testing.T) {
		t.Parallel()
		h, j, piece := refused(t)
		h.at(time.Second)
		h.do(Looked{Group: one[Look](h).Group, Lost: []*Job{j}})
		h.do(SettleAnswered{Group: piece.Group, Fault: FaultRefused})
		none[Settle](h)
		h.do(Executed{Job: j, GaveUp: true}, Received{})
		none[Settle](h)
		h.over()
	})

	t.Run("WhileTheJobIsToReturn", func(t *testing.T) {
		t.Parallel()
		h, j, piece := refused(t)
		h.do(Stop{}, Received{})
		h.at(h.s.cfg.DrainTimeout)
		for _, look := range all[Look](h) {
			h.do(Looked{Group: look.Group})
		}
		h.do(Executed{Job: j, GaveUp: true})
		none[HandBack](h)
		h.do(SettleAnswered{Group: piece.Group, Fault: FaultRefused})
		none[Settle](h)
		h.do(HandedBack{Group: one[HandBack](h).Group})
		one[Stopped](h)
		h.over()
	})
}

// What could not be recorded while the worker stops is handed back at once, and a job of
// which a piece was not is not settled.
func TestResultsThatFailAtTheEndOfAStop(t *testing.T) {
	t.Parallel()
	for name, piece := range map[string]bool{"APiece": true, "AllOfAJob": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := play1(t, nil)
			j := h.works(batchOf("r", 3))[0]
			end := Executed{Job: j, Verdict: answered, Rest: 1}
			if piece {
				h.do(Reported{Job: j, Cost: 1})
			} else {
				h.do(end)
			}
			settle := one[Settle](h)
			h.do(Stop{}, Received{})
			h.at(h.s.cfg.DrainTimeout)
			if piece {
				h.do(end)
			}
			h.do(SettleAnswered{Group: settle.Group, Fault: FaultOfStore})
			none[Settle](h)
			h.do(HandedBack{Group: one[HandBack](h).Group})
			one[Stopped](h)
			h.over()
		})
	}
}
