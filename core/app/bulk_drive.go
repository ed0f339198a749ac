package app

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime/debug"
	"slices"
	"time"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

const (
	// maxBulksHeld is how many bulk continues a server drives at once, in turns. Most of
	// them may wait, for their speed or for runs to close, so it is more than it could do
	// at once.
	maxBulksHeld = 500
	// bulkTurn is how many steps one has at most before the next one's turn, and bulkSteps
	// how many all have together in a pass.
	bulkTurn  = 20
	bulkSteps = 400
	// bulkWatch is how often it is looked which of the continued runs have closed; less
	// often if there are many bulk continues, but within maxBulkWatch.
	bulkWatch    = time.Second
	maxBulkWatch = 10 * time.Second
	// bulkLooks is at how many parts it is looked at a time.
	bulkLooks = 50
	// bulkTries is after how many steps in a row that failed, nobody knows why, the run is
	// put aside.
	bulkTries = 5
	// bulkAhead is longer than anything is planned ahead: the slowest speed is one run a minute.
	bulkAhead = 2 * time.Minute
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
	away   awayTenants
}

// heldBulk is a bulk continue that this server drives.
type heldBulk struct {
	tenant core.TenantID // empty: several
	fence  int64
	parts  []core.BulkPart // ascending by tenant, as they were seen last
	from   map[core.TenantID]int
	seen   map[core.TenantID]int // where the next look at open runs begins
	part   int                   // and of which part
	watch  time.Time             // when to look at them next
	notTil time.Time             // after a fault
	at     time.Time             // when there is something to do
	renew  time.Time             // when to extend the lease
	tries  int                   // steps in a row that failed, nobody knows why

	// Of tenants that cannot be asked (awayTenants):
	lost        map[core.TenantID]bool // their parts are as they were seen last
	unknown     int                    // runs of parts that were not seen
	awayChanges int                    // of BulkDriver.away, when this was seen
	again       time.Time              // when to look at the latest
}

// NewBulkDriver makes a driver. holder tells servers from each other, in logs too.
func (s *Service) NewBulkDriver(holder string) *BulkDriver {
	return &BulkDriver{s: s, holder: holder, held: map[core.BulkID]*heldBulk{}}
}

// Pass does what can be done now, and says when there is something to do that it knows of;
// zero if nothing. A bulk continue that fails keeps no other from its turn.
func (d *BulkDriver) Pass(ctx context.Context) (next time.Time, err error) {
	d.followClock()
	if len(d.away.tenants) > 0 {
		d.lookAway(ctx)
	}
	errs := []error{d.keep(ctx), d.take(ctx)}
	for _, id := range d.ids() {
		if err := ctx.Err(); err != nil {
			return next, err
		}
		h := d.held[id]
		if h == nil || h.at.After(d.s.clock.Now()) { // it was lost, or there is nothing to do of it now
			continue
		}
		if err := d.turn(ctx, id, h); err != nil {
			errs = append(errs, fmt.Errorf("bulk continue %s: %w", id, err))
			h.at = d.s.clock.Now().Add(bulkWatch)
		}
		errs = append(errs, d.keep(ctx)) // the others' turns may be long
	}
	for _, h := range d.held {
		for _, at := range []time.Time{h.at, h.renew} {
			if next.IsZero() || at.Before(next) {
				next = at
			}
		}
	}
	return next, errors.Join(errs...)
}

// followClock: what is planned for further ahead than anything is, a clock has planned that
// was ahead and has been set right. It is due now: while this server keeps the lease no other
// would go on.
func (d *BulkDriver) followClock() {
	now := d.s.clock.Now()
	if d.away.next.After(now.Add(bulkAhead)) {
		d.away.next = now
	}
	for _, h := range d.held {
		if far := now.Add(bulkAhead); h.at.After(far) || h.watch.After(far) || h.notTil.After(far) {
			h.at, h.watch, h.notTil = now, now, now
		}
	}
}

// ids are those that are held, in the order of their turns.
func (d *BulkDriver) ids() []core.BulkID { return slices.Sorted(maps.Keys(d.held)) }

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

func (d *BulkDriver) stop(ctx context.Context, b core.Bulk, why core.BulkReason) error {
	delete(d.held, b.ID)
	d.s.log.Warn("bulk continue paused", "bulk", b.ID, "tenant", b.Tenant, "reason", why)
	return ignoreChanged(d.all().Save(ctx, b.Stop(why, d.s.clock.Now())))
}

// turn is one's turn: some steps of it.
func (d *BulkDriver) turn(ctx context.Context, id core.BulkID, h *heldBulk) error {
	h.at = d.s.clock.Now().Add(bulkWatch)
	for range max(1, min(bulkTurn, bulkSteps/len(d.held))) {
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
		if b, err = d.renewed(ctx, b, h); err != nil {
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
		if d.back(h) {
			if err := d.refresh(ctx, &b, h); err != nil {
				return d.failed(ctx, b, h, err)
			}
		}
		if err := d.look(ctx, &b, h); err != nil {
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

// allowed reports whether the API keys that made it, or let it go on, are still good.
func (d *BulkDriver) allowed(ctx context.Context, b core.Bulk, now time.Time) (bool, error) {
	for _, by := range b.LetBy() {
		if !by.IsAPIKey() {
			continue
		}
		key, err := d.s.store.APIKey(ctx, by.Tenant, by.APIKeyID())
		if errors.Is(err, ports.ErrNotFound) {
			return false, nil
		}
		if err != nil || !key.Live(now) {
			return false, err
		}
	}
	return true, nil
}

// look sees which of the continued runs have closed, when it is time for it: of some parts,
// in turns. The next look is later by the time that this one took, or it would be all that
// is done.
func (d *BulkDriver) look(ctx context.Context, b *core.Bulk, h *heldBulk) error {
	if h.watch.After(d.s.clock.Now()) {
		return nil
	}
	every := min(bulkWatch*time.Duration(max(1, len(d.held)/20)), maxBulkWatch)
	defer func() { h.watch = d.s.clock.Now().Add(every) }()
	looks := 0
	for range h.parts {
		h.part %= len(h.parts)
		part := &h.parts[h.part]
		if b.Totals(*part).Open == 0 || !d.asked(h, part.Tenant) {
			h.part++
			continue
		}
		if looks++; looks > bulkLooks {
			return nil
		}
		h.part++ // past one that fails, too
		after, next, err := d.s.watchBulk(ctx, *b, *part, h.seen[part.Tenant])
		if errors.Is(err, ports.ErrMoved) && b.Tenant == "" {
			after, next, err = *part, 0, d.leaveOut(ctx, b, part.Tenant)
		}
		if b.Tenant == "" && d.isAway(ctx, part.Tenant, err) {
			d.passOver(h, part.Tenant)
			continue
		}
		if err != nil {
			every *= 2 // so that there are steps between looks that fail
			return err
		}
		*part, h.seen[part.Tenant] = after, next
		if *b, err = d.renewed(ctx, *b, h); err != nil {
			return err
		}
	}
	return nil
}

// step does what core decides; again is false if there is nothing more to do until h.at.
func (d *BulkDriver) step(ctx context.Context, b core.Bulk, h *heldBulk, now time.Time) (again bool, err error) {
	totals, err := d.sum(b, h)
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
	i := slices.IndexFunc(h.parts, func(p core.BulkPart) bool { return b.Totals(p).Waiting > 0 && d.asked(h, p.Tenant) })
	part := &h.parts[i]
	before := part.Totals
	after, place, err := d.try(ctx, b, *part, h.from[part.Tenant], most)
	if errors.Is(err, ports.ErrMoved) && b.Tenant == "" {
		if err := d.leaveOut(ctx, &b, part.Tenant); err != nil {
			return err
		}
		return d.refresh(ctx, &b, h)
	}
	if b.Tenant == "" && d.isAway(ctx, part.Tenant, err) {
		// Whether it had its effect may not be known. It counts until it is, so that no limit is
		// overstepped.
		part.Totals.Price = max(part.Totals.Price, after.Totals.Price)
		if after.LastAt.After(part.LastAt) {
			part.LastAt = after.LastAt
		}
		d.passOver(h, part.Tenant)
		return nil
	}
	if unforeseen(err) {
		return d.unforeseen(ctx, b, h, *part, err)
	}
	if err != nil {
		return err
	}
	h.tries = 0
	*part = after
	if h.from[part.Tenant] = place; after.Totals.Waiting >= before.Waiting {
		return d.refresh(ctx, &b, h) // what was known is not so any more
	}
	if b.Faults > 0 {
		b.Faults = 0
		return ignoreChanged(d.all().Save(ctx, b))
	}
	return nil
}

// try is bulkStep with a panic made an error: it would keep the others from their turns.
func (d *BulkDriver) try(ctx context.Context, b core.Bulk, part core.BulkPart, from int, most *core.Credits) (after core.BulkPart, place int, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return d.s.bulkStep(ctx, b, part, from, most)
}

// unforeseen sees to a step that failed nobody knows why: it is tried again, later each
// time, then its run is put aside. If not even that can be done, it pauses.
func (d *BulkDriver) unforeseen(ctx context.Context, b core.Bulk, h *heldBulk, part core.BulkPart, why error) error {
	if h.tries++; h.tries >= bulkTries {
		aside := d.s.putBulkRunAside(ctx, b, part, h.from[part.Tenant], why)
		if aside == nil {
			h.tries = 0
			return d.refresh(ctx, &b, h)
		}
		why = errors.Join(why, aside)
		if unforeseen(aside) && h.tries >= 2*bulkTries {
			return errors.Join(why, d.stop(ctx, b, core.BulkReasonInternal))
		}
	}
	h.notTil = d.s.clock.Now().Add(bulkFaultPause << min(h.tries-1, bulkTries-1))
	return why
}

// unforeseen reports whether a step failed for a reason that may be there for ever, as far
// as anybody knows.
func unforeseen(err error) bool {
	if err == nil {
		return false
	}
	for _, known := range []error{
		errBulkLost, errBulkPrice, errBulkDispatch, ports.ErrUnavailable, ports.ErrCommitUnknown,
		ports.ErrDeadlock, ports.ErrSerialization, ports.ErrLockTimeout, context.Canceled, context.DeadlineExceeded,
	} {
		if errors.Is(err, known) {
			return false
		}
	}
	return true
}

// failed sees to what a step failed with.
func (d *BulkDriver) failed(ctx context.Context, b core.Bulk, h *heldBulk, err error) error {
	switch {
	case errors.Is(err, errBulkLost):
		delete(d.held, b.ID)
		return nil
	case errors.Is(err, ports.ErrBulkChanged): // it was paused, say
		h.at = d.s.clock.Now()
		return nil
	case b.Tenant != "" && d.isAway(ctx, b.Tenant, err):
		delete(d.held, b.ID)
		return d.leave(ctx, b)
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
	if again := d.refresh(ctx, &b, h); again != nil {
		err = errors.Join(err, again)
		delete(d.held, b.ID) // it is taken again when the lease has ended
	}
	return err
}
