package app

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// awayTenants are the tenants that cannot be asked for the time being, as was seen last,
// because their part of the store does not answer. A store that is away as a whole has none.
type awayTenants struct {
	tenants []core.TenantID // ascending
	why     error           // nil: there are none
	changes int             // how often they changed
	next    time.Time       // when to look for them again, for the driver
}

func (a *awayTenants) has(tenant core.TenantID) bool {
	_, there := slices.BinarySearch(a.tenants, tenant)
	return there
}

// note goes by the answer to a question over all tenants.
func (a *awayTenants) note(err error) (changed bool) {
	var now []core.TenantID
	if missing, ok := errors.AsType[*ports.Incomplete](err); ok {
		now = missing.Tenants
	} else if err != nil {
		return false // it says nothing of tenants
	}
	a.why = err
	if slices.Equal(a.tenants, now) {
		return false
	}
	a.tenants, a.changes = now, a.changes+1
	return true
}

// learn reports whether something failed because the tenant cannot be asked. One question over
// all tenants tells which those are, so that not each of them has to be waited for.
func (a *awayTenants) learn(ctx context.Context, store ports.Store, tenant core.TenantID, err error) bool {
	if !errors.Is(err, ports.ErrUnavailable) && !errors.Is(err, ports.ErrCommitUnknown) {
		return false
	}
	_, err = store.AllTenants(ctx, "", 1)
	a.note(err)
	return a.has(tenant)
}

const (
	// bulkAwayLook is how long after a look which tenants are away the next one is at the
	// earliest, and maxBulkAwayLook at the latest: a look at what is gone may take seconds, and
	// the driver does nothing else meanwhile.
	bulkAwayLook    = time.Second
	maxBulkAwayLook = 30 * time.Second
)

// lookAway sees which tenants are away, unless it did so a moment ago.
func (d *BulkDriver) lookAway(ctx context.Context) {
	began := d.s.clock.Now()
	if d.away.next.After(began) {
		return
	}
	_, err := d.s.store.AllTenants(ctx, "", 1)
	d.noteAway(err)
	now := d.s.clock.Now()
	d.away.next = now.Add(min(max(bulkAwayLook, 4*now.Sub(began)), maxBulkAwayLook))
}

func (d *BulkDriver) noteAway(err error) {
	if !d.away.note(err) {
		return
	}
	if err == nil {
		d.s.log.Info("all tenants can be asked again; their runs of bulk continues go on")
		return
	}
	d.s.log.Warn("some tenants cannot be asked; their runs of bulk continues wait, and others go on", "error", err)
}

// isAway reports whether it failed because the tenant cannot be asked.
func (d *BulkDriver) isAway(ctx context.Context, tenant core.TenantID, err error) bool {
	if !errors.Is(err, ports.ErrUnavailable) && !errors.Is(err, ports.ErrCommitUnknown) {
		return false
	}
	d.lookAway(ctx)
	return d.away.has(tenant)
}

// leave lets go of one of a tenant that cannot be asked, so that it can be taken as soon as the
// tenant is back.
func (d *BulkDriver) leave(ctx context.Context, b core.Bulk) error {
	return ignoreChanged(d.all().Save(ctx, b.Release()))
}

// passOver leaves the runs of a tenant that cannot be asked waiting, as they were seen last.
func (d *BulkDriver) passOver(h *heldBulk, tenant core.TenantID) {
	h.lost[tenant] = true
	h.awayChanges, h.again = d.away.changes, d.s.clock.Now().Add(maxBulkAwayLook)
}

// partly reports whether not all of its parts are known as they are now.
func (h *heldBulk) partly() bool { return len(h.lost) > 0 || h.unknown > 0 }

// back reports whether parts that could not be read are to be read again.
func (d *BulkDriver) back(h *heldBulk) bool {
	return h.partly() && (h.awayChanges != d.away.changes || !h.again.After(d.s.clock.Now()))
}

// asked reports whether the tenant of a part is asked now.
func (d *BulkDriver) asked(h *heldBulk, tenant core.TenantID) bool {
	return !h.lost[tenant] && !d.away.has(tenant)
}

// sum adds up what is known of the parts.
func (d *BulkDriver) sum(b core.Bulk, h *heldBulk) (core.BulkTotals, error) {
	totals, err := b.Sum(h.parts)
	totals.Unknown = h.unknown
	for i := range h.parts {
		if !d.asked(h, h.parts[i].Tenant) {
			totals.Away += b.Totals(h.parts[i]).Waiting
		}
	}
	return totals, err
}

// refresh reads all parts again, and has those that an earlier driver continued refuse what
// it still writes: from then on nobody else can continue a run of them, and what their totals
// say stays true. Of a part that is done they do anyway, and its tenant may have been moved
// since. What cannot be read stays as this driver saw it last.
func (d *BulkDriver) refresh(ctx context.Context, b *core.Bulk, h *heldBulk) error {
	parts, missing := d.all().Parts(ctx, bulkKey(*b))
	if unanswered(missing) {
		return missing
	}
	clear(h.lost)
	h.unknown = 0
	if missing != nil {
		d.noteAway(missing)
		for _, was := range h.parts {
			at, there := slices.BinarySearchFunc(parts, was.Tenant, compareBulkPart)
			if !there {
				parts = slices.Insert(parts, at, was)
				d.passOver(h, was.Tenant)
			}
		}
	}
	h.parts = parts
	clear(h.from)
	for i := 0; i < len(h.parts); i++ {
		part := &h.parts[i]
		if t := b.Totals(*part); h.lost[part.Tenant] || part.Fence == b.Fence || t.Waiting == 0 && t.Open == 0 {
			continue
		}
		err := d.fence(ctx, *b, part)
		switch {
		case errors.Is(err, ports.ErrMoved) && b.Tenant == "":
			if err := d.leaveOut(ctx, b, part.Tenant); err != nil {
				return err
			}
		case b.Tenant == "" && d.isAway(ctx, part.Tenant, err):
			missing = err // the one before may still continue a run of it
			h.parts = slices.Delete(h.parts, i, i+1)
			i--
		case err != nil:
			return err
		}
		if *b, err = d.renewed(ctx, *b, h); err != nil {
			return err
		}
	}
	if missing == nil {
		return nil
	}
	sum, err := b.SumOf(h.parts)
	h.unknown, h.awayChanges, h.again = sum.Unknown, d.away.changes, d.s.clock.Now().Add(maxBulkAwayLook)
	return err
}

func compareBulkPart(p core.BulkPart, tenant core.TenantID) int {
	return cmp.Compare(p.Tenant, tenant)
}
