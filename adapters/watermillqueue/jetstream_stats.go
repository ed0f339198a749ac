package watermillqueue

import (
	"context"
	"fmt"
	"slices"

	"github.com/nats-io/nats.go"

	"github.com/redrive/redrive/ports"
)

// stats asks for the streams and the consumers. A consumer knows what it has not
// delivered yet, and what it has delivered and was not answered. The stream, from which
// what is acked is gone, knows the time of its first message.
func (b *jetStream) stats(ctx context.Context) (ports.QueueDepth, error) {
	var depth ports.QueueDepth
	for _, topic := range slices.Concat(b.topics, b.lanes1) {
		consumer, err := b.js.ConsumerInfo(b.opts.Topic, durable(topic), nats.Context(ctx))
		if err != nil {
			return depth, fmt.Errorf("consumer %s: %w", durable(topic), err)
		}
		depth.Waiting.N += int(consumer.NumPending)
		depth.Taken.N += consumer.NumAckPending
	}
	jobs, err := b.js.StreamInfo(b.opts.Topic, nats.Context(ctx))
	if err != nil {
		return depth, fmt.Errorf("stream %s: %w", b.opts.Topic, err)
	}
	if depth.Waiting.N > 0 && jobs.State.Msgs > 0 {
		depth.Oldest = jobs.State.FirstTime.UTC()
	}
	dead, err := b.js.StreamInfo(b.buried.stream, nats.Context(ctx))
	if err != nil {
		return depth, fmt.Errorf("stream %s: %w", b.buried.stream, err)
	}
	depth.Dead.N = int(dead.State.Msgs)
	return depth, nil
}
