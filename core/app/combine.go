package app

import (
	"context"
	"slices"
	"sync"

	"github.com/redrive/redrive/core"
)

// Bounds of a group that is decided in one transaction, so that none grows with the
// number of those who wait. The first of a group is in it whatever its size.
const (
	maxGroupStarts = 64
	maxGroupFiles  = 10_000
)

// NewWait makes one wait of one goroutine. wait returns nil once wake was called,
// before or after wait began, or with ctx's error, after which it may be called again.
// wake must not block.
type NewWait func() (wait func(ctx context.Context) error, wake func())

// channelWaits parks the goroutine that waits.
func channelWaits() (wait func(ctx context.Context) error, wake func()) {
	woken := make(chan struct{})
	wait = func(ctx context.Context) error {
		select {
		case <-woken:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return wait, func() { close(woken) }
}

// combiner lets starts that wait for the credits of one tenant be decided together
// (flat combining). The first that comes leads: it is decided at once, by itself. Those
// that come meanwhile wait, and go together when it is done, led by the first of them.
// So none waits for others to come, and under load one commit serves all that came
// during the one before.
type combiner struct {
	newWait NewWait

	mu    sync.Mutex
	lines map[core.TenantID]*line // of the tenants that have a leader
}

// line is who waits while a leader of the same tenant is at work, or about to be.
type line struct{ waiting []*turn }

// turn is a start on its way through a combiner.
type turn struct {
	ctx   context.Context //nolint:containedctx // of the request, whose end the leader of its group looks at
	start *start

	place place // guarded by the combiner's mutex
	wait  func(ctx context.Context) error
	wake  func()

	// What the leader of its group found out, before it wakes the others.
	alone bool  // it has to be decided in a transaction of its own
	err   error // of the transaction that decided it
}

// place is how far a turn is.
type place uint8

const (
	waiting place = iota
	leading       // it is to lead the next group, or does
	taken         // it is in a group that another one leads
	decided       // its group's transaction is over
	gone          // its goroutine has ended, so that it must not be woken
)

// enter gives a turn its place: it leads, or its group was decided when enter returns.
// The error is that of its context, which ended before its turn came: it was not begun.
func (c *combiner) enter(tenant core.TenantID, t *turn) (leads bool, err error) {
	c.mu.Lock()
	if c.lines[tenant] == nil {
		c.lines[tenant] = &line{}
		t.place = leading
		c.mu.Unlock()
		return true, nil
	}
	t.wait, t.wake = c.newWait()
	c.lines[tenant].waiting = append(c.lines[tenant].waiting, t)
	c.mu.Unlock()

	returned := false
	defer func() {
		if !returned { // its goroutine is ending: nothing may wait for it
			c.leave(tenant, t, gone)
		}
	}()
	err = t.wait(t.ctx)
	if err != nil && !c.leave(tenant, t, taken) {
		// It is being decided with others, whose transaction is not its own to end.
		err = t.wait(context.WithoutCancel(t.ctx))
	}
	returned = true
	if err != nil {
		return false, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return t.place == leading, nil
}

// leave takes a turn out that was not begun. If its group was, left is false, and the
// turn has the place as from then on.
func (c *combiner) leave(tenant core.TenantID, t *turn, as place) (left bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if t.place == taken {
		t.place = as
	}
	if t.place != waiting && t.place != leading {
		return false
	}
	l := c.lines[tenant]
	l.waiting = slices.DeleteFunc(l.waiting, func(other *turn) bool { return other == t })
	if t.place == leading {
		c.elect(tenant, l)
	}
	t.place = gone
	return true
}

// take gives the group of a leader, itself first. Those whose context has ended are
// left to leave.
func (c *combiner) take(tenant core.TenantID, leader *turn) []*turn {
	c.mu.Lock()
	defer c.mu.Unlock()
	l := c.lines[tenant]
	group, files := []*turn{leader}, leader.start.files
	stay := l.waiting[:0]
	full := false
	for _, t := range l.waiting {
		switch {
		case t == leader:
		case full || t.ctx.Err() != nil:
			stay = append(stay, t)
		case len(group) == maxGroupStarts || files+t.start.files > maxGroupFiles:
			full = true // what came later does not overtake it
			stay = append(stay, t)
		default:
			files += t.start.files
			t.place = taken
			group = append(group, t)
		}
	}
	clear(l.waiting[len(stay):])
	l.waiting = stay
	return group
}

// pass ends a leader's turn: its group is woken, but for those that were too much for
// it and go next, and the first who waits leads from now on.
func (c *combiner) pass(tenant core.TenantID, group, next []*turn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	l := c.lines[tenant]
	next = slices.DeleteFunc(next, func(t *turn) bool { return t.place == gone })
	for _, t := range next {
		t.place = waiting
	}
	l.waiting = slices.Insert(l.waiting, 0, next...)
	for _, t := range group {
		if t.place == taken {
			t.place = decided
			t.wake()
		}
	}
	group[0].place = decided
	c.elect(tenant, l)
}

// elect makes the first who waits the leader. The caller holds the mutex.
func (c *combiner) elect(tenant core.TenantID, l *line) {
	if len(l.waiting) == 0 {
		delete(c.lines, tenant)
		return
	}
	l.waiting[0].place = leading
	l.waiting[0].wake()
}
