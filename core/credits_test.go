package core_test

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
)

const (
	maxC = core.Credits(math.MaxInt64)
	minC = core.Credits(math.MinInt64)
)

func TestCredits(t *testing.T) {
	t.Parallel()
	type operation func(a, b core.Credits) (core.Credits, error)
	plus, minus := core.Credits.Plus, core.Credits.Minus
	times := func(a, b core.Credits) (core.Credits, error) { return a.Times(int(b)) }
	for _, tc := range []struct {
		name string
		do   operation
		a, b core.Credits
		want core.Credits
		fail bool
	}{
		{"plus", plus, 2, 3, 5, false},
		{"plus nothing", plus, maxC, 0, maxC, false},
		{"plus up to the limit", plus, maxC - 1, 1, maxC, false},
		{"plus over the limit", plus, maxC, 1, 0, true},
		{"plus far over the limit", plus, maxC, maxC, 0, true},
		{"plus a negative", plus, 5, -1, 0, true},
		{"negative plus", plus, -1, 5, 0, true},
		{"plus the least", plus, 0, minC, 0, true},

		{"minus", minus, 5, 3, 2, false},
		{"minus all", minus, 5, 5, 0, false},
		{"minus too much", minus, 4, 5, 0, true},
		{"minus a negative", minus, 5, -1, 0, true},
		{"negative minus", minus, -1, -2, 0, true},
		{"minus the least", minus, 0, minC, 0, true},

		{"times", times, 7, 3, 21, false},
		{"times 0", times, maxC, 0, 0, false},
		{"0 times", times, 0, math.MaxInt64, 0, false},
		{"times up to the limit", times, maxC / 2, 2, maxC - 1, false},
		{"times 1 at the limit", times, maxC, 1, maxC, false},
		{"times over the limit", times, maxC/2 + 1, 2, 0, true},
		{"times wraps to a positive", times, 1 << 62, 5, 0, true},
		{"times a negative", times, 5, -1, 0, true},
		{"negative times", times, -5, 1, 0, true},
		{"negative times 0", times, -5, 0, 0, true},
		{"negative times negative", times, -5, -1, 0, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			got, err := tc.do(tc.a, tc.b)
			require.Equal(t, tc.want, got)
			if tc.fail {
				refused(t, err, core.CodeCreditsOutOfRange)
				return
			}
			require.NoError(t, err)
		})
	}
}

func TestSplit(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		do   func(a, b core.Split) (core.Split, error)
		a, b core.Split
		want core.Split
		fail bool
	}{
		{"plus part by part", core.Split.Plus, core.Split{Monthly: 1, Purchased: 2}, core.Split{Monthly: 10, Purchased: 20}, core.Split{Monthly: 11, Purchased: 22}, false},
		{"plus overflows monthly", core.Split.Plus, core.Split{Monthly: maxC}, core.Split{Monthly: 1}, core.Split{}, true},
		{"plus overflows purchased", core.Split.Plus, core.Split{Purchased: maxC}, core.Split{Purchased: 1}, core.Split{}, true},
		{"plus overflows the total", core.Split.Plus, core.Split{Monthly: maxC}, core.Split{Purchased: 1}, core.Split{}, true},
		{"minus part by part", core.Split.Minus, core.Split{Monthly: 11, Purchased: 22}, core.Split{Monthly: 10, Purchased: 20}, core.Split{Monthly: 1, Purchased: 2}, false},
		{"minus does not borrow from purchased", core.Split.Minus, core.Split{Monthly: 1, Purchased: 100}, core.Split{Monthly: 2}, core.Split{}, true},
		{"minus does not borrow from monthly", core.Split.Minus, core.Split{Monthly: 100, Purchased: 1}, core.Split{Purchased: 2}, core.Split{}, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			got, err := tc.do(tc.a, tc.b)
			require.Equal(t, tc.want, got)
			if tc.fail {
				refused(t, err, core.CodeCreditsOutOfRange)
				return
			}
			require.NoError(t, err)
		})
	}
	require.Equal(t, core.Credits(7), core.Split{Monthly: 3, Purchased: 4}.Total())
	require.True(t, core.Split{}.IsZero())
	require.False(t, core.Split{Monthly: 1}.IsZero())
	require.False(t, core.Split{Purchased: 1}.IsZero())
}

func TestSplitPrice(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name               string
		monthly, purchased core.Credits
		price              core.Credits
		want               core.Split
		code               core.Code
	}{
		{"nothing costs nothing", 5, 5, 0, core.Split{}, ""},
		{"nothing costs nothing, of nothing", 0, 0, 0, core.Split{}, ""},
		{"monthly alone", 5, 5, 4, core.Split{Monthly: 4}, ""},
		{"monthly exactly", 5, 5, 5, core.Split{Monthly: 5}, ""},
		{"monthly first, then purchased", 5, 5, 6, core.Split{Monthly: 5, Purchased: 1}, ""},
		{"both exactly", 5, 5, 10, core.Split{Monthly: 5, Purchased: 5}, ""},
		{"purchased alone", 0, 5, 3, core.Split{Purchased: 3}, ""},
		{"one too much", 5, 5, 11, core.Split{}, core.CodeInsufficientCredits},
		{"nothing left", 0, 0, 1, core.Split{}, core.CodeInsufficientCredits},
		{"negative price", 5, 5, -1, core.Split{}, core.CodeCreditsOutOfRange},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			b := balanceOf(tc.monthly, tc.purchased)
			got, err := b.SplitPrice(tc.price)
			require.Equal(t, tc.want, got)
			switch tc.code {
			case "":
				require.NoError(t, err)
			case core.CodeInsufficientCredits:
				r := refused(t, err, tc.code)
				require.Equal(t, tc.price, r.Needed)
				require.Equal(t, tc.monthly+tc.purchased, r.Available)
			default:
				refused(t, err, tc.code)
			}
		})
	}
	require.Equal(t, core.Credits(10), balanceOf(4, 6).Available())
}

// Two balances that are in range may have a sum that is not: Available is then the
// largest amount, and a charge is split as always.
func TestBalanceBeyondTheRange(t *testing.T) {
	t.Parallel()
	b := core.Balance{Split: core.Split{Monthly: math.MaxInt64 - 10, Purchased: 100}}
	require.Equal(t, core.Credits(math.MaxInt64), b.Available())
	split, err := b.SplitPrice(math.MaxInt64)
	require.NoError(t, err)
	require.Equal(t, core.Split{Monthly: math.MaxInt64 - 10, Purchased: 10}, split)
}
