package memory

import (
	"context"
	"maps"
	"slices"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

type ledger struct{ t *tx }

func (l ledger) Balance(ctx context.Context, p core.Period) (core.Balance, error) {
	balance := core.Balance{Period: p}
	st, err := l.t.read(ctx)
	if err != nil {
		return balance, err
	}
	defer l.t.done()
	if st == nil && l.t.newTenant == nil {
		return balance, ports.ErrNotFound
	}
	if st != nil {
		balance.Purchased, balance.Monthly = st.purchased, st.monthly[p]
	}
	if w := l.t.posted; w != nil {
		balance.Purchased = w.purchased
		for _, after := range w.monthly {
			if after.Period == p {
				balance.Monthly = after.Monthly
			}
		}
	}
	return balance, nil
}

func (l ledger) BalanceForUpdate(ctx context.Context, p core.Period) (core.Balance, error) {
	if err := l.t.lock(ctx, lockCredits, ""); err != nil {
		return core.Balance{}, err
	}
	return l.Balance(ctx, p)
}

func (l ledger) Post(ctx context.Context, e core.Entry) (core.Entry, error) {
	before, err := l.BalanceForUpdate(ctx, e.Period)
	if err != nil {
		return core.Entry{}, err
	}
	if e.Seq, err = l.next(ctx, &e); err != nil {
		return core.Entry{}, err
	}
	after, err := before.Apply(e)
	if err != nil {
		return core.Entry{}, err
	}
	if l.t.posted == nil {
		l.t.posted = newLedgerWrites()
	}
	e.Tenant = l.t.tenant
	l.t.posted.add(e, after)
	return e, nil
}

// next gives the entry's Seq. ErrExists if its key, or the charge that it refunds,
// is spent.
func (l ledger) next(ctx context.Context, e *core.Entry) (seq int64, err error) {
	st, err := l.t.read(ctx)
	if err != nil {
		return 0, err
	}
	defer l.t.done()
	seq = 1
	if st != nil {
		_, used := st.byKey[e.Key]
		if used || e.Kind == core.EntryRefund && st.refunds[e.Charge] {
			return 0, ports.ErrExists
		}
		seq += int64(len(st.entries))
	}
	if w := l.t.posted; w != nil {
		seq += int64(len(w.entries))
		for i := range w.entries {
			own := &w.entries[i]
			if own.Key == e.Key || e.Kind == core.EntryRefund && own.Kind == core.EntryRefund && own.Charge == e.Charge {
				return 0, ports.ErrExists
			}
		}
	}
	return seq, nil
}

func newLedgerWrites() *ledgerWrites {
	w := &ledgerWrites{}
	w.monthly, w.entries = w.monthlyRoom[:0], w.entriesRoom[:0]
	return w
}

func (w *ledgerWrites) add(e core.Entry, after core.Balance) {
	w.purchased = after.Purchased
	w.entries = append(w.entries, e)
	for i := range w.monthly {
		if w.monthly[i].Period == e.Period {
			w.monthly[i] = after
			return
		}
	}
	w.monthly = append(w.monthly, after)
}

type books struct{ t *tx }

func (b books) Entry(ctx context.Context, key core.Key) (core.Entry, error) {
	st, err := b.t.read(ctx)
	if err != nil {
		return core.Entry{}, err
	}
	defer b.t.done()
	if b.t.posted != nil {
		for _, e := range b.t.posted.entries {
			if e.Key == key {
				return e, nil
			}
		}
	}
	if st == nil {
		return core.Entry{}, ports.ErrNotFound
	}
	at, ok := st.byKey[key]
	if !ok {
		return core.Entry{}, ports.ErrNotFound
	}
	return st.entries[at], nil
}

func (b books) Entries(ctx context.Context, after int64, limit int) ([]core.Entry, error) {
	st, err := b.t.read(ctx)
	if err != nil {
		return nil, err
	}
	defer b.t.done()
	var committed, own, list []core.Entry
	if st != nil {
		committed = st.entries
	}
	if b.t.posted != nil {
		own = b.t.posted.entries
	}
	for i := max(after, 0); i < int64(len(committed)+len(own)) && len(list) < limit; i++ {
		if i < int64(len(committed)) {
			list = append(list, committed[i])
		} else {
			list = append(list, own[i-int64(len(committed))])
		}
	}
	return list, nil
}

func (b books) Balances(ctx context.Context) ([]core.Balance, error) {
	st, err := b.t.read(ctx)
	if err != nil {
		return nil, err
	}
	defer b.t.done()
	monthly, purchased := map[core.Period]core.Credits{}, core.Credits(0)
	if st != nil {
		maps.Copy(monthly, st.monthly)
		purchased = st.purchased
	}
	if w := b.t.posted; w != nil {
		for _, after := range w.monthly {
			monthly[after.Period] = after.Monthly
		}
		purchased = w.purchased
	}
	var list []core.Balance
	for p, left := range monthly {
		list = append(list, core.Balance{Period: p, Split: core.Split{Monthly: left, Purchased: purchased}})
	}
	slices.SortFunc(list, func(a, b core.Balance) int {
		if a.Period.Before(b.Period) {
			return -1
		}
		return 1
	})
	return list, nil
}
