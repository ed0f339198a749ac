package core

import (
	"slices"
	"strings"
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
// sum; nil: as it is. It fails with CodeBulkEnded, and with CodeInvalidRequest if the
// limit is used up, or would be below what was charged.
func (b Bulk) Resume(by Actor, maxPrice *Credits, t BulkTotals, now time.Time) (Bulk, error) {
	if b.Status.Ended() {
		return b, bulkEnded(b)
	}
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

// MadeByAPIKey gives the API key as which its runs are continued, of the tenant By.Tenant.
func (b Bulk) MadeByAPIKey() (APIKeyID, bool) {
	id, is := strings.CutPrefix(b.By.Subject, apiKeySubject)
	return APIKeyID(id), is
}

// Stop pauses it for a reason of its own.
func (b Bulk) Stop(why BulkReason, now time.Time) Bulk {
	return b.change(BulkPaused, why, System, now)
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
