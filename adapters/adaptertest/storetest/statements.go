package storetest

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/memory"
	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/ports"
)

// testStatements: whatever is in the ledger, a month's statement is what its entries add up
// to, and each month opens with what the one before closed with.
func testStatements(t *testing.T, newStore Factory, _ Options) {
	s := newStore(t)
	w := account(t, s, "acme")
	bare(t, s, "beta")
	post(t, s, purchase("beta", "client/p", 1000)) // nobody's business
	rng := rand.New(rand.NewPCG(14, 10))
	months := []core.Period{february, march, april, april.Next()}
	ledger := generate(t, s, w, rng, months)

	clock := memory.NewManualClock(april.Start().AddDate(0, 0, 9))
	svc, err := app.New(app.Deps{
		Store: s, Queue: memory.NewQueue(), Files: memory.NewFiles(), Clock: clock, Log: slog.New(slog.DiscardHandler),
		Executor: ports.ExecutorFunc(func(context.Context, ports.Task) ([]core.FileResult, error) { return nil, nil }),
	}, app.Options{})
	require.NoError(t, err)
	opening := core.Credits(0)
	for _, month := range months {
		var want [4]core.KindUsage
		for i, kind := range core.EntryKinds {
			want[i].Kind = kind
		}
		left, purchased := core.Credits(0), opening
		for _, e := range ledger {
			if e.Period != month {
				continue
			}
			for i := range want {
				if k := &want[i]; k.Kind == e.Kind {
					k.Entries++
					k.Amount.Monthly, k.Amount.Purchased = k.Amount.Monthly+e.Amount.Monthly, k.Amount.Purchased+e.Amount.Purchased
				}
			}
			sign := core.Credits(1)
			if e.Kind == core.EntryCharge {
				sign = -1
			}
			left, purchased = left+sign*e.Amount.Monthly, purchased+sign*e.Amount.Purchased
		}
		got, err := svc.Statement(bounded(t), core.System, "acme", month)
		require.NoError(t, err)
		require.Equal(t, want[:], got.Kinds, month)
		require.Equal(t, core.Split{Purchased: opening}, got.Opening, month)
		closing := core.Split{Monthly: left, Purchased: purchased}
		if over := month.Before(april); over {
			require.Equal(t, left, got.Lapsed(), month)
			closing.Monthly = 0
		} else {
			require.Zero(t, got.Lapsed(), month)
		}
		require.Equal(t, closing, got.Closing, month)
		opening = got.Closing.Purchased
	}
	balance, err := svc.Balance(bounded(t), core.System, "acme")
	require.NoError(t, err)
	require.Equal(t, opening, balance.Purchased, "the last month closes with what there is")
}

// generate posts entries at random, of these months in any order, and gives them.
func generate(t *testing.T, s ports.Store, w *world, rng *rand.Rand, months []core.Period) (ledger []core.Entry) {
	t.Helper()
	free := []core.Attempt{w.attempts[0], w.attempts[1], w.attempts[2], w.attempts[3]}
	var charges []core.Attempt
	for i := range 80 {
		month := months[rng.IntN(len(months))]
		var e core.Entry
		switch kind := rng.IntN(6); {
		case kind < 2:
			e = allowance("acme", core.Key(fmt.Sprint("a/", i)), month, core.Credits(1+rng.IntN(50)))
		case kind < 4:
			e = purchase("acme", core.Key(fmt.Sprint("client/", i)), core.Credits(1+rng.IntN(50)))
			e.Period = month
		case kind == 4 && len(free) > 0 && i > 8: // when there is something to take
			a := free[0]
			balance := core.Balance{}
			commit(t, s, "acme", func(ctx context.Context, tx ports.Tx) (err error) {
				balance, err = tx.Ledger().Balance(ctx, month)
				return err
			})
			split, err := balance.SplitPrice(balance.Available() * 2 / 3)
			if err != nil || split.IsZero() {
				continue
			}
			free = free[1:]
			a.Charge.Period, a.Charge.Amount = month, split
			charges = append(charges, a)
			e = chargeOf(a)
		case kind == 5 && len(charges) > 0:
			a := charges[0]
			charges = charges[1:]
			e = refundOf(a, at(50))
			if half := (core.Split{Monthly: a.Charge.Amount.Monthly / 2, Purchased: a.Charge.Amount.Purchased / 2}); rng.IntN(2) == 0 && !half.IsZero() {
				e = handRefundOf(a, core.Key(fmt.Sprint("client/hand/", i)), half, "generated")
			}
		default:
			continue
		}
		post(t, s, e)
		ledger = append(ledger, e)
	}
	kinds := map[core.EntryKind]int{}
	for _, e := range ledger {
		kinds[e.Kind]++
	}
	require.Len(t, kinds, 4, "every kind of entry is in it")
	return ledger
}
