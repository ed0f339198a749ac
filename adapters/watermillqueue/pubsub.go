package watermillqueue

import (
	"context"
	"errors"
	"hash/fnv"
	"strconv"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// pubSub carries messages over any Publisher and Subscriber of Watermill. A message is
// acked when its delivery is.
type pubSub struct {
	opts       Options
	topics     []string // one a lane
	publisher  message.Publisher
	subscriber message.Subscriber
	letters    *memoryDead
	nacks      timers
	// deadLetter keeps a dead letter.
	deadLetter func(ctx context.Context, l DeadLetter) error
}

var _ backend = (*pubSub)(nil)

// New makes a queue over a Publisher and Subscriber that belong together, which
// Close closes. What it can do is what they can: whether messages survive, are
// deduplicated by their UUID, and come again when they were nacked. Options.Lanes
// topics are used, named Topic-0 and so on, or Topic itself if it is one lane.
// Each lane has as many messages in workers' hands as the Subscriber gives out before
// it is answered, and the others wait behind those, also when those are skipped.
//
// A message of a broker cannot be changed. Jobs that are released are published as a
// message of their own; if the server dies before the rest is acked, all of the message
// comes again, which costs refused claims. Dead letters are kept in memory.
func New(pub message.Publisher, sub message.Subscriber, o Options) (*Queue, error) {
	if pub == nil || sub == nil {
		return nil, errors.New("watermillqueue: a Publisher and a Subscriber are required")
	}
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	b := &pubSub{opts: o, topics: lanesOf(o.Topic, "-", o.Lanes), publisher: pub, subscriber: sub}
	b.letters = &memoryDead{limit: o.DeadLimit, send: b.sendAgain}
	b.deadLetter = func(_ context.Context, l DeadLetter) error { b.letters.add(l); return nil }
	return start(b, newInbox(), o)
}

// lanesOf names the topics of lanes.
func lanesOf(topic, separator string, n int) []string {
	if n == 1 {
		return []string{topic}
	}
	topics := make([]string, n)
	for i := range topics {
		topics[i] = topic + separator + strconv.Itoa(i)
	}
	return topics
}

// laneOf gives the topic of a tenant.
func (b *pubSub) laneOf(tenant core.TenantID) string {
	h := fnv.New32a()
	_, _ = h.Write([]byte(tenant)) // it never fails
	return b.topics[h.Sum32()%uint32(len(b.topics))]
}

func (b *pubSub) publish(ctx context.Context, messages [][]core.Job, correlation string) (accepted int, err error) {
	for _, jobs := range messages {
		if err := ctx.Err(); err != nil {
			return accepted, err
		}
		msg, err := seal(ctx, jobs, correlation)
		if err != nil {
			return accepted, err
		}
		if err := b.publisher.Publish(b.laneOf(jobs[0].Tenant), msg); err != nil {
			return accepted, err
		}
		accepted += len(jobs)
	}
	return accepted, nil
}

func (b *pubSub) routes() []route {
	routes := make([]route, len(b.topics))
	for i, topic := range b.topics {
		routes[i] = route{topic, b.subscriber, true}
	}
	return routes
}

func (b *pubSub) hold(msg *message.Message) holder {
	return &brokerMessage{pubSub: b, metadata: msg.Metadata, broker: watermillMessage{b, msg}}
}

// brokerMessage is a message that a broker keeps until it is acked.
type brokerMessage struct {
	*pubSub
	metadata message.Metadata
	broker   broker
	// split says that the broker has more than what is left in the delivery.
	split bool
}

var _ holder = (*brokerMessage)(nil)

// broker ends a message. An ack that comes too late is errLapsed.
type broker interface {
	ack() error
	// nack lets it be delivered again, as the answer says.
	nack(a answer) error
}

func (m *brokerMessage) settle(jobs []core.Job, a answer) error {
	switch {
	case a == acked:
		return m.broker.ack()
	case !m.split || a == unwanted:
		return m.broker.nack(a)
	case a == nacked:
		m.nacks.after(m.opts.NackDelay, func() {
			if err := m.again(jobs); err != nil {
				m.opts.Log.Warn("the rest of a message was not sent again; all of it comes", "error", err)
			}
		})
		return nil
	}
	return m.again(jobs)
}

// again sends what is left of a message in place of it.
func (m *brokerMessage) again(jobs []core.Job) error {
	if err := m.send(context.Background(), jobs); err != nil {
		return errors.Join(err, m.broker.nack(released))
	}
	return m.broker.ack()
}

func (m *brokerMessage) release(ctx context.Context, _, out []core.Job) error {
	if err := m.send(ctx, out); err != nil {
		return err
	}
	m.split = true
	return nil
}

// send publishes jobs that a broker which deduplicates must not take for what it has
// seen already.
func (m *brokerMessage) send(ctx context.Context, jobs []core.Job) error {
	msg, err := seal(ctx, jobs, "")
	if err != nil {
		return err
	}
	msg.UUID, msg.Metadata = watermill.NewUUID(), m.metadata
	return m.publisher.Publish(m.laneOf(jobs[0].Tenant), msg)
}

func (m *brokerMessage) toDeadLetter(ctx context.Context, l DeadLetter) error {
	if err := m.deadLetter(ctx, l); err != nil {
		return err
	}
	return m.broker.ack()
}

// watermillMessage is a message that the Subscriber answers for.
type watermillMessage struct {
	of  *pubSub
	msg *message.Message
}

func (m watermillMessage) ack() error {
	if !m.msg.Ack() {
		return errLapsed
	}
	return nil
}

func (m watermillMessage) nack(a answer) error {
	if a == nacked {
		m.of.nacks.after(m.of.opts.NackDelay, func() { m.msg.Nack() })
	} else {
		m.msg.Nack()
	}
	return nil
}

func (b *pubSub) sendAgain(ctx context.Context, l DeadLetter) error {
	msg := message.NewMessageWithContext(ctx, watermill.NewUUID(), l.Payload)
	msg.Metadata = l.Metadata
	return b.publisher.Publish(b.laneOf(l.Tenant), msg)
}

func (b *pubSub) dead() DeadLetters { return b.letters }

func (b *pubSub) stats(context.Context) (ports.QueueDepth, error) {
	return ports.QueueDepth{}, ports.ErrUnknownDepth // Watermill cannot be asked
}

func (b *pubSub) ready(context.Context) error { return nil } // Watermill cannot be asked

func (b *pubSub) stop() { b.nacks.stop() }

func (b *pubSub) close() error { return errors.Join(b.publisher.Close(), b.subscriber.Close()) }
