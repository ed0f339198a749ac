package memory

import (
	"context"
	"maps"
	"slices"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// bulkState is what a bulk continue has of one tenant.
type bulkState struct {
	part core.BulkPart
	runs []core.BulkRun // by place
}

// bulkWrites is what a transaction wrote of one.
type bulkWrites struct {
	id       core.BulkID
	part     core.BulkPart
	inserted bool // runs are all of them
	deleted  bool // what was committed of it, before the rest
	runs     []core.BulkRun
}

func (w *writes) bulk(id core.BulkID) *bulkWrites {
	for _, b := range w.bulks {
		if b.id == id {
			return b
		}
	}
	return nil
}

func (st *tenantState) saveBulk(w *bulkWrites) {
	if w.deleted {
		delete(st.bulks, w.id)
	}
	switch {
	case w.inserted:
		if st.bulks == nil {
			st.bulks = map[core.BulkID]*bulkState{}
		}
		st.bulks[w.id] = &bulkState{part: w.part, runs: w.runs}
	case !w.deleted:
		b := st.bulks[w.id]
		b.part = w.part
		for _, r := range w.runs {
			b.runs[r.Place] = r
		}
	}
}

type bulkParts struct{ t *tx }

// get gives the part and its runs, copied, as the transaction sees them.
func (b bulkParts) get(ctx context.Context, id core.BulkID) (core.BulkPart, []core.BulkRun, error) {
	st, err := b.t.read(ctx)
	if err != nil {
		return core.BulkPart{}, nil, err
	}
	defer b.t.done()
	var found bulkState
	there := false
	if st != nil && st.bulks[id] != nil {
		found, there = *st.bulks[id], true
		found.runs = slices.Clone(found.runs)
	}
	if w := b.t.wrote.bulk(id); w != nil {
		switch {
		case w.inserted:
			found, there = bulkState{w.part, slices.Clone(w.runs)}, true
		case w.deleted:
			there = false
		default:
			found.part = w.part
			for _, r := range w.runs {
				found.runs[r.Place] = r
			}
		}
	}
	if !there {
		return core.BulkPart{}, nil, ports.ErrNotFound
	}
	return cloneBulkPart(found.part), found.runs, nil
}

func cloneBulkPart(p core.BulkPart) core.BulkPart {
	p.Totals.RefusedBy = maps.Clone(p.Totals.RefusedBy)
	return p
}

func (b bulkParts) Insert(ctx context.Context, p core.BulkPart, runs []core.BulkRun) error {
	if err := b.t.lock(ctx, lockBulk, string(p.Bulk)); err != nil {
		return err
	}
	_, _, err := b.get(ctx, p.Bulk)
	if err == nil {
		return ports.ErrExists
	}
	if err := ignoreNotFound(err); err != nil {
		return err
	}
	if err := b.t.exists(ctx); err != nil {
		return err
	}
	p.Tenant = b.t.tenant
	w := b.writes(p.Bulk)
	w.part, w.runs, w.inserted = cloneBulkPart(p), slices.Clone(runs), true
	return nil
}

func (b bulkParts) Make(ctx context.Context, row core.Bulk) error {
	if err := b.t.writable(ctx); err != nil {
		return err
	}
	if err := b.t.exists(ctx); err != nil {
		return err
	}
	row.Tenant = b.t.tenant
	used := false
	err := bulkContinues{b.t.store}.locked(ctx, func(map[core.BulkID]core.Bulk) error {
		used = b.t.store.bulks.used(&row)
		return nil
	})
	if err != nil {
		return err
	}
	if used {
		return ports.ErrExists
	}
	w := b.t.writes()
	w.made = append(w.made, cloneBulk(row))
	return nil
}

func (b bulkParts) Lock(ctx context.Context, id core.BulkID) (core.BulkPart, error) {
	if err := b.t.lock(ctx, lockBulk, string(id)); err != nil {
		return core.BulkPart{}, err
	}
	p, _, err := b.get(ctx, id)
	return p, err
}

func (b bulkParts) Save(ctx context.Context, p core.BulkPart, runs ...core.BulkRun) error {
	if err := b.t.lock(ctx, lockBulk, string(p.Bulk)); err != nil {
		return err
	}
	_, all, err := b.get(ctx, p.Bulk)
	if err != nil {
		b.t.broken = err
		return err
	}
	for _, r := range runs {
		if r.Place < 0 || r.Place >= len(all) || all[r.Place].Run != r.Run {
			b.t.broken = ports.ErrNotFound
			return ports.ErrNotFound
		}
	}
	p.Tenant = b.t.tenant
	w := b.writes(p.Bulk)
	w.part = cloneBulkPart(p)
	for _, r := range runs {
		if w.inserted {
			w.runs[r.Place] = r
			continue
		}
		at := slices.IndexFunc(w.runs, func(o core.BulkRun) bool { return o.Place == r.Place })
		if at < 0 {
			w.runs = append(w.runs, r)
		} else {
			w.runs[at] = r
		}
	}
	return nil
}

func (b bulkParts) writes(id core.BulkID) *bulkWrites {
	w := b.t.writes()
	if old := w.bulk(id); old != nil {
		return old
	}
	w.bulks = append(w.bulks, &bulkWrites{id: id})
	return w.bulks[len(w.bulks)-1]
}

func (b bulkParts) Runs(ctx context.Context, id core.BulkID, filter ports.BulkRunFilter) ([]core.BulkRun, error) {
	_, runs, err := b.get(ctx, id)
	if err != nil {
		return nil, ignoreNotFound(err)
	}
	var page []core.BulkRun
	for _, r := range runs {
		if len(page) < filter.Limit && filter.Selects(r) {
			page = append(page, r)
		}
	}
	return page, nil
}

func (b bulkParts) Delete(ctx context.Context, id core.BulkID) error {
	if err := b.t.lock(ctx, lockBulk, string(id)); err != nil {
		return err
	}
	if _, _, err := b.get(ctx, id); err != nil {
		return ignoreNotFound(err)
	}
	*b.writes(id) = bulkWrites{id: id, deleted: true}
	return nil
}
