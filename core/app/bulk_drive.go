package app

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

const (
	// maxBulksHeld is how many bulk continues a server drives at once, in turns.
	maxBulksHeld = 20
	// bulkTurn is how many steps one has before the next one's turn.
	bulkTurn = 20
	// bulkWatch is how often it is looked which of the continued runs have closed.
	bulkWatch = time.Second
	// bulkFaultPause is how long is waited after a dispatch that failed; twice as long after
	// each that follows.
	bulkFaultPause = time.Second
)

// BulkDriver drives bulk continues, those that no other server drives. It belongs to one
// goroutine. What it keeps is what it knows; all that counts is in the store.
type BulkDriver struct {
	s      *Service
	holder string
	held   map[core.BulkID]*heldBulk
}

// heldBulk is a bulk continue that this server drives.
type heldBulk struct {
	fence  int64
	parts  []core.BulkPart // ascending by tenant, as they were seen last
	from   map[core.TenantID]int
	seen   map[core.TenantID]int // where the next look at open runs begins
	watch  time.Time             // when to look at them next
	notTil time.Time             // after a fault
	at     time.Time             // when there is something to do
}

// NewBulkDriver makes a driver. holder tells servers from each other, in logs too.
func (s *Service) NewBulkDriver(holder string) *BulkDriver {
	return &BulkDriver{s: s, holder: holder, held: map[core.BulkID]*heldBulk{}}
}

// Pass does what can be done now, and says when there is something to do that it knows of;
// zero if nothing. A bulk continue that fails keeps no other from its turn.
func (d *BulkDriver) Pass(ctx context.Context) (next time.Time, err error) {
	errs := []error{d.take(ctx)}
	for _, id := range slices.Sorted(maps.Keys(d.held)) {
		if err := ctx.Err(); err != nil {
			return next, err
		}
		h := d.held[id]
		if err := d.turn(ctx, id, h); err != nil {
			errs = append(errs, fmt.Errorf("bulk continue %s: %w", id, err))
			h.at = d.s.clock.Now().Add(bulkWatch)
		}
		if _, still := d.held[id]; still && (next.IsZero() || h.at.Before(next)) {
			next = h.at
		}
	}
	return next, errors.Join(errs...)
}

// Release lets other servers go on at once. What fails, its lease ends.
func (d *BulkDriver) Release(ctx context.Context) error {
	var errs []error
	for id, h := range d.held {
		delete(d.held, id)
		b, err := d.all().Get(ctx, id)
		if err == nil && b.HeldBy(d.holder, h.fence) {
			err = d.all().Save(ctx, b.Release())
		}
		if err != nil && !errors.Is(err, ports.ErrBulkChanged) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// horizon is further ahead than any lease, but for the mistakes of clocks.
func (d *BulkDriver) horizon() time.Duration { return 2 * d.s.opts.BulkLease }

func (d *BulkDriver) all() ports.BulkContinues { return d.s.store.BulkContinues() }

// take takes what nobody drives.
func (d *BulkDriver) take(ctx context.Context) error {
	room := maxBulksHeld - len(d.held)
	if room <= 0 {
		return nil
	}
	free, err := d.all().Free(ctx, d.s.clock.Now(), d.horizon(), room)
	if err != nil {
		return err
	}
	var errs []error
	for _, id := range free {
		if err := d.takeOne(ctx, id); err != nil {
			errs = append(errs, fmt.Errorf("take bulk continue %s: %w", id, err))
		}
	}
	return errors.Join(errs...)
}

func (d *BulkDriver) takeOne(ctx context.Context, id core.BulkID) error {
	delete(d.held, id) // its own lease has ended
	b, err := d.all().Get(ctx, id)
	now := d.s.clock.Now()
	if err != nil || !b.Free(now, d.horizon()) {
		return err
	}
	b = b.Take(d.holder, now, d.s.opts.BulkLease)
	if err := d.save(ctx, &b); err != nil {
		if errors.Is(err, ports.ErrBulkChanged) {
			return nil // another server was faster
		}
		return err
	}
	h := &heldBulk{fence: b.Fence, from: map[core.TenantID]int{}, seen: map[core.TenantID]int{}}
	if h.parts, err = d.all().Parts(ctx, id); err != nil {
		return err
	}
	// From here on nobody else can continue a run of it: what the totals say stays true.
	for i := range h.parts {
		if err := d.fence(ctx, b, &h.parts[i]); err != nil {
			switch {
			case errors.Is(err, errBulkLost):
				return nil
			case errors.Is(err, ports.ErrMoved):
				return d.stop(ctx, b, core.BulkReasonTenantMoved)
			}
			return err
		}
		if b, err = d.renewed(ctx, b); err != nil {
			return ignoreChanged(err)
		}
	}
	d.held[id] = h
	d.s.log.Debug("driving bulk continue", "bulk", id, "holder", d.holder, "fence", b.Fence)
	return nil
}

func ignoreChanged(err error) error {
	if errors.Is(err, ports.ErrBulkChanged) {
		return nil
	}
	return err
}

// fence shuts out of a part whoever drove it before, and reads it.
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

// save keeps the version of what was saved, so that it can be saved again.
func (d *BulkDriver) save(ctx context.Context, b *core.Bulk) error {
	if err := d.all().Save(ctx, *b); err != nil {
		return err
	}
	b.Version++
	return nil
}

// renewed extends the lease when a third of it has passed.
func (d *BulkDriver) renewed(ctx context.Context, b core.Bulk) (core.Bulk, error) {
	now, lease := d.s.clock.Now(), d.s.opts.BulkLease
	if b.LeaseUntil.Sub(now) > lease*2/3 {
		return b, nil
	}
	b.LeaseUntil = now.Add(lease)
	err := d.save(ctx, &b)
	return b, err
}

func (d *BulkDriver) stop(ctx context.Context, b core.Bulk, why core.BulkReason) error {
	delete(d.held, b.ID)
	d.s.log.Warn("bulk continue paused", "bulk", b.ID, "tenant", b.Tenant, "reason", why)
	return ignoreChanged(d.all().Save(ctx, b.Stop(why, d.s.clock.Now())))
}

// turn is one's turn: some steps of it.
func (d *BulkDriver) turn(ctx context.Context, id core.BulkID, h *heldBulk) error {
	h.at = d.s.clock.Now().Add(bulkWatch)
	for range bulkTurn {
		if err := ctx.Err(); err != nil {
			return err
		}
		now := d.s.clock.Now()
		b, err := d.all().Get(ctx, id) // also to see that it was paused
		if errors.Is(err, ports.ErrNotFound) || err == nil && !b.HeldBy(d.holder, h.fence) {
			delete(d.held, id)
			return nil
		}
		if err != nil {
			return err
		}
		if b, err = d.renewed(ctx, b); err != nil {
			return ignoreChanged(err)
		}
		if h.notTil.After(now) {
			h.at = h.notTil
			return nil
		}
		if allowed, err := d.allowed(ctx, b, now); err != nil {
			return err
		} else if !allowed {
			return d.stop(ctx, b, core.BulkReasonNotAllowed)
		}
		if err := d.look(ctx, b, h, now); err != nil {
			return d.failed(ctx, b, h, err)
		}
		again, err := d.step(ctx, b, h, now)
		if err != nil {
			return d.failed(ctx, b, h, err)
		}
		if !again {
			return nil
		}
	}
	h.at = d.s.clock.Now()
	return nil
}

// allowed reports whether the API key that made it, if one did, is still good.
func (d *BulkDriver) allowed(ctx context.Context, b core.Bulk, now time.Time) (bool, error) {
	id, is := b.MadeByAPIKey()
	if !is {
		return true, nil
	}
	key, err := d.s.store.APIKey(ctx, b.By.Tenant, id)
	if errors.Is(err, ports.ErrNotFound) {
		return false, nil
	}
	return err == nil && key.Live(now), err
}

// look sees which of the continued runs have closed, when it is time for it.
func (d *BulkDriver) look(ctx context.Context, b core.Bulk, h *heldBulk, now time.Time) (err error) {
	if h.watch.After(now) {
		return nil
	}
	for i := range h.parts {
		part := &h.parts[i]
		if part.Totals.Open == 0 {
			continue
		}
		if *part, h.seen[part.Tenant], err = d.s.watchBulk(ctx, b, *part, h.seen[part.Tenant]); err != nil {
			return err
		}
	}
	h.watch = now.Add(bulkWatch)
	return nil
}

// step does what core decides; again is false if there is nothing more to do until h.at.
func (d *BulkDriver) step(ctx context.Context, b core.Bulk, h *heldBulk, now time.Time) (again bool, err error) {
	totals, err := sumOf(h.parts)
	if err != nil {
		return false, err
	}
	var last time.Time
	for i := range h.parts {
		if h.parts[i].LastAt.After(last) {
			last = h.parts[i].LastAt
		}
	}
	switch step := b.Next(totals, last, now); step.Do {
	case core.BulkDoContinue:
		return true, d.continueNext(ctx, b, h, step.MaxPrice)
	case core.BulkDoWait:
		h.at = step.At
		if totals.Open > 0 && h.watch.Before(h.at) {
			h.at = h.watch
		}
	case core.BulkDoWatch:
		h.at = h.watch
	case core.BulkDoPass:
		d.s.log.Info("the canary of a bulk continue passed", "bulk", b.ID)
		return true, ignoreChanged(d.all().Save(ctx, b.PassCanary()))
	case core.BulkDoPause:
		return false, d.stop(ctx, b, step.Reason)
	case core.BulkDoFinish:
		delete(d.held, b.ID)
		d.s.log.Info("bulk continue finished", "bulk", b.ID, "continued", totals.Continued, "refused", totals.Refused, "credits", totals.Price)
		return false, ignoreChanged(d.all().Save(ctx, b.Finish(now)))
	case core.BulkDoNothing:
		delete(d.held, b.ID)
	}
	return false, nil
}

func (d *BulkDriver) continueNext(ctx context.Context, b core.Bulk, h *heldBulk, most *core.Credits) error {
	i := slices.IndexFunc(h.parts, func(p core.BulkPart) bool { return p.Totals.Waiting > 0 })
	part := &h.parts[i]
	before := part.Totals
	after, place, err := d.s.bulkStep(ctx, b, *part, h.from[part.Tenant], most)
	if err != nil {
		return err
	}
	*part = after
	if h.from[part.Tenant] = place; after.Totals.Waiting >= before.Waiting {
		return d.refresh(ctx, b.ID, h) // what was known is not so any more
	}
	if b.Faults > 0 {
		b.Faults = 0
		return ignoreChanged(d.all().Save(ctx, b))
	}
	return nil
}

// refresh reads all parts again.
func (d *BulkDriver) refresh(ctx context.Context, id core.BulkID, h *heldBulk) error {
	parts, err := d.all().Parts(ctx, id)
	if err != nil {
		return err
	}
	h.parts = parts
	clear(h.from)
	return nil
}

// failed sees to what a step failed with.
func (d *BulkDriver) failed(ctx context.Context, b core.Bulk, h *heldBulk, err error) error {
	switch {
	case errors.Is(err, errBulkLost):
		delete(d.held, b.ID)
		return nil
	case errors.Is(err, errBulkPrice):
		return d.stop(ctx, b, core.BulkReasonMaxPrice)
	case errors.Is(err, ports.ErrMoved):
		return d.stop(ctx, b, core.BulkReasonTenantMoved)
	case errors.Is(err, errBulkDispatch):
		d.s.log.Warn("the jobs of a bulk continue's run could not be enqueued", "bulk", b.ID, "error", err)
		if b.Faults++; b.Faults >= core.BulkDispatchFaults {
			return d.stop(ctx, b, core.BulkReasonDispatchFailed)
		}
		h.notTil = d.s.clock.Now().Add(bulkFaultPause << (b.Faults - 1))
		h.at = h.notTil
		err = ignoreChanged(d.all().Save(ctx, b))
	}
	// Whether a transaction took effect may not be known, so all is read again.
	if again := d.refresh(ctx, b.ID, h); again != nil {
		err = errors.Join(err, again)
		delete(d.held, b.ID) // it is taken again when the lease has ended
	}
	return err
}
