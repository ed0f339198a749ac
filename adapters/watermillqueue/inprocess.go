package watermillqueue

import (
	"context"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/message/router/middleware"
	"github.com/google/uuid"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// inProcess hands messages to the inbox of the same process. Watermill's Go channel
// (v1.5.3) is not between: it has one message of a topic in hand at a time, so that one
// that is skipped would be in the way of all, and repeats a nacked one at once.
type inProcess struct {
	inbox  *inbox
	delay  time.Duration
	nacked timers
	buried *memoryDead // stays empty: what never was bytes can always be read

	mu          sync.Mutex
	outstanding map[uuid.UUID]int // jobs of a message that waits or is in a worker's hands
}

var _ backend = (*inProcess)(nil)

// openInProcess makes a queue in the memory of this process.
func openInProcess(o Options) (*Queue, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	b := &inProcess{
		inbox: newInbox(), delay: o.NackDelay, buried: &memoryDead{limit: o.DeadLimit}, outstanding: map[uuid.UUID]int{},
	}
	return start(b, b.inbox, o)
}

// publish takes all or nothing.
func (b *inProcess) publish(ctx context.Context, messages [][]core.Job, correlation string) (taken int, err error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	now := time.Now()
	metadata := message.Metadata{middleware.CorrelationIDMetadataKey: correlation}
	for _, jobs := range messages {
		taken += len(jobs)
		m := &inProcessMessage{inProcess: b, metadata: metadata, since: now}
		if err := m.send(ports.CloneJobs(jobs), false); err != nil {
			return 0, err
		}
	}
	return taken, nil
}

// inProcessMessage is a message that waits or is in a worker's hands.
type inProcessMessage struct {
	*inProcess
	id       uuid.UUID
	metadata message.Metadata
	since    time.Time
	nacks    int
}

var _ holder = (*inProcessMessage)(nil)

// send lets jobs wait, unless exactly these do or are in a worker's hands.
func (m *inProcessMessage) send(jobs []core.Job, first bool) error {
	m.id = messageID(jobs)
	m.mu.Lock()
	_, there := m.outstanding[m.id]
	m.outstanding[m.id] = len(jobs)
	m.mu.Unlock()
	if there {
		return nil
	}
	return m.deliver(jobs, first)
}

func (m *inProcessMessage) deliver(jobs []core.Job, first bool) error {
	if !m.inbox.put(newDelivery(m.inbox, jobs, m, m.metadata, m.since), first) {
		return ports.ErrClosed
	}
	return nil
}

func (m *inProcessMessage) forget() {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.outstanding, m.id)
}

func (m *inProcessMessage) settle(jobs []core.Job, a answer) error {
	switch a {
	case acked:
		m.forget()
	case nacked:
		m.nacks++
		m.nacked.after(nackDelay(m.delay, m.nacks), func() {
			_ = m.deliver(jobs, false) // fails only once the queue is closed and all is lost
		})
	case released:
		return m.deliver(jobs, true)
	case unanswered, unwanted, expired:
	}
	return nil
}

func (m *inProcessMessage) release(_ context.Context, kept, out []core.Job) error {
	part := &inProcessMessage{inProcess: m.inProcess, metadata: m.metadata, since: m.since, nacks: m.nacks}
	m.forget()
	m.id = messageID(kept)
	m.mu.Lock()
	m.outstanding[m.id] = len(kept)
	m.mu.Unlock()
	return part.send(out, true)
}

// toDeadLetter is for messages that cannot be read; there are none here.
func (m *inProcessMessage) toDeadLetter(_ context.Context, l DeadLetter) error {
	m.buried.add(l)
	m.forget()
	return nil
}

func (b *inProcess) routes() []route { return nil }

func (b *inProcess) hold(*message.Message) holder { return nil }

func (b *inProcess) dead() DeadLetters { return b.buried }

func (b *inProcess) stats(ctx context.Context) (ports.QueueDepth, error) {
	depth := b.inbox.waits()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, jobs := range b.outstanding {
		depth.Taken.N += jobs
	}
	depth.Taken.N -= depth.Waiting.N
	return depth, ctx.Err()
}

func (b *inProcess) ready(context.Context) error { return nil }

func (b *inProcess) stop() { b.nacked.stop() }

func (b *inProcess) close() error { return nil }
