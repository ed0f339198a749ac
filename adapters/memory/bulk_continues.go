package memory

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// bulks are kept beside the tenants, as they are found before it is known whose they are.
type bulks struct {
	mu      sync.Mutex
	byID    map[core.BulkID]core.Bulk
	replies map[core.Key]core.Reply // of those over several tenants
}

// used reports whether there is one of this ID, or of this key in its tenant.
func (b *bulks) used(row *core.Bulk) bool {
	for _, x := range b.byID {
		if x.ID == row.ID || row.Key != "" && x.Tenant == row.Tenant && x.Key == row.Key {
			return true
		}
	}
	return false
}

// made keeps what a transaction made.
func (b *bulks) made(rows []core.Bulk) {
	if len(rows) == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.byID == nil {
		b.byID = map[core.BulkID]core.Bulk{}
	}
	for _, row := range rows {
		b.byID[row.ID] = row
	}
}

func (b *bulks) reset() {
	b.mu.Lock()
	defer b.mu.Unlock()
	clear(b.byID)
	clear(b.replies)
}

// BulkContinues implements ports.Store.
func (s *Store) BulkContinues() ports.BulkContinues { return bulkContinues{s} }

type bulkContinues struct{ s *Store }

// locked runs fn under the lock.
func (b bulkContinues) locked(ctx context.Context, fn func(map[core.BulkID]core.Bulk) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	b.s.bulks.mu.Lock()
	defer b.s.bulks.mu.Unlock()
	if b.s.bulks.byID == nil {
		b.s.bulks.byID = map[core.BulkID]core.Bulk{}
	}
	return fn(b.s.bulks.byID)
}

// where gives copies of those that are wanted, sorted.
func (b bulkContinues) where(ctx context.Context, limit int, wanted func(core.Bulk) bool, order func(x, y core.Bulk) int) (found []core.Bulk, err error) {
	err = b.locked(ctx, func(all map[core.BulkID]core.Bulk) error {
		for _, x := range all {
			if wanted(x) {
				found = append(found, cloneBulk(x))
			}
		}
		return nil
	})
	slices.SortFunc(found, order)
	return found[:min(max(limit, 0), len(found))], err
}

func newestFirst(x, y core.Bulk) int {
	return cmp.Or(y.CreatedAt.Compare(x.CreatedAt), cmp.Compare(y.ID, x.ID))
}

// cloneBulk: what the caller does with its own copy is its own affair.
func cloneBulk(b core.Bulk) core.Bulk {
	b.Selection.Statuses, b.Changes, b.Moved = slices.Clone(b.Selection.Statuses), slices.Clone(b.Changes), slices.Clone(b.Moved)
	b.Terms.MaxPrice, b.Terms.Canary, b.Terms.Stop = cloned(b.Terms.MaxPrice), cloned(b.Terms.Canary), cloned(b.Terms.Stop)
	return b
}

func cloned[T any](p *T) *T {
	if p == nil {
		return nil
	}
	v := *p
	return &v
}

func (b bulkContinues) Insert(ctx context.Context, row core.Bulk, r *core.Reply) error {
	return b.locked(ctx, func(all map[core.BulkID]core.Bulk) error {
		if b.s.bulks.used(&row) {
			return ports.ErrExists
		}
		if r != nil {
			if err := b.keep(*r); err != nil {
				return err
			}
		}
		all[row.ID] = cloneBulk(row)
		return nil
	})
}

// keep needs the lock.
func (b bulkContinues) keep(r core.Reply) error {
	all := &b.s.bulks.replies
	if _, used := (*all)[r.Key]; used {
		return ports.ErrExists
	}
	if *all == nil {
		*all = map[core.Key]core.Reply{}
	}
	r.Tenant, r.Operation = "", core.OperationBulkContinue
	(*all)[r.Key] = cloneReply(r)
	return nil
}

func (b bulkContinues) Refuse(ctx context.Context, r core.Reply) error {
	return b.locked(ctx, func(map[core.BulkID]core.Bulk) error { return b.keep(r) })
}

func (b bulkContinues) Reply(ctx context.Context, key core.Key) (r core.Reply, err error) {
	err = b.locked(ctx, func(map[core.BulkID]core.Bulk) error {
		x, ok := b.s.bulks.replies[key]
		if !ok {
			return ports.ErrNotFound
		}
		r = cloneReply(x)
		return nil
	})
	return r, err
}

func (b bulkContinues) Get(ctx context.Context, id core.BulkID) (row core.Bulk, err error) {
	err = b.locked(ctx, func(all map[core.BulkID]core.Bulk) error {
		x, ok := all[id]
		if !ok {
			return ports.ErrNotFound
		}
		row = cloneBulk(x)
		return nil
	})
	return row, err
}

func (b bulkContinues) Save(ctx context.Context, row core.Bulk) error {
	return b.locked(ctx, func(all map[core.BulkID]core.Bulk) error {
		x, ok := all[row.ID]
		switch {
		case !ok:
			return ports.ErrNotFound
		case x.Version != row.Version:
			return ports.ErrBulkChanged
		}
		row = cloneBulk(row)
		row.Version++
		all[row.ID] = row
		return nil
	})
}

func (b bulkContinues) List(ctx context.Context, f ports.BulkFilter) ([]core.Bulk, error) {
	before := core.Bulk{ID: f.Before.ID, CreatedAt: f.Before.CreatedAt}
	return b.where(ctx, f.Limit, func(x core.Bulk) bool {
		return (f.Tenant == "" || x.Tenant == f.Tenant) && (!f.Unended || !x.Status.Ended()) &&
			(f.Before == ports.BulkCursor{} || newestFirst(before, x) < 0)
	}, newestFirst)
}

func (b bulkContinues) Free(ctx context.Context, now time.Time, horizon time.Duration, limit int) ([]ports.BulkKey, error) {
	found, err := b.where(ctx, limit, func(x core.Bulk) bool { return x.Free(now, horizon) }, func(x, y core.Bulk) int {
		return cmp.Or(x.LeaseUntil.Compare(y.LeaseUntil), cmp.Compare(x.ID, y.ID))
	})
	keys := make([]ports.BulkKey, len(found))
	for i := range found {
		keys[i] = ports.BulkKey{Tenant: found[i].Tenant, ID: found[i].ID}
	}
	return keys, err
}

func (b bulkContinues) Parts(ctx context.Context, of ports.BulkKey) ([]core.BulkPart, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	b.s.mu.RLock()
	defer b.s.mu.RUnlock()
	var parts []core.BulkPart
	for _, st := range b.s.tenants {
		if x := st.bulks[of.ID]; x != nil && (of.Tenant == "" || of.Tenant == x.part.Tenant) {
			parts = append(parts, cloneBulkPart(x.part))
		}
	}
	slices.SortFunc(parts, func(x, y core.BulkPart) int { return cmp.Compare(x.Tenant, y.Tenant) })
	return parts, nil
}

func (b bulkContinues) Delete(ctx context.Context, id core.BulkID) error {
	return b.locked(ctx, func(all map[core.BulkID]core.Bulk) error {
		if all[id].Status.Ended() {
			delete(all, id)
		}
		return nil
	})
}

func (b bulkContinues) DeleteEnded(ctx context.Context, before time.Time, limit int) (n int, err error) {
	err = b.locked(ctx, func(all map[core.BulkID]core.Bulk) error {
		for id, x := range all {
			if n < limit && x.Status.Ended() && x.ChangedAt.Before(before) {
				delete(all, id)
				n++
			}
		}
		return nil
	})
	return n, err
}

func (b bulkContinues) Orphans(ctx context.Context, before time.Time, limit int) (keys []ports.BulkPartKey, err error) {
	b.s.mu.RLock()
	defer b.s.mu.RUnlock()
	err = b.locked(ctx, func(all map[core.BulkID]core.Bulk) error {
		for tenant, st := range b.s.tenants {
			if b.s.moves[tenant].State.Closed() {
				continue
			}
			for id, x := range st.bulks {
				if _, there := all[id]; !there && x.part.CreatedAt.Before(before) && len(keys) < limit {
					keys = append(keys, ports.BulkPartKey{Tenant: tenant, Bulk: id})
				}
			}
		}
		return nil
	})
	return keys, err
}
