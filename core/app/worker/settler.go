package worker

import (
	"context"
	"errors"
	"sync"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/ports"
)

// settler records results, in groups of one run. While one group of a run is
// being written the next one gathers, so groups grow with the load and nobody
// waits for company; runs do not wait for each other.
type settler struct {
	svc *app.Service

	mu      sync.Mutex
	waiting map[ports.RunKey][]outcome // a run that is here is being written
}

// outcome is a result on its way to the store, and where its worker waits.
type outcome struct {
	settlement core.Settlement
	done       chan error
}

func newSettler(svc *app.Service) *settler {
	return &settler{svc: svc, waiting: map[ports.RunKey][]outcome{}}
}

// settle records one result, together with others of its run that are there. A
// result in hand is recorded even while the process stops.
func (s *settler) settle(ctx context.Context, result core.Settlement) error {
	key := ports.RunKey{Tenant: result.Job.Tenant, Run: result.Job.Run}
	o := outcome{result, make(chan error, 1)}
	s.mu.Lock()
	group, busy := s.waiting[key]
	if busy {
		s.waiting[key] = append(group, o)
		s.mu.Unlock()
		return <-o.done
	}
	s.waiting[key] = nil
	s.mu.Unlock()

	s.write(context.WithoutCancel(ctx), []outcome{o})
	go s.writeWaiting(context.WithoutCancel(ctx), key)
	return <-o.done
}

// writeWaiting writes what has gathered of a run until nothing is left.
func (s *settler) writeWaiting(ctx context.Context, key ports.RunKey) {
	for {
		s.mu.Lock()
		group := s.waiting[key]
		if len(group) == 0 {
			delete(s.waiting, key)
			s.mu.Unlock()
			return
		}
		s.waiting[key] = nil
		s.mu.Unlock()
		s.write(ctx, group)
	}
}

// write records a group. If that fails by one of them, each is recorded by
// itself, so that a bad one does not take the others with it; if the store is
// away or the run is locked, that would only take longer.
func (s *settler) write(ctx context.Context, group []outcome) {
	settlements := make([]core.Settlement, len(group))
	for i, o := range group {
		settlements[i] = o.settlement
	}
	err := s.svc.Settle(ctx, settlements)
	singly := err != nil && len(group) > 1 && !errors.Is(err, ports.ErrLockTimeout) && !errors.Is(err, ports.ErrUnavailable)
	for i, o := range group {
		if singly {
			o.done <- s.svc.Settle(ctx, settlements[i:i+1])
			continue
		}
		o.done <- err
	}
}
