package core

import (
	"slices"
	"time"
)

// bulkEnded refuses what cannot be done to a bulk continue any more.
func bulkEnded(b Bulk) error {
	return &Error{Code: CodeBulkEnded, Message: "this bulk continue has ended (" + string(b.Status) + "), so nothing was changed; make another one for what is left"}
}

// change changes the status. Whoever drives it has to take it again.
func (b Bulk) change(to BulkStatus, why BulkReason, by Actor, now time.Time) Bulk {
	b.Status, b.Reason, b.ChangedBy, b.ChangedAt = to, why, by, now
	b.Holder, b.LeaseUntil = "", time.Time{}
	return b
}

// Asked gives what was asked for under a key before.
func (b Bulk) Asked(key Key) (asked string, before bool) {
	for _, c := range b.Changes {
		if c.Key == key {
			return c.Asked, true
		}
	}
	return "", false
}

// Under remembers that it was changed under a key, so that a repeat after another change, as
// of a resume after a pause, has no effect. An empty key is not remembered.
func (b Bulk) Under(key Key, asked string) Bulk {
	if key == "" {
		return b
	}
	from := max(0, len(b.Changes)-MaxBulkChanges+1)
	b.Changes = append(slices.Clone(b.Changes[from:]), BulkChange{key, asked})
	return b
}

// Pause lets no more runs be continued until Resume. A run that is being continued at this
// moment still is. A bulk continue that is paused stays so, for its first reason. It fails
// with CodeBulkEnded.
func (b Bulk) Pause(by Actor, now time.Time) (Bulk, error) {
	switch {
	case b.Status.Ended():
		return b, bulkEnded(b)
	case b.Status == BulkPaused:
		return b, nil
	}
	return b.change(BulkPaused, BulkReasonUser, by, now), nil
}

// Resume lets a paused one go on, also past what paused it: a canary that failed counts as
// passed, and failures until now are not counted again. maxPrice is the new limit of the
// sum, also of one that is running; nil: as it is. It fails with CodeBulkEnded, and with CodeInvalidRequest if the
// limit is used up, or would be below what was charged.
func (b Bulk) Resume(by Actor, maxPrice *Credits, t BulkTotals, now time.Time) (Bulk, error) {
	if b.Status.Ended() {
		return b, bulkEnded(b)
	}
	was := b
	if maxPrice != nil {
		if *maxPrice < t.Price {
			return b, InvalidField("maxPrice", "must be %d or more, which was charged already", t.Price)
		}
		if b.Reason == BulkReasonMaxPrice && b.Terms.MaxPrice != nil && *maxPrice <= *b.Terms.MaxPrice {
			return b, InvalidField("maxPrice", "must be above %d, which is used up", *b.Terms.MaxPrice)
		}
		b.Terms.MaxPrice = maxPrice
	} else if b.Status == BulkPaused && b.Reason == BulkReasonMaxPrice {
		return b, InvalidField("maxPrice", "must be given: it was paused because the limit is used up")
	}
	if b.Status == BulkRunning {
		if b.NewLimit(was) { // whoever drives it goes on
			b.ChangedBy, b.ChangedAt = by, now
		}
		return b, nil
	}
	if b.Reason == BulkReasonCanaryFailed {
		b.CanaryPassed = true
	}
	b.Before, b.Faults = t.Failures, 0
	return b.change(BulkRunning, BulkReasonNone, by, now), nil
}

// Abort ends it: no more runs are continued. Those that were stay as they are. Once more is
// no error; it fails with CodeBulkEnded if it has finished.
func (b Bulk) Abort(by Actor, now time.Time) (Bulk, error) {
	switch b.Status {
	case BulkAborted:
		return b, nil
	case BulkFinished:
		return b, bulkEnded(b)
	case BulkRunning, BulkPaused:
	}
	return b.change(BulkAborted, BulkReasonNone, by, now), nil
}

// NewLimit reports whether its limit of the sum is another one than it was.
func (b Bulk) NewLimit(was Bulk) bool {
	most, before := b.Terms.MaxPrice, was.Terms.MaxPrice
	return (most == nil) != (before == nil) || most != nil && *most != *before
}

// LetBy are those by whose word it runs: as whom its runs are continued, and who let it go
// on last, or raised its limit.
func (b Bulk) LetBy() []Actor {
	if b.ChangedBy == b.By {
		return []Actor{b.By}
	}
	return []Actor{b.By, b.ChangedBy}
}

// Stop pauses it for a reason of its own.
func (b Bulk) Stop(why BulkReason, now time.Time) Bulk {
	return b.change(BulkPaused, why, System, now)
}

// LeaveOut ends the part of one of several tenants, because the tenant is moved to another
// database. Nothing can be written of that part here, so it is said here.
func (b Bulk) LeaveOut(tenant TenantID) Bulk {
	if at, there := slices.BinarySearch(b.Moved, tenant); !there {
		b.Moved = slices.Insert(slices.Clone(b.Moved), at, tenant)
	}
	return b
}

// LeftOut reports whether LeaveOut has ended a tenant's part.
func (b Bulk) LeftOut(tenant TenantID) bool {
	_, there := slices.BinarySearch(b.Moved, tenant)
	return there
}

// Totals gives those of a part. If it was left out, what waited of it counts as refused
// with CodeTenantMoved, and nothing of it is waited for.
func (b Bulk) Totals(p BulkPart) BulkTotals {
	t := p.Totals
	if !b.LeftOut(p.Tenant) {
		return t
	}
	if t.Waiting > 0 {
		t.refusedBy(CodeTenantMoved, t.Waiting)
	}
	t.Waiting, t.Refused, t.Open = 0, t.Refused+t.Waiting, 0
	return t
}

// Sum adds up the totals of its parts. It fails with CodeCreditsOutOfRange if the price
// overflows.
func (b Bulk) Sum(parts []BulkPart) (sum BulkTotals, err error) {
	for i := range parts {
		if sum, err = sum.Plus(b.Totals(parts[i])); err != nil {
			return sum, err
		}
	}
	return sum, nil
}

// SumOf is Sum of some of its parts, since the tenants of the others cannot be asked: the
// rest of its runs is Unknown.
func (b Bulk) SumOf(parts []BulkPart) (BulkTotals, error) {
	sum, err := b.Sum(parts)
	sum.Unknown = max(0, b.Runs-sum.Runs())
	return sum, err
}

// Record gives what became of a run of a tenant's part, as Totals counts it.
func (b Bulk) Record(tenant TenantID, r BulkRun) BulkRun {
	if b.LeftOut(tenant) && r.State == BulkRunWaiting {
		r.State, r.Code, r.Message = BulkRunRefused, CodeTenantMoved, "the tenant was moved to another database before it was the run's turn"
	}
	return r
}

// Finish ends it when each of its runs has an outcome and those continued have closed.
func (b Bulk) Finish(now time.Time) Bulk {
	return b.change(BulkFinished, BulkReasonNone, System, now)
}

// PassCanary lets the rest go on.
func (b Bulk) PassCanary() Bulk {
	b.CanaryPassed = true
	return b
}

// Free reports whether nobody drives it, though it is to be driven. A lease that ends
// beyond the horizon was written by a clock that is ahead, and counts for nothing.
func (b Bulk) Free(now time.Time, horizon time.Duration) bool {
	return b.Status == BulkRunning && (!b.LeaseUntil.After(now) || b.LeaseUntil.After(now.Add(horizon)))
}

// Take gives it to a server for a while. Fence grows, so that whatever the one before still
// tries is refused.
func (b Bulk) Take(holder string, now time.Time, lease time.Duration) Bulk {
	b.Holder, b.LeaseUntil, b.Fence = holder, now.Add(lease), b.Fence+1
	return b
}

// Release lets another server take it at once.
func (b Bulk) Release() Bulk {
	b.Holder, b.LeaseUntil = "", time.Time{}
	return b
}

// HeldBy reports whether it is to be driven by the one that took it with this fence.
func (b Bulk) HeldBy(holder string, fence int64) bool {
	return b.Status == BulkRunning && b.Holder == holder && b.Fence == fence
}
