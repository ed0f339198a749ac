package main

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/redrive/redrive/adapters/webhooks"
	"github.com/redrive/redrive/ports"
)

// webhookFlags say whether and where events are sent.
type webhookFlags struct {
	Webhooks         bool          `group:"webhooks" env:"REDRIVE_WEBHOOKS" default:"true" negatable:"" help:"Send events to the endpoints that tenants make."`
	WebhookAllow     []string      `group:"webhooks" env:"REDRIVE_WEBHOOK_ALLOW" placeholder:"CIDR" help:"Networks that events are sent to although they are not public, such as 10.1.0.0/16, at any port and without TLS too. Every tenant can have the server connect to whatever is there."`
	WebhookTimeout   time.Duration `group:"webhooks" env:"REDRIVE_WEBHOOK_TIMEOUT" default:"15s" help:"How long an endpoint may take to answer."`
	WebhookRetention time.Duration `group:"webhooks" env:"REDRIVE_WEBHOOK_RETENTION" default:"720h" help:"How long events and what became of them are kept."`
}

// longestTry is less than a try may take before another server takes it over.
const longestTry = 45 * time.Second

func (f *webhookFlags) check(named func(field any) string) (wrong []error) {
	if _, err := f.allowed(); err != nil {
		wrong = append(wrong, fmt.Errorf("%s: %w", named(&f.WebhookAllow), err))
	}
	if f.WebhookTimeout < 100*time.Millisecond || f.WebhookTimeout > longestTry {
		wrong = append(wrong, fmt.Errorf("%s must be from 100ms to %s, not %s", named(&f.WebhookTimeout), longestTry, f.WebhookTimeout))
	}
	if f.WebhookRetention < time.Hour {
		wrong = append(wrong, fmt.Errorf("%s must be 1h or more, not %s", named(&f.WebhookRetention), f.WebhookRetention))
	}
	return wrong
}

func (f *webhookFlags) allowed() ([]netip.Prefix, error) {
	list := make([]netip.Prefix, 0, len(f.WebhookAllow))
	for _, text := range f.WebhookAllow {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, fmt.Errorf("%q is no network such as 10.1.0.0/16 or fd00::/8", text)
		}
		list = append(list, p.Masked())
	}
	return list, nil
}

// sender is nil if webhooks are off.
func (f *webhookFlags) sender() (ports.WebhookSender, error) {
	if !f.Webhooks {
		return nil, nil //nolint:nilnil // which is what app.Deps takes for none
	}
	allow, err := f.allowed()
	if err != nil {
		return nil, err
	}
	return webhooks.New(webhooks.Config{Allow: allow, Timeout: f.WebhookTimeout}), nil
}
