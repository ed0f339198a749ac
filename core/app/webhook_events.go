package app

import (
	"context"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// tellClosed tells that a run closed. The transaction that closes it writes that too.
func tellClosed(ctx context.Context, tx ports.AccountTx, run core.Run) error {
	return tx.WebhookEvents().Tell(ctx, core.ClosingEvent(run, false, run.ClosedAt))
}

// startEvents are what starts tell that are decided in one transaction, one after the other.
type startEvents struct {
	read     bool
	low, was core.LowCredits
	list     []core.WebhookEvent
}

// add takes a start that was accepted; before is what could be spent before it. The caller
// holds the lock of the tenant's credits if the start charges.
func (e *startEvents) add(ctx context.Context, tx ports.AccountTx, b *ports.Start, before core.Balance) error {
	if !b.New {
		e.list = append(e.list, core.ContinuedEvent(b.Run, b.Attempt))
	}
	for _, charge := range b.Charge {
		if !e.read {
			low, err := tx.WebhookEvents().LowCredits(ctx)
			if err != nil {
				return err
			}
			e.read, e.low, e.was = true, low, low
		}
		after, err := before.Apply(charge)
		if err != nil {
			return err
		}
		is, tell := e.low.After(before, after)
		if e.low = is; tell {
			e.list = append(e.list, core.LowCreditsEvent(is, charge, after))
		}
		before = after
	}
	return nil
}

func (e *startEvents) write(ctx context.Context, tx ports.AccountTx) error {
	if e.low != e.was {
		if err := tx.WebhookEvents().SaveLowCredits(ctx, e.low); err != nil {
			return err
		}
	}
	if len(e.list) == 0 {
		return nil
	}
	return tx.WebhookEvents().Tell(ctx, e.list...)
}

// tellStart tells one start.
func tellStart(ctx context.Context, tx ports.AccountTx, b *ports.Start, before core.Balance) error {
	var events startEvents
	if err := events.add(ctx, tx, b, before); err != nil {
		return err
	}
	return events.write(ctx, tx)
}

// toldSomething wakes who sends events, after a commit that may have written some.
func (s *Service) toldSomething() {
	select {
	case s.told <- struct{}{}:
	default:
	}
}

// Told has a value when events may have been written by this Service since it was read
// last. It is a hint for the loop that sends them, which looks by itself as well.
func (s *Service) Told() <-chan struct{} { return s.told }
