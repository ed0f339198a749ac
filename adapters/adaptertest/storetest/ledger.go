package storetest

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

var (
	february = core.Period{Year: 2026, Month: time.February}
	april    = march.Next()
)

// account is a tenant with a run that charges can refer to, and nothing posted.
func account(t *testing.T, s ports.Store, id core.TenantID) *world {
	t.Helper()
	bare(t, s, id)
	w := newWorld(id)
	commit(t, s, id, func(ctx context.Context, tx ports.Tx) error {
		for _, run := range []core.Run{w.running, w.closed} {
			if err := tx.Runs().Insert(ctx, run, w.files); err != nil {
				return err
			}
		}
		for _, a := range w.attempts {
			if err := tx.Attempts().Insert(ctx, a); err != nil {
				return err
			}
		}
		return nil
	})
	return w
}

// post posts entries in one transaction that must succeed.
func post(t *testing.T, s ports.Store, entries ...core.Entry) {
	t.Helper()
	commit(t, s, entries[0].Tenant, func(ctx context.Context, tx ports.Tx) error {
		for _, e := range entries {
			if _, err := tx.Ledger().BalanceForUpdate(ctx, e.Period); err != nil {
				return err
			}
			if _, err := tx.Ledger().Post(ctx, e); err != nil {
				return err
			}
		}
		return nil
	})
}

// refuse posts an entry that must be refused, and checks that nothing was
// written: not in the transaction that was refused, which is committed, and not
// after it; and that the number is not used up.
func refuse(t *testing.T, s ports.Store, e core.Entry, want error) {
	t.Helper()
	before := MustRead(t, s, e.Tenant)
	commit(t, s, e.Tenant, func(ctx context.Context, tx ports.Tx) error {
		_, err := tx.Ledger().Post(ctx, e)
		require.ErrorIs(t, err, want)
		after, err := readAll(ctx, tx, nil)
		require.NoError(t, err)
		equal(t, before, after, "in the same transaction")
		return nil
	})
	equal(t, before, MustRead(t, s, e.Tenant))
}

func balance(p core.Period, monthly, purchased core.Credits) core.Balance {
	return core.Balance{Period: p, Split: core.Split{Monthly: monthly, Purchased: purchased}}
}

func testLedger(t *testing.T, newStore Factory, _ Options) {
	t.Run("BalanceWithoutEntries", func(t *testing.T) {
		t.Parallel()
		s := newStore(t)
		bare(t, s, "acme")
		commit(t, s, "acme", func(ctx context.Context, tx ports.Tx) error {
			same(t, balance(march, 0, 0))(tx.Ledger().Balance(ctx, march))
			same(t, balance(april, 0, 0))(tx.Ledger().BalanceForUpdate(ctx, april))
			empty(t)(tx.Ledger().Balances(ctx))
			empty(t)(tx.Ledger().Entries(ctx, 0, 10))
			return nil
		})
		ctx := bounded(t)
		require.ErrorIs(t, s.InTx(ctx, "ghost", func(tx ports.Tx) error { _, err := tx.Ledger().Balance(ctx, march); return err }), ports.ErrNotFound)
		require.ErrorIs(t, s.InTx(ctx, "ghost", func(tx ports.Tx) error {
			_, err := tx.Ledger().BalanceForUpdate(ctx, march)
			return err
		}), ports.ErrNotFound)
	})

	t.Run("EachPeriodIsABucketOfItsOwn", func(t *testing.T) {
		t.Parallel()
		s := newStore(t)
		w := account(t, s, "acme")
		post(t, s, allowance("acme", "a/3", march, 100), allowance("acme", "a/2", february, 40))
		charge := chargeOf(w.attempts[0])
		charge.Amount = core.Split{Monthly: 30}
		post(t, s, charge)
		late := purchase("acme", "client/p", 7)
		late.Period = april // bought in April: no allowance of April's is made by it
		post(t, s, late)
		commit(t, s, "acme", func(ctx context.Context, tx ports.Tx) error {
			want := []core.Balance{balance(february, 40, 7), balance(march, 70, 7), balance(april, 0, 7)}
			same(t, want)(tx.Ledger().Balances(ctx))
			for _, b := range append(want, balance(april.Next(), 0, 7)) {
				same(t, b)(tx.Ledger().Balance(ctx, b.Period))
				same(t, b)(tx.Ledger().BalanceForUpdate(ctx, b.Period))
			}
			return nil
		})
	})

	t.Run("RefundGoesBackToItsPeriod", func(t *testing.T) {
		t.Parallel()
		s := newStore(t)
		w := account(t, s, "acme")
		a := w.attempts[0]
		a.Charge.Period, a.Charge.Amount = february, core.Split{Monthly: 30, Purchased: 5}
		post(t, s, allowance("acme", "a/2", february, 30), purchase("acme", "client/p", 5), chargeOf(a), allowance("acme", "a/3", march, 100))
		equal(t, []core.Balance{balance(february, 0, 0), balance(march, 100, 0)}, MustRead(t, s, "acme").Balances)
		post(t, s, refundOf(a, at(30)))
		equal(t, []core.Balance{balance(february, 30, 5), balance(march, 100, 5)}, MustRead(t, s, "acme").Balances)
	})

	t.Run("KeyIsUsedOnce", func(t *testing.T) {
		t.Parallel()
		s := newStore(t)
		w := account(t, s, "acme")
		post(t, s, allowance("acme", "a/3", march, 100), purchase("acme", "client/p", 50))
		post(t, s, chargeOf(w.attempts[0]))
		refuse(t, s, chargeOf(w.attempts[0]), ports.ErrExists)
		for _, other := range []core.Entry{
			purchase("acme", w.attempts[0].Charge.Key, 1),
			allowance("acme", "client/p", april, 1),
			purchase("acme", "a/3", 1),
		} {
			refuse(t, s, other, ports.ErrExists) // whatever kind of entry it is
		}
		post(t, s, chargeOf(w.attempts[1]))
		equal(t, []int64{1, 2, 3, 4}, seqs(MustRead(t, s, "acme").Entries))
	})

	t.Run("ChargeIsRefundedOnce", func(t *testing.T) {
		t.Parallel()
		s := newStore(t)
		w := account(t, s, "acme")
		post(t, s, allowance("acme", "a/3", march, 100), purchase("acme", "client/p", 50), chargeOf(w.attempts[2]), chargeOf(w.attempts[3]))
		refund := refundOf(w.attempts[3], at(31))
		post(t, s, refund)
		refuse(t, s, refund, ports.ErrExists)
		refund.Key = "refund/under/another/key"
		refuse(t, s, refund, ports.ErrExists)
		post(t, s, refundOf(w.attempts[2], at(32))) // another charge's

		// Both in one transaction.
		s = newStore(t)
		w = account(t, s, "acme")
		post(t, s, allowance("acme", "a/3", march, 100), purchase("acme", "client/p", 50), chargeOf(w.attempts[3]))
		commit(t, s, "acme", func(ctx context.Context, tx ports.Tx) error {
			_, err := tx.Ledger().Post(ctx, refundOf(w.attempts[3], at(31)))
			require.NoError(t, err)
			_, err = tx.Ledger().Post(ctx, refund)
			require.ErrorIs(t, err, ports.ErrExists)
			return nil
		})
		equal(t, []core.Balance{balance(march, 100, 50)}, MustRead(t, s, "acme").Balances)
	})

	t.Run("RefundedByHand", func(t *testing.T) {
		t.Parallel()
		s := newStore(t)
		w := account(t, s, "acme")
		a, other := w.attempts[0], w.attempts[1] // 11 monthly and 1 purchased, 2 purchased
		post(t, s, allowance("acme", "a/3", march, 100), purchase("acme", "client/p", 50), chargeOf(a), chargeOf(other))
		parts := []core.Entry{
			handRefundOf(a, "client/1", core.Split{Purchased: 1}, "first"),
			handRefundOf(a, "client/2", core.Split{Monthly: 7}, "second"),
		}
		for i, part := range parts {
			post(t, s, part)
			parts[i].Seq = int64(5 + i)
		}
		equal(t, []core.Balance{balance(march, 96, 48)}, MustRead(t, s, "acme").Balances)
		refuse(t, s, handRefundOf(a, "client/2", core.Split{Monthly: 4}, "second"), ports.ErrExists) // a key is used once
		refuse(t, s, handRefundOf(a, "client/1", core.Split{Monthly: 9}, "first"), ports.ErrExists)  // whatever it would be
		for name, wrong := range map[string]core.Entry{
			"more than is left of the month's part": handRefundOf(a, "client/3", core.Split{Monthly: 5}, "r"),
			"more than is left of the other part":   handRefundOf(a, "client/3", core.Split{Monthly: 4, Purchased: 1}, "r"),
			"of no charge":                          handRefundOf(w.attempts[2], "client/3", core.Split{Monthly: 1}, "r"),
			"to another month": func() core.Entry {
				e := handRefundOf(a, "client/3", core.Split{Monthly: 1}, "r")
				e.Period = april
				return e
			}(),
			"to another attempt": func() core.Entry {
				e := handRefundOf(a, "client/3", core.Split{Monthly: 1}, "r")
				e.Attempt = 1
				return e
			}(),
		} {
			err := s.InTx(bounded(t), "acme", func(tx ports.Tx) error {
				_, err := tx.Ledger().Post(bounded(t), wrong)
				return err
			})
			require.ErrorIs(t, err, ports.ErrRefused, name)
		}
		// What Redrive refunds by itself is all of a charge, of which nothing was given back.
		require.Error(t, s.InTx(bounded(t), "acme", func(tx ports.Tx) error {
			_, err := tx.Ledger().Post(bounded(t), refundOf(a, at(40)))
			return err
		}))
		require.ErrorIs(t, s.InTx(bounded(t), "acme", func(tx ports.Tx) error {
			if _, err := tx.Ledger().Post(bounded(t), refundOf(other, at(40))); err != nil {
				return err
			}
			_, err := tx.Ledger().Post(bounded(t), handRefundOf(other, "client/3", core.Split{Purchased: 1}, "r"))
			return err
		}), ports.ErrRefused)
		equal(t, []core.Balance{balance(march, 96, 48)}, MustRead(t, s, "acme").Balances)
		commit(t, s, "acme", func(ctx context.Context, tx ports.Tx) error {
			own, err := tx.Ledger().Post(ctx, handRefundOf(a, "client/3", core.Split{Monthly: 4}, "the rest"))
			require.NoError(t, err)
			same(t, append(parts, own))(tx.Ledger().RefundsOf(ctx, a.Charge.Key))
			empty(t)(tx.Ledger().RefundsOf(ctx, other.Charge.Key))
			empty(t)(tx.Ledger().RefundsOf(ctx, "ghost"))
			return nil
		})
		equal(t, []core.Balance{balance(march, 100, 48)}, MustRead(t, s, "acme").Balances)
	})

	t.Run("NeverOverdrawn", func(t *testing.T) {
		t.Parallel()
		s := newStore(t)
		w := account(t, s, "acme")
		post(t, s, allowance("acme", "a/3", march, 10), allowance("acme", "a/4", april, 1000), purchase("acme", "client/p", 5))
		charge := chargeOf(w.attempts[0])
		for _, amount := range []core.Split{
			{Monthly: 11}, {Purchased: 6}, {Monthly: 10, Purchased: 6}, {Monthly: 11, Purchased: 4}, // neither part may take from the other
			{Monthly: math.MaxInt64}, {Purchased: math.MaxInt64}, {Monthly: -1}, {Purchased: -1},
		} {
			charge.Amount = amount
			refuse(t, s, charge, core.ErrCreditsOutOfRange)
		}
		charge.Amount = core.Split{Monthly: 10, Purchased: 5}
		post(t, s, charge) // its key was not used up, and the whole balance may be
		c := MustRead(t, s, "acme")
		equal(t, []core.Balance{balance(march, 0, 0), balance(april, 1000, 0)}, c.Balances)
		equal(t, []int64{1, 2, 3, 4}, seqs(c.Entries))
		charge = chargeOf(w.attempts[1])
		charge.Amount = core.Split{Monthly: 1}
		refuse(t, s, charge, core.ErrCreditsOutOfRange)
	})

	t.Run("NeverOverflown", func(t *testing.T) {
		t.Parallel()
		s := newStore(t)
		bare(t, s, "acme")
		post(t, s, purchase("acme", "client/p", math.MaxInt64))
		refuse(t, s, purchase("acme", "client/q", 1), core.ErrCreditsOutOfRange)
		refuse(t, s, purchase("acme", "client/q", math.MaxInt64), core.ErrCreditsOutOfRange)
		refuse(t, s, allowance("acme", "a/3", march, 1), core.ErrCreditsOutOfRange) // what can be spent is their sum
		equal(t, []core.Balance{balance(march, 0, math.MaxInt64)}, MustRead(t, s, "acme").Balances)

		bare(t, s, "beta")
		post(t, s, allowance("beta", "a/3", march, math.MaxInt64))
		refuse(t, s, allowance("beta", "a/3/more", march, 1), core.ErrCreditsOutOfRange)
		post(t, s, allowance("beta", "a/4", april, math.MaxInt64)) // a bucket of its own
	})

	t.Run("EntriesByPages", func(t *testing.T) {
		t.Parallel()
		s := newStore(t)
		bare(t, s, "acme")
		var all []core.Entry
		for i := range 12 { // above 10, where text would sort otherwise
			e := purchase("acme", core.Key(fmt.Sprint("client/", i)), 1)
			post(t, s, e)
			e.Seq = int64(i) + 1
			all = append(all, e)
		}
		commit(t, s, "acme", func(ctx context.Context, tx ports.Tx) error {
			own := purchase("acme", "client/own", 1)
			posted, err := tx.Ledger().Post(ctx, own)
			require.NoError(t, err)
			all = append(all, posted)
			for after := range len(all) + 1 {
				for limit := 1; limit <= len(all)+1; limit++ {
					got, err := tx.Ledger().Entries(ctx, int64(after), limit)
					require.NoError(t, err)
					equal(t, orNil(all[after:min(after+limit, len(all))]), orNil(got), "after %d, limit %d", after, limit)
				}
			}
			return nil
		})
	})

	t.Run("NumberedWithoutGaps", func(t *testing.T) { testSeq(t, newStore) })
	t.Run("OneChargeOfManyAtOnce", func(t *testing.T) { testSameKeyAtOnce(t, newStore) })
}

// testSeq: 20 post at once, some of them change their mind after it; the
// numbers of those that stay have no gaps and no doubles, in the order in which
// the lock was acquired.
func testSeq(t *testing.T, newStore Factory) {
	t.Parallel()
	s := newStore(t)
	bare(t, s, "acme")
	const posters, rounds = 20, 5
	ctx := bounded(t)
	errs := together(t, posters, func(i int) error {
		for round := range rounds {
			_, err := insist(ctx, s, "acme", func(tx ports.Tx) error {
				if _, err := tx.Ledger().BalanceForUpdate(ctx, march); err != nil {
					return err
				}
				for part := range 1 + i%3 {
					if _, err := tx.Ledger().Post(ctx, purchase("acme", core.Key(fmt.Sprintf("client/%d/%d/%d", i, round, part)), 1)); err != nil {
						return err
					}
				}
				if i%4 == 3 {
					return errRollback
				}
				return nil
			})
			if i%4 == 3 && err == errRollback { //nolint:errorlint // InTx gives fn's error as it is
				err = nil
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	for _, err := range errs {
		require.NoError(t, err)
	}
	want := 0
	for i := range posters {
		if i%4 != 3 {
			want += rounds * (1 + i%3)
		}
	}
	c := MustRead(t, s, "acme")
	require.Len(t, c.Entries, want)
	equal(t, []core.Balance{balance(march, 0, core.Credits(want))}, c.Balances)
	for i, seq := range seqs(c.Entries) {
		equal(t, int64(i)+1, seq)
	}
}

// testSameKeyAtOnce: of many that post under one key, or refund one charge
// under their own keys, exactly one succeeds.
func testSameKeyAtOnce(t *testing.T, newStore Factory) {
	t.Parallel()
	s := newStore(t)
	w := account(t, s, "acme")
	post(t, s, allowance("acme", "a/3", march, 100), purchase("acme", "client/p", 50))
	for _, entry := range []func(i int) core.Entry{
		func(int) core.Entry { return chargeOf(w.attempts[0]) },
		func(i int) core.Entry {
			e := refundOf(w.attempts[0], at(30))
			e.Key += core.Key(fmt.Sprint(i))
			return e
		},
	} {
		ctx := bounded(t)
		won := 0
		for _, err := range together(t, 10, func(i int) error {
			time.Sleep(time.Duration(rand.IntN(1000)) * time.Microsecond) // not all in the same order
			_, err := insist(ctx, s, "acme", func(tx ports.Tx) error {
				if _, err := tx.Ledger().BalanceForUpdate(ctx, march); err != nil {
					return err
				}
				_, err := tx.Ledger().Post(ctx, entry(i))
				return err
			})
			return err
		}) {
			if err == nil {
				won++
				continue
			}
			require.ErrorIs(t, err, ports.ErrExists)
		}
		equal(t, 1, won)
	}
	equal(t, []core.Balance{balance(march, 100, 50)}, MustRead(t, s, "acme").Balances)
}

func seqs(entries []core.Entry) []int64 {
	numbers := make([]int64, len(entries))
	for i := range entries {
		numbers[i] = entries[i].Seq
	}
	return numbers
}
