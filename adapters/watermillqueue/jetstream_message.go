package watermillqueue

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	natspubsub "github.com/ThreeDotsLabs/watermill-nats/v2/pkg/nats"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/nats-io/nats.go"
)

// What a message of NATS is answered by, in the metadata.
const (
	replyKey      = "redrive_reply"
	deliveriesKey = "redrive_deliveries"
)

// natsUnmarshaler keeps messages back from Watermill's acks. Watermill's subscriber
// (v2.1.3) waits for the answer to a message before it looks at the next one of its
// subscription. With 16 subscriptions of a lane, 24 of 100 messages were delivered, and
// the others lay behind those that were in hand until leases ran out. So Watermill's
// message has no reply subject, and its acks go nowhere.
type natsUnmarshaler struct{}

func (natsUnmarshaler) Unmarshal(m *nats.Msg) (*message.Message, error) {
	msg, err := (&natspubsub.NATSMarshaler{}).Unmarshal(m)
	if err != nil {
		// Headers that no server writes; what matters is what is in it.
		msg = message.NewMessage(m.Header.Get(natspubsub.WatermillUUIDHdr), m.Data)
		msg.Metadata = message.Metadata{"unreadable": err.Error()}
	}
	if about, err := m.Metadata(); err == nil {
		msg.Metadata.Set(deliveriesKey, strconv.FormatUint(min(about.NumDelivered, 100), 10))
	}
	msg.Metadata.Set(replyKey, m.Reply)
	m.Reply = ""
	return msg, nil
}

// natsMessage answers a message of NATS.
type natsMessage struct {
	of         *jetStream
	reply      string
	deliveries int
}

func (b *jetStream) hold(msg *message.Message) holder {
	m := natsMessage{of: b, reply: msg.Metadata.Get(replyKey)}
	m.deliveries, _ = strconv.Atoi(msg.Metadata.Get(deliveriesKey)) // 0 is as good as 1
	delete(msg.Metadata, replyKey)
	delete(msg.Metadata, deliveriesKey)
	return &brokerMessage{pubSub: &b.pubSub, metadata: msg.Metadata, broker: m}
}

func (m natsMessage) ack() error { return m.of.out.Publish(m.reply, []byte("+ACK")) }

// unwantedDelay is how long others wait for what no caller here wants.
const unwantedDelay = time.Second

func (m natsMessage) nack(a answer) error {
	delay := time.Duration(0)
	switch {
	case a == nacked:
		delay = nackDelay(m.of.opts.NackDelay, m.deliveries)
	case a == unwanted && !m.of.stops.Load():
		delay = unwantedDelay
	}
	return m.of.out.Publish(m.reply, fmt.Appendf(nil, `-NAK {"delay": %d}`, delay.Nanoseconds()))
}

// isClosing reports whether an error of Watermill only says that the queue is being
// closed: its subscriber wants to unsubscribe from a connection that is drained.
func isClosing(err error) bool {
	return errors.Is(err, nats.ErrConnectionClosed) || errors.Is(err, nats.ErrConnectionDraining)
}
