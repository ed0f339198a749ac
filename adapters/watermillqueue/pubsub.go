package watermillqueue

import (
	"context"
	"errors"
	"hash/fnv"
	"strconv"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// pubSub carries jobs over any Publisher and Subscriber of Watermill, one job a
// message. A message is acked when its delivery is.
type pubSub struct {
	opts       Options
	topics     []string // one a lane
	publisher  message.Publisher
	subscriber message.Subscriber
	letters    *memoryDead
	nacks      timers
}

var (
	_ backend = (*pubSub)(nil)
	_ holder  = (*pubSub)(nil)
)

// New makes a queue over a Publisher and Subscriber that belong together, which
// Close closes. What it can do is what they can: whether messages survive, are
// deduplicated by their UUID, and come again when they were nacked. Options.Lanes
// topics are used, named Topic-0 and so on, or Topic itself if it is one lane.
// Each lane has as many jobs in workers' hands as the Subscriber gives out before
// it is answered. Dead letters are kept in memory.
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
	return start(b, newInbox(o.Lanes), o)
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

// laneOf gives the lane of a tenant.
func laneOf(tenant core.TenantID, lanes int) int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(tenant)) // it never fails
	return int(h.Sum32() % uint32(lanes))
}

func (b *pubSub) publish(ctx context.Context, jobs []core.Job, correlation string) (int, error) {
	accepted := 0
	for from := 0; from < len(jobs); {
		to := from + 1 // of one lane, a thousand at most
		lane := laneOf(jobs[from].Tenant, len(b.topics))
		for to < len(jobs) && to-from < 1000 && laneOf(jobs[to].Tenant, len(b.topics)) == lane {
			to++
		}
		msgs, err := seal(ctx, jobs[from:to], correlation)
		if err != nil {
			return accepted, err
		}
		if err := ctx.Err(); err != nil {
			return accepted, err
		}
		if err := b.publisher.Publish(b.topics[lane], msgs...); err != nil {
			return accepted, err
		}
		accepted, from = to, to
	}
	return accepted, nil
}

func (b *pubSub) routes() []route {
	routes := make([]route, len(b.topics))
	for i, topic := range b.topics {
		routes[i] = route{topic, b.subscriber}
	}
	return routes
}

func (b *pubSub) unpack(lane int, msg *message.Message) []parcel {
	return []parcel{{
		messageID: msg.UUID, payload: msg.Payload, metadata: msg.Metadata,
		lane: lane, origin: b.topics[lane], holder: b, tag: msg,
	}}
}

// handedOver waits for the answer, since Watermill acks what a handler is done with.
func (b *pubSub) handedOver(msg *message.Message, arrived []*delivery) error {
	select {
	case <-msg.Acked():
	case <-msg.Nacked():
	case <-msg.Context().Done():
		// The subscriber has given up on it, and delivers it again.
		for _, d := range arrived {
			d.lapse()
		}
		msg.Nack()
	}
	return nil
}

func (b *pubSub) settle(p *parcel, a answer) error {
	msg, ok := p.tag.(*message.Message)
	if !ok {
		return errors.New("watermillqueue: not a delivery of this queue")
	}
	switch a {
	case acked:
		if !msg.Ack() {
			return errLapsed
		}
	case nacked:
		b.nacks.after(b.opts.NackDelay, func() { msg.Nack() })
	case released:
		msg.Nack()
	case unanswered, lapsed:
	}
	return nil
}

func (b *pubSub) bury(_ context.Context, p *parcel, l DeadLetter) error {
	b.letters.add(l)
	return b.settle(p, acked)
}

func (b *pubSub) sendAgain(ctx context.Context, l DeadLetter) error {
	msg := message.NewMessageWithContext(ctx, l.MessageID, l.Payload)
	msg.Metadata = l.Metadata
	return b.publisher.Publish(b.topics[laneOf(l.Tenant, len(b.topics))], msg)
}

func (b *pubSub) dead() DeadLetters { return b.letters }

func (b *pubSub) stats(context.Context) (ports.QueueDepth, error) {
	return ports.QueueDepth{}, ports.ErrUnknownDepth // Watermill cannot be asked
}

func (b *pubSub) ready(context.Context) error { return nil } // Watermill cannot be asked

func (b *pubSub) stop() { b.nacks.stop() }

func (b *pubSub) close() error { return errors.Join(b.publisher.Close(), b.subscriber.Close()) }
