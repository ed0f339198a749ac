package core_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
)

// The charge is at most the price that was shown, or the request is refused.
func TestMaxPrice(t *testing.T) {
	t.Parallel()
	most := func(c core.Credits) *core.Credits { return &c }
	files := filesIn(core.FileFailed, core.FilePending, core.FileFailed)
	run := closedOver(files, core.ModePerFile)
	for accepted, ok := range map[core.Credits]bool{10: true, 11: true, 9: false, 0: false} {
		_, err := core.PlanRetry(run, files, balanceOf(100, 0), published(5), core.RetryTerms{By: admin, MaxPrice: most(accepted)}, t1)
		if ok {
			require.NoError(t, err)
		} else {
			require.Equal(t, core.Credits(10), refused(t, err, core.CodePriceChanged).Price)
		}
		req := newRun(2)
		req.MaxPrice = most(accepted)
		_, err = core.PlanRun(req, published(5), balanceOf(100, 0), t0)
		if ok {
			require.NoError(t, err)
		} else {
			require.Equal(t, core.Credits(10), refused(t, err, core.CodePriceChanged).Price)
		}
	}
	t.Run("BeforeTheCredits", func(t *testing.T) {
		t.Parallel()
		_, err := core.PlanRetry(run, files, balanceOf(0, 0), published(5), core.RetryTerms{By: admin, MaxPrice: most(9)}, t1)
		refused(t, err, core.CodePriceChanged)
	})
	t.Run("AfterTheRules", func(t *testing.T) {
		t.Parallel()
		maxed := filesIn(core.FileFailed)
		maxed[0].RetryAttempt = 3
		_, err := core.PlanRetry(closedOver(maxed, core.ModePerFile), maxed, balanceOf(100, 0), published(5), core.RetryTerms{By: admin, MaxPrice: most(0)}, t1)
		refused(t, err, core.CodeMaxRetryCountExceeded)
	})
	t.Run("FreeIsAlwaysAccepted", func(t *testing.T) {
		t.Parallel()
		free := filesIn(core.FilePending)
		_, err := core.PlanRetry(closedOver(free, core.ModePerFile), free, balanceOf(0, 0), published(5), core.RetryTerms{By: admin, MaxPrice: most(0)}, t1)
		require.NoError(t, err)
	})
}
