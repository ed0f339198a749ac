package watermillqueue

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	natspubsub "github.com/ThreeDotsLabs/watermill-nats/v2/pkg/nats"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/nats-io/nats.go"

	"github.com/redrive/redrive/core"
)

// What the streams that are made here allow. Jobs are hints, and recovery sends
// lost ones again, so age is bounded; a full stream refuses new jobs, and does not
// drop old ones, so that whoever sends is told.
const (
	streamMaxAge  = 7 * 24 * time.Hour
	streamMaxJobs = 10_000_000
	// dedupeWindow is how long JetStream knows a message again. The same job and
	// epoch is swallowed for so long after it was acked, too.
	dedupeWindow = 2 * time.Minute

	publishers    = 32 // messages on their way at a time; each waits for its ack
	natsTimeout   = 5 * time.Second
	readyTimeout  = 2 * time.Second
	laneSeparator = "."
	deadSuffix    = "_dead"
	durableSuffix = "-workers"
	replyKey      = "redrive_reply" // metadata: names the message that is held
	releasedDelay = time.Second     // before others get what nobody here wants
)

// jetStream carries jobs in a stream of NATS, one subject a lane.
//
// Watermill's subscriber handles one message after the other, and would have one
// job of a lane in workers' hands at a time. So it is told of no reply subject:
// its own acks then go nowhere, and the answers of deliveries are sent from here.
// The consumer bounds what is unanswered.
type jetStream struct {
	opts   Options
	topics []string
	out    *nats.Conn // closed by Watermill's publisher
	in     *nats.Conn // drained by Watermill's subscriber, so it is another one
	js     nats.JetStreamContext
	pub    *natspubsub.Publisher
	sub    *natspubsub.Subscriber
	held   sync.Map // *nats.Msg by reply subject, until it is unpacked
	buried *streamDead

	gate     sync.Mutex // guards stopping, and coming against more of them after it
	stopping bool
	coming   sync.WaitGroup // messages that are held and not unpacked
}

var (
	_ backend = (*jetStream)(nil)
	_ holder  = (*jetStream)(nil)
)

// openJetStream connects to NATS and makes the streams if they are not there.
func openJetStream(url string, o Options) (*Queue, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	b, err := dialJetStream(url, o)
	if err != nil {
		return nil, err
	}
	if b.in, err = b.connect(url); err != nil {
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
	b := &jetStream{opts: o, topics: lanesOf(o.Topic, laneSeparator, max(o.Lanes, 2))[:o.Lanes]}
	var err error
	if b.out, err = b.connect(url); err != nil {
		return nil, err
	}
	if b.js, err = b.out.JetStream(nats.MaxWait(natsTimeout)); err != nil {
		b.out.Close()
		return nil, fmt.Errorf("watermillqueue: %w", err)
	}
	b.buried = &streamDead{js: b.js, stream: o.Topic + deadSuffix, send: b.sendAgain}
	return b, nil
}

// openJetStreamDead connects to NATS and takes no jobs.
func openJetStreamDead(url string, o Options) (DeadLetters, func() error, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, nil, err
	}
	b, err := dialJetStream(url, o)
	if err != nil {
		return nil, nil, err
	}
	return b.buried, func() error { b.out.Close(); return nil }, nil
}

func (b *jetStream) connect(url string) (*nats.Conn, error) {
	conn, err := nats.Connect(url,
		nats.Name("redrive"), nats.MaxReconnects(-1), nats.ReconnectWait(200*time.Millisecond), nats.Timeout(natsTimeout),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				b.opts.Log.Warn("lost the connection to NATS, will try again", "error", err)
			}
		}),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			b.opts.Log.Warn("NATS", "error", err)
		}))
	if err != nil {
		return nil, fmt.Errorf("watermillqueue: connect to NATS: %w", err)
	}
	return conn, nil
}

func (b *jetStream) start() (*Queue, error) {
	var err error
	for _, c := range []nats.StreamConfig{
		{
			Name: b.opts.Topic, Subjects: []string{b.opts.Topic + laneSeparator + "*"},
			Retention: nats.WorkQueuePolicy, MaxMsgs: streamMaxJobs, Discard: nats.DiscardNew,
		},
		{Name: b.buried.stream, Subjects: []string{b.buried.stream}, MaxMsgs: streamMaxJobs, Discard: nats.DiscardOld},
	} {
		c.Storage, c.MaxAge, c.Replicas, c.Duplicates = nats.FileStorage, streamMaxAge, b.opts.Replicas, dedupeWindow
		if _, err := b.js.AddStream(&c); err != nil && !errors.Is(err, nats.ErrStreamNameAlreadyInUse) {
			return nil, fmt.Errorf("watermillqueue: stream %s: %w", c.Name, err)
		}
	}
	for _, topic := range b.topics {
		if err := b.addConsumer(topic); err != nil {
			return nil, fmt.Errorf("watermillqueue: consumer of %s: %w", topic, err)
		}
	}
	js := natspubsub.JetStreamConfig{
		TrackMsgId: true, DurablePrefix: "redrive",
		DurableCalculator: func(_, topic string) string { return durable(topic) },
		SubscribeOptions: []nats.SubOpt{
			nats.AckWait(b.opts.Lease), nats.MaxAckPending(b.opts.Prefetch), nats.ManualAck(), nats.AckExplicit(),
			nats.DeliverAll(),
		},
		ConnectOptions: []nats.JSOpt{nats.MaxWait(natsTimeout)},
	}
	if b.pub, err = natspubsub.NewPublisherWithNatsConn(b.out, natspubsub.PublisherPublishConfig{JetStream: js, Marshaler: &natspubsub.NATSMarshaler{}, SubjectCalculator: subjects}, logger{b.opts.Log}); err != nil {
		return nil, fmt.Errorf("watermillqueue: %w", err)
	}
	b.sub, err = natspubsub.NewSubscriberWithNatsConn(b.in, natspubsub.SubscriberSubscriptionConfig{
		JetStream: js, Unmarshaler: holding{b}, SubjectCalculator: subjects,
		AckWaitTimeout: b.opts.Lease, CloseTimeout: routerClose,
	}, logger{b.opts.Log})
	if err != nil {
		return nil, fmt.Errorf("watermillqueue: %w", err)
	}
	return start(b, newInbox(len(b.topics)), b.opts)
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

// holding keeps messages back from Watermill's acks.
type holding struct{ b *jetStream }

func (h holding) Unmarshal(m *nats.Msg) (*message.Message, error) {
	if !h.b.comes() {
		return nil, errors.Join(errStopping, m.Nak()) // others have it at once
	}
	msg, err := (&natspubsub.NATSMarshaler{}).Unmarshal(m)
	if err != nil {
		// Headers that nobody here writes; what matters is what is in it.
		msg = message.NewMessage(m.Header.Get(natspubsub.WatermillUUIDHdr), m.Data)
		msg.Metadata = message.Metadata{"unreadable": err.Error()}
	}
	h.b.held.Store(m.Reply, &nats.Msg{Subject: m.Subject, Reply: m.Reply, Header: m.Header, Data: m.Data, Sub: m.Sub})
	msg.Metadata.Set(replyKey, m.Reply)
	m.Reply = ""
	return msg, nil
}

// errStopping is why a message was not taken, for Watermill's log.
var errStopping = errors.New("this server stops")

// comes counts a message that is on its way to its handler; false if none goes there
// any more.
func (b *jetStream) comes() bool {
	b.gate.Lock()
	defer b.gate.Unlock()
	if b.stopping {
		return false
	}
	b.coming.Add(1)
	return true
}

// stop lets no more messages come, and waits for those on their way. Watermill's
// subscriber closes the channel to its handlers without waiting for whoever sends to
// it, and to send to a closed channel ends the process.
func (b *jetStream) stop() {
	b.gate.Lock()
	b.stopping = true
	b.gate.Unlock()
	through := make(chan struct{})
	go func() {
		b.coming.Wait()
		close(through)
	}()
	select {
	case <-through:
	case <-time.After(routerClose): // nobody handles them: the router never ran
	}
}

func (b *jetStream) stops() bool {
	b.gate.Lock()
	defer b.gate.Unlock()
	return b.stopping
}

// publish sends messages side by side, since each waits for JetStream's ack.
func (b *jetStream) publish(ctx context.Context, jobs []core.Job, correlation string) (int, error) {
	msgs, err := seal(ctx, jobs, correlation)
	if err != nil {
		return 0, err
	}
	var (
		mu       sync.Mutex
		next     int
		accepted int
		failed   error
		senders  sync.WaitGroup
	)
	claim := func(sent bool, err error) (int, bool) {
		mu.Lock()
		defer mu.Unlock()
		if sent {
			accepted++
		}
		if failed == nil {
			failed = err
		}
		if failed != nil || next == len(msgs) {
			return 0, false
		}
		next++
		return next - 1, true
	}
	for range min(publishers, len(msgs)) {
		senders.Go(func() {
			at, more := claim(false, ctx.Err())
			for more {
				err := b.pub.Publish(b.topics[laneOf(jobs[at].Tenant, len(b.topics))], msgs[at])
				sent := err == nil
				if sent {
					err = ctx.Err()
				}
				at, more = claim(sent, err)
			}
		})
	}
	senders.Wait()
	return accepted, failed
}

func (b *jetStream) routes() []route {
	routes := make([]route, len(b.topics))
	for i, topic := range b.topics {
		routes[i] = route{topic, b.sub}
	}
	return routes
}

func (b *jetStream) unpack(lane int, msg *message.Message) []parcel {
	held, came := b.held.LoadAndDelete(msg.Metadata.Get(replyKey))
	if came {
		b.coming.Done()
	}
	delete(msg.Metadata, replyKey)
	return []parcel{{
		messageID: msg.UUID, payload: msg.Payload, metadata: msg.Metadata,
		lane: lane, origin: b.topics[lane], holder: b, tag: held,
	}}
}

func (b *jetStream) handedOver(*message.Message, []*delivery) error { return nil }

func (b *jetStream) settle(p *parcel, a answer) error {
	msg, ok := p.tag.(*nats.Msg)
	if !ok {
		return errors.New("watermillqueue: not a delivery of this queue")
	}
	switch a {
	case acked:
		return msg.Ack()
	case nacked:
		delay := b.opts.NackDelay
		if meta, err := msg.Metadata(); err == nil {
			delay = min(delay<<min(max(meta.NumDelivered, 1)-1, 10), maxNackDelay)
		}
		return msg.NakWithDelay(delay)
	case released:
		if b.stops() {
			return msg.Nak() // others go on at once
		}
		return msg.NakWithDelay(releasedDelay)
	case unanswered, lapsed:
	}
	return nil
}

func (b *jetStream) bury(ctx context.Context, p *parcel, l DeadLetter) error {
	if err := b.buried.add(ctx, l); err != nil {
		return err
	}
	return b.settle(p, acked)
}

// sendAgain sends a dead letter to its lane, without the ID by which JetStream
// would know it again.
func (b *jetStream) sendAgain(ctx context.Context, l DeadLetter) error {
	msg := nats.NewMsg(b.topics[laneOf(l.Tenant, len(b.topics))])
	msg.Data = l.Payload
	msg.Header.Set(natspubsub.WatermillUUIDHdr, l.MessageID)
	for name, value := range l.Metadata {
		msg.Header.Set(name, value)
	}
	_, err := b.js.PublishMsg(msg, nats.Context(ctx))
	return err
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

func (b *jetStream) close() error {
	// The subscriber has drained its connection, with the last answers.
	return b.pub.Close()
}
