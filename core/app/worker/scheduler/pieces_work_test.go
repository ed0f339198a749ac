package scheduler

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// one2 gives the only action of a kind, or an empty one for the group.
func one2[A Action](h *hand, _ GroupID) (a A) {
	if list := all[A](h); len(list) > 0 {
		return list[0]
	}
	return a
}

func TestPieces(t *testing.T) {
	t.Parallel()
	batch := func(t *testing.T, files int) (*hand, *Job) {
		h := play1(t, nil)
		return h, h.works(batchOf("r", files))[0]
	}

	t.Run("AreRecordedOneAfterTheOther", func(t *testing.T) {
		t.Parallel()
		h, j := batch(t, 5)
		h.do(Reported{Job: j, Cost: 1})
		require.Equal(t, Accept{Job: j, N: 1}, one[Accept](h))
		first := one[Settle](h)
		require.Equal(t, []Settlement{{Job: j, Piece: 1}}, first.Settlements)
		h.do(Reported{Job: j, Cost: 2}, Reported{Job: j, Cost: 3})
		require.Equal(t, []Accept{{Job: j, N: 1}, {Job: j, N: 1}}, all[Accept](h))
		none[Settle](h)
		h.do(SettleAnswered{Group: first.Group})
		second := one[Settle](h)
		require.Equal(t, []Settlement{{Job: j, Piece: 2}}, second.Settlements)
		require.Equal(t, 5, h.s.unsaved)
		h.do(Executed{Job: j, Verdict: answered, Early: []int{1}, Rest: 1})
		none[Settle](h)
		h.do(SettleAnswered{Group: second.Group})
		whole := one[Settle](h)
		require.Equal(t, []Settlement{{Job: j}}, whole.Settlements)
		require.Equal(t, 5, j.cost)
		h.do(SettleAnswered{Group: whole.Group}, Received{})
		h.over()
	})

	t.Run("AreBounded", func(t *testing.T) {
		t.Parallel()
		h, j := batch(t, 2000)
		h.do(Reported{Job: j, Cost: 1})
		first := one[Settle](h)
		var events []Event
		for range 600 {
			events = append(events, Reported{Job: j, Cost: 1})
		}
		h.do(events...)
		h.do(SettleAnswered{Group: first.Group})
		piece := one[Settle](h)
		require.Equal(t, pieceResults, piece.Settlements[0].Piece)
		h.do(SettleAnswered{Group: piece.Group})
		piece = one[Settle](h)
		require.Equal(t, 100, piece.Settlements[0].Piece)
		h.do(Reported{Job: j, Cost: 400}, Reported{Job: j, Cost: 112}, Reported{Job: j, Cost: 1})
		h.do(SettleAnswered{Group: piece.Group})
		require.Equal(t, 2, one[Settle](h).Settlements[0].Piece)
	})

	// What a job has that is not recorded is bounded, and so is what all have; what is larger
	// than the bounds goes alone.
	t.Run("WaitForRoom", func(t *testing.T) {
		t.Parallel()
		h := play1(t, nil)
		a, b := h.works(batchOf("r", 9))[0], h.works(batchOf("s", 9))[0]
		h.do(Reported{Job: a, Cost: 1000})
		one[Accept](h)
		h.do(Reported{Job: a, Cost: 25})
		none[Accept](h)
		h.do(Reported{Job: b, Cost: 1001})
		none[Accept](h)
		h.do(Reported{Job: b, Cost: 1})
		none[Accept](h) // one after the other
		h.do(SettleAnswered{Group: 3})
		require.Equal(t, []Accept{{Job: a, N: 1}, {Job: b, N: 2}}, all[Accept](h))
		require.Equal(t, 1027, h.s.unsaved)
		h.do(SettleAnswered{Group: 4}, SettleAnswered{Group: 5}, SettleAnswered{Group: 6})
		h.do(SettleAnswered{Group: 5}, SettleAnswered{Group: 6})
		require.Zero(t, h.s.unsaved)
		h.do(Reported{Job: b, Cost: 5000})
		one[Accept](h)
		h.do(Reported{Job: a, Cost: 1})
		none[Accept](h)
	})

	// Large results of a job that has ended are recorded in pieces too, but for the last.
	t.Run("OfAJobThatHasEnded", func(t *testing.T) {
		t.Parallel()
		h, j := batch(t, 4)
		h.do(Executed{Job: j, Verdict: answered, Early: []int{300, 200, 300, 100}})
		require.Equal(t, Accept{Job: j, N: 3}, one[Accept](h))
		require.False(t, j.executed)
		require.Equal(t, 1, h.s.taken)
		piece := one[Settle](h)
		require.Equal(t, []Settlement{{Job: j, Piece: 2}}, piece.Settlements)
		h.do(SettleAnswered{Group: piece.Group})
		piece = one[Settle](h)
		require.Equal(t, []Settlement{{Job: j, Piece: 1}}, piece.Settlements)
		h.do(SettleAnswered{Group: piece.Group})
		require.Equal(t, []Settlement{{Job: j}}, one[Settle](h).Settlements)
		require.Equal(t, 103, j.cost)
		require.Equal(t, 103, h.s.unsaved)
		require.Zero(t, h.s.taken)
	})

	t.Run("OfAJobThatHasEndedAndIsSmall", func(t *testing.T) {
		t.Parallel()
		h, j := batch(t, 4)
		h.do(Executed{Job: j, Verdict: answered, Early: []int{300, 112}, Rest: 100})
		require.Equal(t, []Settlement{{Job: j}}, one[Settle](h).Settlements)
		require.Equal(t, 4+299+111+99, j.cost)
	})

	t.Run("ThatAreRefusedAreTriedOneByOne", func(t *testing.T) {
		t.Parallel()
		h, j := batch(t, 5)
		h.do(Reported{Job: j, Cost: 1}, Reported{Job: j, Cost: 1}, Reported{Job: j, Cost: 1})
		h.do(SettleAnswered{Group: one[Settle](h).Group})
		both := one[Settle](h)
		require.Equal(t, 2, both.Settlements[0].Piece)
		h.do(SettleAnswered{Group: both.Group, Fault: FaultRefused})
		first := one[Settle](h)
		require.Equal(t, []Settlement{{Job: j, Piece: 1}}, first.Settlements)
		none[Forfeit](h)
		h.do(SettleAnswered{Group: first.Group, Fault: FaultRefused})
		require.Equal(t, Forfeit{Job: j}, one[Forfeit](h))
		second := one[Settle](h)
		require.Equal(t, []Settlement{{Job: j, Piece: 1}}, second.Settlements)
		h.do(SettleAnswered{Group: second.Group})
		require.Zero(t, h.s.unsaved)
		h.do(Executed{Job: j, Verdict: nothing, Early: []int{1, 1}})
		require.Len(t, one[Settle](h).Settlements, 1)
		require.Equal(t, 1, one[Settle](h).Settlements[0].Piece, "one by one to the end")
	})

	t.Run("OfAWholeThatIsRefused", func(t *testing.T) {
		t.Parallel()
		h, j := batch(t, 3)
		h.do(Executed{Job: j, Verdict: answered, Early: []int{1, 1}, Rest: 1})
		h.do(SettleAnswered{Group: one[Settle](h).Group, Fault: FaultRefused})
		for range 2 {
			piece := one[Settle](h)
			require.Equal(t, []Settlement{{Job: j, Piece: 1}}, piece.Settlements)
			h.do(SettleAnswered{Group: piece.Group})
		}
		whole := one[Settle](h)
		require.Equal(t, []Settlement{{Job: j}}, whole.Settlements)
		h.do(SettleAnswered{Group: whole.Group, Fault: FaultRefused})
		require.Equal(t, []Settlement{{Job: j, NotKept: true}}, one[Settle](h).Settlements)
		h.do(SettleAnswered{Group: one[Settle](h).Group}, Received{})
		h.over()
	})

	// What was answered makes the job be recorded, whatever else happened to it.
	t.Run("MeanThatSomethingWasAnswered", func(t *testing.T) {
		t.Parallel()
		h := play1(t, func(c *Config) { c.Breaker = quick })
		j := h.works(batchOf("r", 5))[0]
		h.do(Reported{Job: j, Cost: 1}, Executed{Job: j, Verdict: wrongKey, Rest: 4})
		none[HandBack](h)
		h.do(SettleAnswered{Group: one[Settle](h).Group})
		require.Equal(t, []Settlement{{Job: j}}, one[Settle](h).Settlements)
		require.Zero(t, h.s.Stats(h.now).BreakerOpened)
	})

	// A batch that is given up in the middle keeps what it has answered: that is recorded
	// before it is handed back.
	t.Run("AreRecordedBeforeTheJobIsHandedBack", func(t *testing.T) {
		t.Parallel()
		h, j := batch(t, 5)
		h.do(Reported{Job: j, Cost: 1})
		piece := one[Settle](h)
		h.do(Stop{}, Received{})
		h.at(h.s.cfg.DrainTimeout)
		require.Equal(t, []*Job{j}, one[Cancel](h).Jobs)
		h.do(Reported{Job: j, Cost: 1})
		none[Accept](h)
		h.do(Executed{Job: j, GaveUp: true})
		none[HandBack](h)
		h.do(SettleAnswered{Group: piece.Group})
		h.do(HandedBack{Group: one[HandBack](h).Group})
		one[Stopped](h)
		h.over()
	})

	t.Run("OfALostJobAreDropped", func(t *testing.T) {
		t.Parallel()
		h := play1(t, func(c *Config) { c.CancelEvery = time.Second })
		j := h.works(batchOf("r", 5))[0]
		h.do(Reported{Job: j, Cost: 1})
		piece := one[Settle](h)
		h.do(Reported{Job: j, Cost: 1}, Reported{Job: j, Cost: 2000})
		h.at(time.Second)
		h.do(Looked{Group: one[Look](h).Group, Lost: []*Job{j}})
		require.Equal(t, []*Job{j}, one[Cancel](h).Jobs)
		require.Equal(t, 1, h.s.unsaved)
		require.Empty(t, h.s.reports)
		h.do(Executed{Job: j, GaveUp: true}, SettleAnswered{Group: piece.Group}, Received{})
		none[Settle](h)
		h.over()
	})

	t.Run("ThatFailWaitAndAreForgottenWithTheJob", func(t *testing.T) {
		t.Parallel()
		h := play1(t, func(c *Config) { c.CancelEvery = time.Second })
		j := h.works(batchOf("r", 5))[0]
		h.do(Reported{Job: j, Cost: 7})
		h.do(SettleAnswered{Group: one[Settle](h).Group, Fault: FaultOfStore})
		require.Equal(t, 7, h.s.unsaved)
		h.at(firstPause * 3 / 2)
		h.do(SettleAnswered{Group: one[Settle](h).Group, Fault: FaultOfStore})
		h.at(time.Second)
		h.do(Looked{Group: one[Look](h).Group, Lost: []*Job{j}})
		require.Zero(t, h.s.unsaved)
		h.do(Executed{Job: j, GaveUp: true}, Received{})
		h.at(time.Minute)
		none[Settle](h)
		h.over()
	})
}
