package watermillqueue

import (
	"context"
	"sync"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/message/router/middleware"
	"github.com/ThreeDotsLabs/watermill/pubsub/gochannel"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// goChannel carries jobs within the process. Watermill's Go channel starts
// goroutines for every message, drops it when nobody listens and repeats a nacked
// one at once. So jobs wait in the backlog, a message on the channel is a batch of
// what somebody waits for, and answers go to the backlog.
type goChannel struct {
	opts   Options
	pubsub *gochannel.GoChannel
	inbox  *inbox
	jobs   *backlog
	buried *memoryDead // stays empty: a job that never was bytes can always be read

	ctx    context.Context // ends with stop
	cancel context.CancelFunc
	more   chan struct{} // a token when the backlog has grown
	pumped sync.WaitGroup

	mu      sync.Mutex
	batches map[string][]ticket // of messages on the channel
	nacked  timers
}

var (
	_ backend = (*goChannel)(nil)
	_ holder  = (*goChannel)(nil)
)

// openGoChannel makes a queue in the memory of this process.
func openGoChannel(o Options) (*Queue, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	box := newInbox(1)
	g := &goChannel{
		opts: o,
		// Publishing a batch waits until it has arrived, so that the next one is
		// made of what is wanted then.
		pubsub: gochannel.NewGoChannel(gochannel.Config{BlockPublishUntilSubscriberAck: true}, logger{o.Log}),
		inbox:  box, jobs: newBacklog(), buried: &memoryDead{limit: o.DeadLimit},
		more: make(chan struct{}, 1), batches: map[string][]ticket{},
	}
	g.ctx, g.cancel = context.WithCancel(context.Background())
	q, err := start(g, box, o)
	if err != nil {
		return nil, err
	}
	g.pumped.Go(g.pump)
	return q, nil
}

// publish takes all or nothing. A job that is there already counts as taken.
func (g *goChannel) publish(ctx context.Context, jobs []core.Job, correlation string) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	g.jobs.add(jobs, correlation)
	g.grown()
	return len(jobs), nil
}

func (g *goChannel) grown() {
	select {
	case g.more <- struct{}{}:
	default:
	}
}

// pump puts on the channel what is waited for.
func (g *goChannel) pump() {
	for g.ctx.Err() == nil {
		if want := g.inbox.demand(); want.limit > 0 {
			if batch := g.jobs.take(min(want.limit, g.opts.MaxBatch), want.skip); len(batch) > 0 {
				g.send(batch)
				continue
			}
		}
		select {
		case <-g.inbox.wanted:
		case <-g.more:
		case <-g.ctx.Done():
		}
	}
}

func (g *goChannel) send(batch []ticket) {
	msg := message.NewMessage(watermill.NewUUID(), nil)
	g.mu.Lock()
	g.batches[msg.UUID] = batch
	g.mu.Unlock()
	err := g.pubsub.Publish(g.opts.Topic, msg)
	if left := g.collect(msg.UUID); len(left) > 0 { // it was not fetched: the queue is being closed
		for _, t := range left {
			g.jobs.again(t)
		}
	}
	if err != nil && g.ctx.Err() == nil {
		g.opts.Log.Error("jobs stay in the backlog", "error", err)
	}
}

// collect gives the batch of a message, once.
func (g *goChannel) collect(id string) []ticket {
	g.mu.Lock()
	defer g.mu.Unlock()
	batch := g.batches[id]
	delete(g.batches, id)
	return batch
}

func (g *goChannel) unpack(_ int, msg *message.Message) []parcel {
	batch := g.collect(msg.UUID)
	parcels := make([]parcel, len(batch))
	for i, t := range batch {
		job := g.jobs.job(t)
		parcels[i] = parcel{
			job: &job, origin: g.opts.Topic, holder: g, tag: t,
			metadata: message.Metadata{middleware.CorrelationIDMetadataKey: t.batch.correlation},
		}
	}
	return parcels
}

func (g *goChannel) handedOver(*message.Message, []*delivery) error { return nil }

func (g *goChannel) settle(p *parcel, a answer) error {
	t, _ := p.tag.(ticket)
	switch a {
	case acked:
		g.jobs.done(t)
	case nacked:
		g.nacked.after(g.opts.NackDelay, func() {
			g.jobs.again(t)
			g.grown()
		})
	case released:
		g.jobs.again(t)
		g.grown()
	case unanswered, lapsed:
	}
	return nil
}

// bury is for messages that cannot be read; there are none here.
func (g *goChannel) bury(_ context.Context, p *parcel, l DeadLetter) error {
	g.buried.add(l)
	return g.settle(p, acked)
}

func (g *goChannel) routes() []route { return []route{{g.opts.Topic, g.pubsub}} }

func (g *goChannel) dead() DeadLetters { return g.buried }

func (g *goChannel) stats(ctx context.Context) (ports.QueueDepth, error) {
	depth := g.jobs.depth()
	depth.Dead = ports.Count{N: g.buried.len()}
	return depth, ctx.Err()
}

func (g *goChannel) ready(context.Context) error { return nil }

func (g *goChannel) stop() {
	g.cancel()
	g.nacked.stop()
}

func (g *goChannel) close() error {
	err := g.pubsub.Close()
	g.pumped.Wait()
	return err
}
