package memory

import (
	"context"
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
	if st == nil && !l.t.wrote.newTenant {
		return balance, ports.ErrNotFound
	}
	if st != nil {
		balance.Suspended = st.tenant.Suspended()
		balance.Purchased = st.purchased
		balance.Monthly = monthly(st.monthly, p, 0)
	}
	if l.t.wrote.savedTenant {
		balance.Suspended = l.t.wrote.tenant.Suspended()
	}
	if w := &l.t.wrote.posted; len(w.entries) > 0 {
		balance.Purchased = w.purchased
		balance.Monthly = monthly(w.monthly, p, balance.Monthly)
	}
	return balance, nil
}

// monthly gives what is left of a period, or what to say if nothing was posted to it.
func monthly(list []core.Balance, p core.Period, otherwise core.Credits) core.Credits {
	for i := range list {
		if list[i].Period == p {
			return list[i].Monthly
		}
	}
	return otherwise
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
	e.Tenant = l.t.tenant
	l.t.writes().posted.add(&e, after)
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
	own := l.t.wrote.posted.entries
	for i := range own {
		if own[i].Key == e.Key || e.Kind == core.EntryRefund && own[i].Kind == core.EntryRefund && own[i].Charge == e.Charge {
			return 0, ports.ErrExists
		}
	}
	return seq + int64(len(own)), nil
}

func (w *ledgerWrites) add(e *core.Entry, after core.Balance) {
	after.Suspended = false // which is no part of what is posted
	w.purchased = after.Purchased
	w.entries = append(w.entries, *e)
	for i := range w.monthly {
		if w.monthly[i].Period == e.Period {
			w.monthly[i] = after
			return
		}
	}
	w.monthly = append(w.monthly, after)
}

func (l ledger) Entry(ctx context.Context, key core.Key) (core.Entry, error) {
	st, err := l.t.read(ctx)
	if err != nil {
		return core.Entry{}, err
	}
	defer l.t.done()
	for _, e := range l.t.wrote.posted.entries {
		if e.Key == key {
			return e, nil
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

func (l ledger) Entries(ctx context.Context, after int64, limit int) ([]core.Entry, error) {
	st, err := l.t.read(ctx)
	if err != nil {
		return nil, err
	}
	defer l.t.done()
	var committed []core.Entry
	if st != nil {
		committed = st.entries
	}
	own := l.t.wrote.posted.entries
	first := max(after, 0)
	list := make([]core.Entry, 0, min(max(int64(len(committed)+len(own))-first, 0), int64(max(limit, 0))))
	for i := first; len(list) < cap(list); i++ {
		if i < int64(len(committed)) {
			list = append(list, committed[i])
		} else {
			list = append(list, own[i-int64(len(committed))])
		}
	}
	return list, nil
}

func (l ledger) Balances(ctx context.Context) ([]core.Balance, error) {
	st, err := l.t.read(ctx)
	if err != nil {
		return nil, err
	}
	defer l.t.done()
	var list []core.Balance
	purchased := core.Credits(0)
	if st != nil {
		list, purchased = slices.Clone(st.monthly), st.purchased
	}
	if w := &l.t.wrote.posted; len(w.entries) > 0 {
		purchased = w.purchased
		for _, after := range w.monthly {
			if at := slices.IndexFunc(list, func(m core.Balance) bool { return m.Period == after.Period }); at >= 0 {
				list[at] = after
			} else {
				list = append(list, after)
			}
		}
	}
	for i := range list {
		list[i].Purchased = purchased
	}
	slices.SortFunc(list, func(a, b core.Balance) int {
		if a.Period.Before(b.Period) {
			return -1
		}
		return 1
	})
	return list, nil
}
