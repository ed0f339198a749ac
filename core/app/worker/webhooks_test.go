package worker_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/core/app/worker"
	"github.com/redrive/redrive/ports"
)

// network is a ports.WebhookSender whose hosts that begin with slow do not answer.
type network struct {
	quick, slow atomic.Int64 // requests that came
	release     chan struct{}
}

func (n *network) Check(string) error { return nil }

func (n *network) Send(ctx context.Context, r ports.WebhookRequest) (ports.WebhookAnswer, error) {
	if !strings.HasPrefix(r.URL, "https://slow") {
		n.quick.Add(1)
		return ports.WebhookAnswer{Status: 200}, nil
	}
	n.slow.Add(1)
	select {
	case <-n.release:
		return ports.WebhookAnswer{Status: 200}, nil
	case <-ctx.Done():
		return ports.WebhookAnswer{}, ctx.Err()
	}
}

// An endpoint that does not answer keeps nothing from the others, and what is not sent when
// the process stops is left to the next one.
func TestSendsWebhooks(t *testing.T) {
	t.Parallel()
	net := &network{release: make(chan struct{})}
	b := newBench(t, ports.ExecutorFunc(func(_ context.Context, task ports.Task) ([]core.FileResult, error) {
		return completed(task), nil
	}), func(d *app.Deps, _ *app.Options) { d.Webhooks = net })
	for _, url := range []string{"https://slow.example.com", "https://quick.example.com"} {
		_, err := b.svc.CreateWebhookEndpoint(t.Context(), platform, tenant, core.WebhookSpec{URL: url, Types: core.WebhookEventTypes()})
		require.NoError(t, err)
	}
	const runs = 20
	for range runs {
		b.initiate(1)
	}
	stop := b.start(worker.Options{Concurrency: 4})
	b.eventually("the quick endpoint is told of each run, once", func() bool {
		b.clock.Advance(200 * time.Millisecond)
		return net.quick.Load() == runs
	})
	require.LessOrEqual(t, net.slow.Load(), int64(4), "more at once than an endpoint may have")
	b.eventually("the slow one is asked too", func() bool {
		b.clock.Advance(200 * time.Millisecond)
		return net.slow.Load() > 0
	})
	close(net.release)
	b.eventually("all is delivered", func() bool {
		b.clock.Advance(200 * time.Millisecond)
		return b.svc.Stats().WebhooksDelivered == 2*runs
	})
	require.NoError(t, stop())
	require.Equal(t, int64(runs), net.quick.Load())
}
