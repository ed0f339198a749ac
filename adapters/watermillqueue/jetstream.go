package watermillqueue

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	natspubsub "github.com/ThreeDotsLabs/watermill-nats/v2/pkg/nats"
	"github.com/nats-io/nats.go"
)

// What the streams that are made here allow. Jobs are hints, and recovery sends
// lost ones again, so age is bounded; a full stream refuses new messages, and does not
// drop old ones, so that the sender learns of it.
const (
	streamMaxAge      = 7 * 24 * time.Hour
	streamMaxMessages = 10_000_000
	// dedupeWindow is how long JetStream knows a message again. The same jobs are
	// swallowed for so long after they were acked, too.
	dedupeWindow = 2 * time.Minute

	natsTimeout   = 5 * time.Second
	readyTimeout  = 2 * time.Second
	laneSeparator = "."
	deadSuffix    = "_dead"
	durableSuffix = "-workers"
)

// jetStream carries messages in a stream of NATS, one subject a lane. They are answered
// from here and not by Watermill, see natsUnmarshaler; the consumer bounds how many are
// not.
type jetStream struct {
	pubSub
	out     *nats.Conn // closed by Watermill's publisher
	in      *nats.Conn // drained by Watermill's subscriber, so it is another one
	drained chan struct{}
	stops   atomic.Bool
	js      nats.JetStreamContext
	buried  *streamDead
	// lanes1 are those of servers that send messages of version 1, as far as there are
	// any. Servers of an earlier release do not look at ours.
	lanes1 []string
}

var _ backend = (*jetStream)(nil)

// openJetStream connects to NATS and makes the streams if they are not there.
func openJetStream(url string, o Options) (*Queue, error) {
	b, err := dialJetStream(url, o)
	if err != nil {
		return nil, err
	}
	if b.in, err = b.connect(url, nats.DrainTimeout(routerClose), nats.ClosedHandler(func(*nats.Conn) { close(b.drained) })); err != nil {
		b.out.Close()
		return nil, err
	}
	q, err := b.start()
	if err != nil {
		b.out.Close()
		b.in.Close()
		return nil, err
	}
	return q, nil
}

// dialJetStream makes the first connection, which is enough to send.
func dialJetStream(url string, o Options) (*jetStream, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	topics := lanesOf(o.Topic, laneSeparator+"m", max(o.Lanes, 2))[:o.Lanes]
	b := &jetStream{pubSub: pubSub{opts: o, topics: topics}, drained: make(chan struct{})}
	if b.out, err = b.connect(url); err != nil {
		return nil, err
	}
	if b.js, err = b.out.JetStream(nats.MaxWait(natsTimeout)); err == nil {
		b.publisher, err = natspubsub.NewPublisherWithNatsConn(b.out, natspubsub.PublisherPublishConfig{
			JetStream: b.config(), Marshaler: &natspubsub.NATSMarshaler{}, SubjectCalculator: subjects,
		}, logger{o.Log})
	}
	if err != nil {
		b.out.Close()
		return nil, fmt.Errorf("watermillqueue: %w", err)
	}
	b.buried = &streamDead{js: b.js, stream: o.Topic + deadSuffix, send: b.sendAgain}
	b.deadLetter = b.buried.add
	return b, nil
}

// openJetStreamDead connects to NATS and takes no jobs.
func openJetStreamDead(url string, o Options) (DeadLetters, func() error, error) {
	b, err := dialJetStream(url, o)
	if err != nil {
		return nil, nil, err
	}
	return b.buried, b.publisher.Close, nil
}

func (b *jetStream) connect(url string, more ...nats.Option) (*nats.Conn, error) {
	conn, err := nats.Connect(url, append(more,
		nats.Name("redrive"), nats.MaxReconnects(-1), nats.ReconnectWait(200*time.Millisecond), nats.Timeout(natsTimeout),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				b.opts.Log.Warn("lost the connection to NATS, will try again", "error", err)
			}
		}),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			b.opts.Log.Warn("NATS", "error", err)
		}))...)
	if err != nil {
		return nil, fmt.Errorf("watermillqueue: connect to NATS: %w", err)
	}
	return conn, nil
}

func (b *jetStream) config() natspubsub.JetStreamConfig {
	return natspubsub.JetStreamConfig{
		TrackMsgId: true, DurablePrefix: "redrive",
		DurableCalculator: func(_, topic string) string { return durable(topic) },
		SubscribeOptions:  []nats.SubOpt{nats.ManualAck(), nats.AckExplicit(), nats.DeliverAll()},
		ConnectOptions:    []nats.JSOpt{nats.MaxWait(natsTimeout)},
	}
}

func (b *jetStream) start() (*Queue, error) {
	if err := b.addStreams(); err != nil {
		return nil, err
	}
	for _, topic := range b.topics {
		if err := b.addConsumer(topic); err != nil {
			return nil, fmt.Errorf("watermillqueue: consumer of %s: %w", topic, err)
		}
	}
	for _, topic := range lanesOf(b.opts.Topic, laneSeparator, max(b.opts.Lanes, 2))[:b.opts.Lanes] {
		c, err := b.js.ConsumerInfo(b.opts.Topic, durable(topic))
		if err == nil && (c.PushBound || c.NumPending > 0 || c.NumAckPending > 0) {
			b.lanes1 = append(b.lanes1, topic)
		} else if err != nil && !errors.Is(err, nats.ErrConsumerNotFound) {
			return nil, fmt.Errorf("watermillqueue: consumer of %s: %w", topic, err)
		}
	}
	sub, err := natspubsub.NewSubscriberWithNatsConn(b.in, natspubsub.SubscriberSubscriptionConfig{
		JetStream: b.config(), Unmarshaler: natsUnmarshaler{}, SubjectCalculator: subjects,
		AckWaitTimeout: b.opts.Lease, CloseTimeout: routerClose,
	}, logger{b.opts.Log})
	if err != nil {
		return nil, fmt.Errorf("watermillqueue: %w", err)
	}
	b.subscriber = sub
	return start(b, newInbox(), b.opts)
}

func (b *jetStream) addStreams() error {
	for _, c := range []nats.StreamConfig{
		{
			Name: b.opts.Topic, Subjects: []string{b.opts.Topic + laneSeparator + "*"},
			Retention: nats.WorkQueuePolicy, MaxMsgs: streamMaxMessages, Discard: nats.DiscardNew,
		},
		{Name: b.buried.stream, Subjects: []string{b.buried.stream}, MaxMsgs: streamMaxMessages, Discard: nats.DiscardOld},
	} {
		c.Storage, c.MaxAge, c.Replicas, c.Duplicates = nats.FileStorage, streamMaxAge, b.opts.Replicas, dedupeWindow
		if _, err := b.js.AddStream(&c); err != nil && !errors.Is(err, nats.ErrStreamNameAlreadyInUse) {
			return fmt.Errorf("watermillqueue: stream %s: %w", c.Name, err)
		}
	}
	return nil
}

// durable names the consumer of a lane, which all servers share.
func durable(topic string) string {
	return strings.ReplaceAll(topic, laneSeparator, "-") + durableSuffix
}

// addConsumer makes the consumer of a lane, or changes it to our options. If the
// subscription made it, the first server that stops would remove it, with what
// others have in hand.
func (b *jetStream) addConsumer(topic string) error {
	c := &nats.ConsumerConfig{
		Durable: durable(topic), DeliverGroup: durable(topic), DeliverSubject: "deliver-" + durable(topic), FilterSubject: topic,
		AckPolicy: nats.AckExplicitPolicy, AckWait: b.opts.Lease, MaxAckPending: b.opts.Prefetch,
		DeliverPolicy: nats.DeliverAllPolicy, Replicas: b.opts.Replicas,
	}
	_, err := b.js.AddConsumer(b.opts.Topic, c)
	if errors.Is(err, nats.ErrConsumerNameAlreadyInUse) {
		_, err = b.js.UpdateConsumer(b.opts.Topic, c)
	}
	return err
}

// subjects gives the servers of a lane one queue group.
func subjects(_, topic string) *natspubsub.SubjectDetail {
	return &natspubsub.SubjectDetail{Primary: topic, QueueGroup: durable(topic)}
}

func (b *jetStream) routes() []route {
	var routes []route
	for _, topic := range slices.Concat(b.topics, b.lanes1) {
		routes = append(routes, route{topic: topic, subscriber: b.subscriber})
	}
	return routes
}

// stop lets no more messages come, and waits for those on their way: Watermill's
// subscriber (v2.1.3) closes the channel to its handlers without waiting for a sender to
// it, and to send to a closed channel ends the process. Draining the connection first
// ends the senders.
func (b *jetStream) stop() {
	b.stops.Store(true)
	b.pubSub.stop()
	if err := b.in.Drain(); err != nil {
		return // it is closed
	}
	select {
	case <-b.drained:
	case <-time.After(routerClose + time.Second): // after the time that a drain may take
	}
}

func (b *jetStream) dead() DeadLetters { return b.buried }

// ready asks for the stream, because a server whose JetStream has no leader, or
// which was put up again without its storage, is connected all the same.
func (b *jetStream) ready(ctx context.Context) error {
	for _, conn := range []*nats.Conn{b.out, b.in} {
		if !conn.IsConnected() {
			return fmt.Errorf("the connection to NATS is %s", conn.Status())
		}
	}
	ctx, cancel := context.WithTimeout(ctx, readyTimeout) // a request on a lost connection waits for another
	defer cancel()
	if _, err := b.js.StreamInfo(b.opts.Topic, nats.Context(ctx)); err != nil {
		return fmt.Errorf("stream %s: %w", b.opts.Topic, err)
	}
	return nil
}

func (b *jetStream) close() error { return b.publisher.Close() } // the router has closed the subscriber
