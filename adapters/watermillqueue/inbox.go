package watermillqueue

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/redrive/redrive/ports"
)

// inbox is where deliveries meet the callers of Receive: tenants in turn, then their
// templates.
type inbox struct {
	mu      sync.Mutex
	turns   *turns                 // of what has arrived and was not received
	held    map[*delivery]struct{} // arrived and not answered, received or not
	waiting []*receiver            // first come, first served
	closed  bool

	// wanted has a token when a caller began to wait, for subscribers that fetch only
	// what is wanted.
	wanted chan struct{}
}

// receiver is a Receive that waits.
type receiver struct {
	demand
	got chan []ports.Delivery // one answer; closed without one when the inbox closes
}

// demand is how many jobs are wanted, and of whom not.
type demand struct {
	limit int
	skip  ports.Skip
}

func newInbox() *inbox {
	return &inbox{turns: newTurns(), held: map[*delivery]struct{}{}, wanted: make(chan struct{}, 1)}
}

func (b *inbox) receive(ctx context.Context, limit int, skip ports.Skip) ([]ports.Delivery, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	want := demand{max(limit, 1), skip}
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return nil, ports.ErrClosed
	}
	if got := b.take(want); len(got) > 0 {
		b.mu.Unlock()
		return got, nil
	}
	r := &receiver{want, make(chan []ports.Delivery, 1)}
	b.waiting = append(b.waiting, r)
	b.mu.Unlock()
	token(b.wanted)

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

// put lets a delivery arrive, before the others of its flow if it was released. It
// refuses once the inbox is closed.
func (b *inbox) put(d *delivery, first bool) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return false
	}
	d.arrived = time.Now()
	b.held[d] = struct{}{}
	f := b.turns.add(d.key)
	if first {
		f.waiting = slices.Insert(f.waiting, 0, d)
	} else {
		f.waiting = append(f.waiting, d)
	}
	b.waiting = slices.DeleteFunc(b.waiting, func(r *receiver) bool {
		got := b.take(r.demand)
		if len(got) > 0 {
			r.got <- got
		}
		return len(got) > 0
	})
	return true
}

// take gives what has arrived and is not skipped. The caller holds the mutex.
func (b *inbox) take(want demand) []ports.Delivery {
	var got []ports.Delivery
	skipped := newSkipSet(want.skip)
	share := b.turns.share(want.limit)
	for left := want.limit; left > 0; {
		f := b.turns.pick(skipped)
		if f == nil {
			break
		}
		for part := share; part > 0 && left > 0 && len(f.waiting) > 0; {
			d := f.waiting[0]
			f.waiting[0] = nil // or the array would keep it alive
			f.waiting = f.waiting[1:]
			got = append(got, d)
			part -= len(d.jobs)
			left -= len(d.jobs)
		}
		if len(f.waiting) == 0 {
			b.turns.remove(f)
		}
	}
	return got
}

// forget drops a delivery that was answered, or that expired.
func (b *inbox) forget(d *delivery) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.held, d)
	b.withdraw(d)
}

// withdraw takes out a delivery that was not received. The caller holds the mutex.
func (b *inbox) withdraw(d *delivery) {
	tenant := b.turns.byID[d.key.Tenant]
	if tenant == nil {
		return
	}
	for _, f := range tenant.flows {
		if at := slices.Index(f.waiting, d); at >= 0 {
			if f.waiting = slices.Delete(f.waiting, at, at+1); len(f.waiting) == 0 {
				b.turns.remove(f)
			}
			return
		}
	}
}

// demand says what is wanted by the callers that wait: by the one whose turn it is, and
// by all others who skip the same.
func (b *inbox) demand() demand {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.waiting) == 0 {
		return demand{}
	}
	d := demand{skip: b.waiting[0].skip}
	for _, r := range b.waiting {
		if slices.Equal(r.skip.Tenants, d.skip.Tenants) && slices.Equal(r.skip.Templates, d.skip.Templates) {
			d.limit += r.limit
		}
	}
	return d
}

// waits says how many jobs wait to be received, and since when the oldest does.
func (b *inbox) waits() (depth ports.QueueDepth) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, tenant := range b.turns.tenants {
		for _, f := range tenant.flows {
			for _, d := range f.waiting {
				depth.Waiting.N += len(d.jobs)
				if depth.Oldest.IsZero() || d.since.Before(depth.Oldest) {
					depth.Oldest = d.since
				}
			}
		}
	}
	return depth
}

// stale gives what arrived before then and was not received, and forgets it.
func (b *inbox) stale(then time.Time) []*delivery {
	b.mu.Lock()
	defer b.mu.Unlock()
	var old []*delivery
	for _, tenant := range b.turns.tenants {
		for _, f := range tenant.flows {
			for _, d := range f.waiting {
				if d.arrived.Before(then) {
					old = append(old, d)
				}
			}
		}
	}
	for _, d := range old {
		delete(b.held, d)
		b.withdraw(d)
	}
	return old
}

// expired forgets what arrived before then and was not answered. Its backend
// delivers it again by itself.
func (b *inbox) expired(then time.Time) {
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
	b.turns = newTurns()
	return left
}

// token puts one into a channel that has room for one, unless it is there.
func token(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
