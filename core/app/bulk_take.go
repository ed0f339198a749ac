package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// horizon is further ahead than any lease, but for the mistakes of clocks.
func (d *BulkDriver) horizon() time.Duration { return 2 * d.s.opts.BulkLease }

func (d *BulkDriver) all() ports.BulkContinues { return d.s.store.BulkContinues() }

// take takes what nobody drives.
func (d *BulkDriver) take(ctx context.Context) error {
	room := maxBulksHeld - len(d.held)
	if room <= 0 {
		return nil
	}
	free, err := d.all().Free(ctx, d.s.clock.Now(), d.horizon(), maxBulksHeld)
	if err != nil {
		return err
	}
	var errs []error
	free = slices.DeleteFunc(free, func(k ports.BulkKey) bool { return d.away.has(k.Tenant) }) // for when it is back
	for _, key := range d.fair(free, room) {
		if err := d.takeOne(ctx, key); err != nil {
			errs = append(errs, fmt.Errorf("take bulk continue %s: %w", key.ID, err))
		}
		errs = append(errs, d.keep(ctx))
	}
	return errors.Join(errs...)
}

// fair chooses those that there is room for: first those of the tenants of which the fewest
// are held.
func (d *BulkDriver) fair(free []ports.BulkKey, room int) []ports.BulkKey {
	if len(free) <= room {
		return free
	}
	held := map[core.TenantID]int{}
	for _, h := range d.held {
		held[h.tenant]++
	}
	turn := make(map[core.BulkID]int, len(free))
	for _, key := range free {
		turn[key.ID] = held[key.Tenant]
		held[key.Tenant]++
	}
	slices.SortStableFunc(free, func(a, b ports.BulkKey) int { return cmp.Compare(turn[a.ID], turn[b.ID]) })
	return free[:room]
}

func (d *BulkDriver) takeOne(ctx context.Context, key ports.BulkKey) error {
	delete(d.held, key.ID) // its own lease has ended
	b, err := d.all().Get(ctx, key.ID)
	now := d.s.clock.Now()
	if err != nil || !b.Free(now, d.horizon()) {
		return err
	}
	b = b.Take(d.holder, now, d.s.opts.BulkLease)
	if err := d.save(ctx, &b); err != nil {
		return ignoreChanged(err) // another server was faster
	}
	h := &heldBulk{
		tenant: b.Tenant, fence: b.Fence, from: map[core.TenantID]int{}, seen: map[core.TenantID]int{}, lost: map[core.TenantID]bool{},
	}
	err = d.refresh(ctx, &b, h)
	switch {
	case errors.Is(err, errBulkLost):
		return nil
	case errors.Is(err, ports.ErrMoved):
		return d.stop(ctx, b, core.BulkReasonTenantMoved)
	case b.Tenant != "" && d.isAway(ctx, b.Tenant, err):
		return d.leave(ctx, b)
	case err != nil:
		return ignoreChanged(err)
	}
	if b, err = d.renewed(ctx, b, h); err != nil {
		return ignoreChanged(err)
	}
	d.held[key.ID] = h
	d.s.log.Debug("driving bulk continue", "bulk", key.ID, "holder", d.holder, "fence", b.Fence)
	return nil
}

func ignoreChanged(err error) error {
	if errors.Is(err, ports.ErrBulkChanged) {
		return nil
	}
	return err
}

// fence reads a part, and has it refuse what an earlier driver still writes.
func (d *BulkDriver) fence(ctx context.Context, b core.Bulk, part *core.BulkPart) error {
	return d.s.store.InTx(ctx, part.Tenant, func(tx ports.Tx) error {
		now, err := tx.BulkParts().Lock(ctx, b.ID)
		if err != nil {
			return err
		}
		if now.Fence > b.Fence {
			return errBulkLost
		}
		now.Fence = b.Fence
		*part = now
		return tx.BulkParts().Save(ctx, now)
	})
}

// leaveOut ends the part of one of several tenants, which is moved to another database: the
// others go on.
func (d *BulkDriver) leaveOut(ctx context.Context, b *core.Bulk, tenant core.TenantID) error {
	d.s.log.Warn("a tenant that was moved is left out of a bulk continue", "bulk", b.ID, "tenant", tenant)
	*b = b.LeaveOut(tenant)
	return d.save(ctx, b)
}

// save keeps the version of what was saved, so that it can be saved again.
func (d *BulkDriver) save(ctx context.Context, b *core.Bulk) error {
	if err := d.all().Save(ctx, *b); err != nil {
		return err
	}
	b.Version++
	return nil
}

// renewed extends the lease when a third of it has passed.
func (d *BulkDriver) renewed(ctx context.Context, b core.Bulk, h *heldBulk) (core.Bulk, error) {
	now, lease := d.s.clock.Now(), d.s.opts.BulkLease
	if b.LeaseUntil.Sub(now) <= lease*2/3 {
		b.LeaseUntil = now.Add(lease)
		if err := d.save(ctx, &b); err != nil {
			return b, err
		}
	}
	h.renew = b.LeaseUntil.Add(-lease * 2 / 3)
	return b, nil
}

// keep extends the leases that are due for renewal, of all bulk continues that are held.
func (d *BulkDriver) keep(ctx context.Context) error {
	var errs []error
	for _, id := range d.ids() {
		h, now := d.held[id], d.s.clock.Now()
		if h.renew.After(now) {
			continue
		}
		b, err := d.all().Get(ctx, id)
		switch {
		case errors.Is(err, ports.ErrNotFound) || err == nil && !b.HeldBy(d.holder, h.fence):
			delete(d.held, id)
			continue
		case err == nil:
			_, err = d.renewed(ctx, b, h)
		}
		if ignoreChanged(err) != nil {
			h.renew = now.Add(bulkWatch)
			errs = append(errs, fmt.Errorf("keep bulk continue %s: %w", id, err))
		}
	}
	return errors.Join(errs...)
}
