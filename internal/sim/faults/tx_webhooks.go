package faults

import (
	"context"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/internal/sim/oracle"
	"github.com/redrive/redrive/ports"
)

// txWebhookEvents: an event is a row of the commit, seen by nobody before it, so that
// telling it is no step of its own; nor is reading what the lock of the credits has read.
type txWebhookEvents struct{ *tx }

func (t txWebhookEvents) Tell(ctx context.Context, events ...core.WebhookEvent) error {
	return t.write(t.under(true, 0, ""), func() error { return t.inner.WebhookEvents().Tell(ctx, events...) },
		func(c *oracle.Commit) { c.Told = append(c.Told, events...) })
}

func (t txWebhookEvents) LowCredits(ctx context.Context) (core.LowCredits, error) {
	if err := t.under(true, 0, ""); err != nil {
		return core.LowCredits{}, err
	}
	return t.inner.WebhookEvents().LowCredits(ctx)
}

func (t txWebhookEvents) SaveLowCredits(ctx context.Context, low core.LowCredits) error {
	return t.write(t.under(true, 0, ""), func() error { return t.inner.WebhookEvents().SaveLowCredits(ctx, low) },
		func(*oracle.Commit) {})
}

// WebhookEndpoints and WebhookDeliveries are passed through: no use case that is played
// changes them.
func (t *tx) WebhookEndpoints() ports.WebhookEndpoints { return t.inner.WebhookEndpoints() }

func (t *tx) WebhookDeliveries() ports.WebhookDeliveries { return t.inner.WebhookDeliveries() }
