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
	err := l.t.read(ctx, func(st *tenantState) error {
		if err := l.t.exists(st); err != nil {
			return err
		}
		if st != nil {
			balance.Purchased, balance.Monthly = st.purchased, st.monthly[p]
		}
		if w := l.t.posted; w != nil {
			balance.Purchased = w.purchased
			if monthly, ok := w.monthly[p]; ok {
				balance.Monthly = monthly
			}
		}
		return nil
	})
	return balance, err
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
	err = l.t.read(ctx, func(st *tenantState) error {
		e.Seq = 1
		if st != nil {
			_, used := st.byKey[e.Key]
			if used || e.Kind == core.EntryRefund && st.refunds[e.Charge] {
				return ports.ErrExists
			}
			e.Seq = int64(len(st.entries)) + 1
		}
		if w := l.t.posted; w != nil {
			e.Seq += int64(len(w.entries))
			for _, own := range w.entries {
				if own.Key == e.Key || e.Kind == core.EntryRefund && own.Kind == core.EntryRefund && own.Charge == e.Charge {
					return ports.ErrExists
				}
			}
		}
		return nil
	})
	if err != nil {
		return core.Entry{}, err
	}
	after, err := before.Apply(e)
	if err != nil {
		return core.Entry{}, err
	}
	if l.t.posted == nil {
		l.t.posted = &ledgerWrites{monthly: map[core.Period]core.Credits{}}
	}
	e.Tenant = l.t.tenant
	l.t.posted.purchased = after.Purchased
	l.t.posted.monthly[e.Period] = after.Monthly
	l.t.posted.entries = append(l.t.posted.entries, e)
	return e, nil
}

type books struct{ t *tx }

func (b books) Entry(ctx context.Context, key core.Key) (core.Entry, error) {
	var found core.Entry
	err := b.t.read(ctx, func(st *tenantState) error {
		if b.t.posted != nil {
			for _, e := range b.t.posted.entries {
				if e.Key == key {
					found = e
					return nil
				}
			}
		}
		if st == nil {
			return ports.ErrNotFound
		}
		at, ok := st.byKey[key]
		if !ok {
			return ports.ErrNotFound
		}
		found = st.entries[at]
		return nil
	})
	return found, err
}

func (b books) Entries(ctx context.Context, after int64, limit int) ([]core.Entry, error) {
	var list []core.Entry
	err := b.t.read(ctx, func(st *tenantState) error {
		var committed, own []core.Entry
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
		return nil
	})
	return list, err
}

func (b books) Balances(ctx context.Context) ([]core.Balance, error) {
	var list []core.Balance
	err := b.t.read(ctx, func(st *tenantState) error {
		monthly, purchased := map[core.Period]core.Credits{}, core.Credits(0)
		if st != nil {
			maps.Copy(monthly, st.monthly)
			purchased = st.purchased
		}
		if w := b.t.posted; w != nil {
			maps.Copy(monthly, w.monthly)
			purchased = w.purchased
		}
		for p, left := range monthly {
			list = append(list, core.Balance{Period: p, Split: core.Split{Monthly: left, Purchased: purchased}})
		}
		return nil
	})
	slices.SortFunc(list, func(a, b core.Balance) int {
		if a.Period.Before(b.Period) {
			return -1
		}
		return 1
	})
	return list, err
}
