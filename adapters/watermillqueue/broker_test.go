package watermillqueue_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/adaptertest/queuetest"
	"github.com/redrive/redrive/adapters/watermillqueue"
)

// broker is a Publisher and Subscriber of Watermill that does what brokers do: it has
// many messages in hand at a time, keeps one until it is acked, and deduplicates by
// UUID. Watermill's Go channel does neither.
type broker struct {
	mu     sync.Mutex
	outs   map[string]chan *message.Message
	there  map[string]bool // UUIDs
	closed chan struct{}
	sends  sync.WaitGroup
}

var errBrokerClosed = errors.New("the broker is closed")

func newBroker() *broker {
	return &broker{outs: map[string]chan *message.Message{}, there: map[string]bool{}, closed: make(chan struct{})}
}

func (b *broker) topic(name string) chan *message.Message {
	if b.outs[name] == nil {
		b.outs[name] = make(chan *message.Message)
	}
	return b.outs[name]
}

func (b *broker) Publish(topic string, messages ...*message.Message) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	select {
	case <-b.closed:
		return errBrokerClosed
	default:
	}
	for _, msg := range messages {
		if !b.there[msg.UUID] {
			b.there[msg.UUID] = true
			out := b.topic(topic)
			b.sends.Go(func() { b.send(out, msg) })
		}
	}
	return nil
}

func (b *broker) send(out chan<- *message.Message, msg *message.Message) {
	for {
		try := msg.Copy()
		ctx, cancel := context.WithCancel(context.Background())
		try.SetContext(ctx)
		select {
		case out <- try:
		case <-b.closed:
			cancel()
			return
		}
		select {
		case <-try.Acked():
			cancel()
			b.mu.Lock()
			delete(b.there, msg.UUID)
			b.mu.Unlock()
			return
		case <-try.Nacked():
			cancel()
		case <-b.closed:
			cancel()
			return
		}
	}
}

func (b *broker) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	in, out := b.topic(topic), make(chan *message.Message)
	b.sends.Go(func() {
		defer close(out)
		for {
			select {
			case msg := <-in:
				select {
				case out <- msg:
				case <-b.closed:
					return
				}
			case <-ctx.Done():
				return
			case <-b.closed:
				return
			}
		}
	})
	return out, nil
}

func (b *broker) Close() error {
	b.mu.Lock()
	select {
	case <-b.closed:
	default:
		close(b.closed)
	}
	b.mu.Unlock()
	b.sends.Wait()
	return nil
}

// Over any broker that Watermill has a Publisher and a Subscriber for.
func TestNew(t *testing.T) {
	t.Parallel()
	queuetest.Run(t, func(t *testing.T) queuetest.Subject {
		b := newBroker()
		q, err := watermillqueue.New(b, b, quiet(watermillqueue.Options{Lanes: 3}))
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, q.Close()) })
		return queuetest.Subject{
			Queue: q, Feed: q, Close: q.Close, Skips: true, // tenants of one lane are first come, first served
			// That a message was acked gets to the broker beside the caller.
			RemembersAcked: true,
		}
	})
}
