package watermillqueue

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/redrive/redrive/ports"
)

// inbox is where deliveries meet those who want to receive. Lanes are served in
// turn, so that a tenant who fills one is not in the way of the others.
type inbox struct {
	mu      sync.Mutex
	lanes   [][]*delivery          // arrived and not received, by lane
	next    int                    // the lane whose turn it is
	held    map[*delivery]struct{} // arrived and not answered, received or not
	waiting []*receiver            // first come, first served
	closed  bool

	// wanted has a token when somebody began to wait, for backends that fetch only
	// what is wanted.
	wanted chan struct{}
}

// receiver is a Receive that waits.
type receiver struct {
	limit int
	skip  ports.Skip
	got   chan []ports.Delivery // one answer; closed without one when the inbox closes
}

// demand is what those who wait want.
type demand struct {
	limit int
	skip  ports.Skip
}

func newInbox(lanes int) *inbox {
	return &inbox{lanes: make([][]*delivery, lanes), held: map[*delivery]struct{}{}, wanted: make(chan struct{}, 1)}
}

func (b *inbox) receive(ctx context.Context, limit int, skip ports.Skip) ([]ports.Delivery, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	limit = max(limit, 1)
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return nil, ports.ErrClosed
	}
	if got := b.take(limit, skip); len(got) > 0 {
		b.mu.Unlock()
		return got, nil
	}
	r := &receiver{limit: limit, skip: skip, got: make(chan []ports.Delivery, 1)}
	b.waiting = append(b.waiting, r)
	b.mu.Unlock()
	b.want()

	select {
	case got, ok := <-r.got:
		if !ok {
			return nil, ports.ErrClosed
		}
		return got, nil
	case <-ctx.Done():
	}
	b.mu.Lock()
	if at := slices.Index(b.waiting, r); at >= 0 {
		b.waiting = slices.Delete(b.waiting, at, at+1)
	}
	b.mu.Unlock()
	select {
	case got, ok := <-r.got: // it was served at the same moment
		if ok {
			return got, nil
		}
	default:
	}
	return nil, ctx.Err()
}

// put lets deliveries of one lane arrive. It refuses them once the inbox is closed.
func (b *inbox) put(arrived []*delivery) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return false
	}
	now := time.Now()
	for _, d := range arrived {
		d.arrived = now
		b.held[d] = struct{}{}
		b.lanes[d.lane] = append(b.lanes[d.lane], d)
	}
	b.waiting = slices.DeleteFunc(b.waiting, func(r *receiver) bool {
		got := b.take(r.limit, r.skip)
		if len(got) > 0 {
			r.got <- got
		}
		return len(got) > 0
	})
	return true
}

// take gives what has arrived and is not skipped, one of each lane in turn. The
// caller holds the mutex.
func (b *inbox) take(limit int, skip ports.Skip) []ports.Delivery {
	var got []ports.Delivery
	looked := make([]int, len(b.lanes)) // what has been passed over, by lane
	for idle := 0; idle < len(b.lanes) && len(got) < limit; b.next = (b.next + 1) % len(b.lanes) {
		lane, from := b.lanes[b.next], looked[b.next]
		at := slices.IndexFunc(lane[from:], func(d *delivery) bool { return !skip.Skips(d.job) })
		if at < 0 {
			looked[b.next] = len(lane)
			idle++
			continue
		}
		idle = 0
		got = append(got, lane[from+at])
		if from+at == 0 {
			lane[0] = nil // or the array would keep it alive
			b.lanes[b.next] = lane[1:]
		} else {
			b.lanes[b.next] = slices.Delete(lane, from+at, from+at+1)
		}
		looked[b.next] = from + at
	}
	return got
}

// forget drops a delivery that was answered, or that lapsed.
func (b *inbox) forget(d *delivery) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.held, d)
	b.withdraw(d)
}

func (b *inbox) withdraw(d *delivery) {
	if at := slices.Index(b.lanes[d.lane], d); at >= 0 {
		b.lanes[d.lane] = slices.Delete(b.lanes[d.lane], at, at+1)
	}
}

// demand says what is wanted by those who wait: of the one whose turn it is, and
// of all others who skip the same.
func (b *inbox) demand() demand {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.waiting) == 0 {
		return demand{}
	}
	d := demand{skip: b.waiting[0].skip}
	for _, r := range b.waiting {
		if sameSkip(r.skip, d.skip) {
			d.limit += r.limit
		}
	}
	return d
}

func sameSkip(a, b ports.Skip) bool {
	return slices.Equal(a.Tenants, b.Tenants) && slices.Equal(a.Templates, b.Templates)
}

func (b *inbox) want() {
	select {
	case b.wanted <- struct{}{}:
	default:
	}
}

// stale gives what arrived before then and was not received, and forgets it.
func (b *inbox) stale(then time.Time) []*delivery {
	b.mu.Lock()
	defer b.mu.Unlock()
	var old []*delivery
	for i, lane := range b.lanes {
		b.lanes[i] = slices.DeleteFunc(lane, func(d *delivery) bool {
			if !d.arrived.Before(then) {
				return false
			}
			delete(b.held, d)
			old = append(old, d)
			return true
		})
	}
	return old
}

// lapsed forgets what arrived before then and was not answered. Its backend
// delivers it again by itself.
func (b *inbox) lapsed(then time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for d := range b.held {
		if d.arrived.Before(then) {
			delete(b.held, d)
			b.withdraw(d)
		}
	}
}

// close ends every receive and gives what was not answered.
func (b *inbox) close() []*delivery {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil
	}
	b.closed = true
	for _, r := range b.waiting {
		close(r.got)
	}
	b.waiting = nil
	left := make([]*delivery, 0, len(b.held))
	for d := range b.held {
		left = append(left, d)
	}
	clear(b.held)
	clear(b.lanes)
	return left
}
