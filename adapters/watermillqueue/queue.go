package watermillqueue

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/message/router/middleware"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// Queue is ports.Queue and ports.Feed over Watermill. Make it with Open, with
// OpenPostgres, or with New over any Publisher and Subscriber.
type Queue struct {
	backend backend
	inbox   *inbox
	router  *message.Router
	log     *slog.Logger
	opts    Options

	close  func() error
	closed chan struct{} // Close was called
	ended  chan struct{} // the router has returned
	tidied sync.WaitGroup
}

var (
	_ ports.Queue      = (*Queue)(nil)
	_ ports.Feed       = (*Queue)(nil)
	_ ports.QueueStats = (*Queue)(nil)
)

// backend is what a Queue is on.
type backend interface {
	// publish sends jobs and says how many are there for certain.
	publish(ctx context.Context, jobs []core.Job, correlation string) (int, error)
	// routes are the topics to listen to, the first of lane 0 and so on.
	routes() []route
	// unpack gives the jobs that a message carries.
	unpack(lane int, msg *message.Message) []parcel
	// handedOver ends a message whose jobs have arrived in the inbox. It returns
	// when Watermill may take the message for acked, or its error.
	handedOver(msg *message.Message, arrived []*delivery) error
	dead() DeadLetters
	stats(ctx context.Context) (ports.QueueDepth, error)
	// ready says why jobs cannot be sent now; nil if they can, as far as can be known.
	ready(ctx context.Context) error
	// stop lets it take no more; close follows when everything was answered.
	stop()
	close() error
}

// route is a topic with the subscriber for it.
type route struct {
	topic      string
	subscriber message.Subscriber
}

// The metadata of a message, beside Watermill's correlation ID.
const (
	tenantKey   = "tenant"
	templateKey = "template"
)

const (
	routerClose = 10 * time.Second
	// staleAfter is how long a delivery that nobody wants any more stays here
	// before it is given back for other servers.
	staleAfter = 500 * time.Millisecond
)

// start makes the queue of a backend and lets it run.
func start(b backend, box *inbox, o Options) (*Queue, error) {
	q := &Queue{backend: b, inbox: box, log: o.Log, opts: o, closed: make(chan struct{}), ended: make(chan struct{})}
	q.close = sync.OnceValue(q.shutDown)
	router, err := message.NewRouter(message.RouterConfig{CloseTimeout: routerClose}, logger{o.Log})
	if err != nil {
		return nil, fmt.Errorf("watermillqueue: %w", err)
	}
	q.router = router
	router.AddMiddleware(middleware.CorrelationID, middleware.Recoverer)
	for lane, r := range b.routes() {
		router.AddConsumerHandler("jobs-"+strconv.Itoa(lane), r.topic, r.subscriber, func(msg *message.Message) error {
			return q.handle(lane, msg)
		})
	}
	failed := make(chan error, 1)
	go func() {
		defer close(q.ended)
		failed <- router.Run(context.Background())
	}()
	select {
	case <-router.Running():
	case err := <-failed:
		b.stop()
		return nil, errors.Join(fmt.Errorf("watermillqueue: %w", err), b.close())
	}
	q.tidied.Go(q.tidy)
	return q, nil
}

// Enqueue implements ports.Queue.
func (q *Queue) Enqueue(ctx context.Context, jobs []core.Job) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	if q.isClosed() {
		return 0, ports.ErrClosed
	}
	correlation, _ := ctx.Value(correlationKey{}).(string)
	if correlation == "" && len(jobs) > 0 {
		correlation = watermill.NewShortUUID()
	}
	accepted, err := q.backend.publish(ctx, jobs, correlation)
	if err != nil && q.isClosed() {
		err = ports.ErrClosed
	}
	if err != nil {
		return accepted, fmt.Errorf("enqueue: %w", err)
	}
	return accepted, nil
}

// seal makes the messages of jobs.
func seal(ctx context.Context, jobs []core.Job, correlation string) ([]*message.Message, error) {
	now := time.Now()
	msgs := make([]*message.Message, len(jobs))
	for i, job := range jobs {
		payload, err := encodeJob(job, now)
		if err != nil {
			return nil, err
		}
		msgs[i] = message.NewMessageWithContext(ctx, messageID(job).String(), payload)
		msgs[i].Metadata = message.Metadata{
			tenantKey: string(job.Tenant), templateKey: string(job.Template),
			middleware.CorrelationIDMetadataKey: correlation,
		}
	}
	return msgs, nil
}

// Receive implements ports.Feed.
func (q *Queue) Receive(ctx context.Context, limit int, skip ports.Skip) ([]ports.Delivery, error) {
	return q.inbox.receive(ctx, limit, skip)
}

// DeadLetters gives the messages that could not be read.
func (q *Queue) DeadLetters() DeadLetters { return q.backend.dead() }

// statsTimeout bounds how long the queue is asked how much there is in it.
const statsTimeout = 3 * time.Second

// Stats implements ports.QueueStats.
//   - In memory everything is counted exactly, and the oldest job is known to within
//     its dispatch. It takes time in proportion to the runs that wait.
//   - On Postgres it counts to 10,000, and finds the oldest job by jumping from one
//     (tenant, template) to the next, a thousand of them at most: 25 ms of a backlog
//     of 300,000, 200 ms if a thousand have jobs. With more of them, Oldest and Taken
//     are of the first thousand.
//   - On JetStream it asks for the streams and for each lane's consumer, exactly and at
//     the same cost however many there are. Taken are also jobs that lie ready in a
//     server; while there are such, Oldest may be one of them.
//   - Over any other Publisher it fails with ports.ErrUnknownDepth.
func (q *Queue) Stats(ctx context.Context) (ports.QueueDepth, error) {
	if q.isClosed() {
		return ports.QueueDepth{}, ports.ErrClosed
	}
	ctx, cancel := context.WithTimeout(ctx, statsTimeout)
	defer cancel()
	depth, err := q.backend.stats(ctx)
	if err != nil {
		return ports.QueueDepth{}, fmt.Errorf("queue: %w", err)
	}
	return depth, nil
}

// Ready reports whether jobs can be sent: on Postgres the tables are there and can
// be written, on JetStream the server answers and has the stream. In memory it is so
// until Close. Over any other Publisher it is not known, and nil.
func (q *Queue) Ready(ctx context.Context) error {
	if q.isClosed() {
		return ports.ErrClosed
	}
	if err := q.backend.ready(ctx); err != nil {
		return fmt.Errorf("queue: %w", err)
	}
	return nil
}

// Close ends every Receive with ports.ErrClosed. It is no drain: what is not
// answered is given back and comes again, on a durable backend at whatever feed is
// open or opens next. Acks from before are carried out.
func (q *Queue) Close() error { return q.close() }

func (q *Queue) shutDown() error {
	close(q.closed)
	left := q.inbox.close()
	q.backend.stop()
	var errs []error
	for _, d := range left {
		if d.state.CompareAndSwap(int32(unanswered), int32(released)) {
			errs = append(errs, d.holder.settle(&d.parcel, released))
		}
	}
	errs = append(errs, q.router.Close())
	<-q.ended
	q.tidied.Wait()
	return errors.Join(append(errs, q.backend.close())...)
}

func (q *Queue) isClosed() bool {
	select {
	case <-q.closed:
		return true
	default:
		return false
	}
}

// handle is given every message. What cannot be read is put aside and is in
// nobody's way.
func (q *Queue) handle(lane int, msg *message.Message) error {
	parcels := q.backend.unpack(lane, msg)
	arrived := make([]*delivery, 0, len(parcels))
	for i := range parcels {
		p := parcels[i]
		job, err := p.open()
		if err == nil {
			arrived = append(arrived, &delivery{job: job, parcel: p, inbox: q.inbox})
			continue
		}
		if err := q.putAside(msg.Context(), &p, err); err != nil {
			return err
		}
	}
	if len(arrived) > 0 && !q.inbox.put(arrived) {
		for _, d := range arrived {
			d.state.Store(int32(released))
			if err := d.holder.settle(&d.parcel, released); err != nil {
				return err
			}
		}
	}
	return q.backend.handedOver(msg, arrived)
}

// putAside deals with a message that cannot be read.
func (q *Queue) putAside(ctx context.Context, p *parcel, err error) error {
	log := q.log.With("message", p.messageID, "origin", p.origin, "correlation_id", p.metadata.Get(middleware.CorrelationIDMetadataKey))
	cause := &unreadable{reason: ReasonUndecodable, err: err}
	errors.As(err, &cause)
	if cause.waits(time.Now()) {
		log.Warn("left a message for a newer server", "error", cause)
		return p.holder.settle(p, nacked)
	}
	log.Error("a message that cannot be read became a dead letter", "reason", cause.reason, "error", cause)
	letter := DeadLetter{
		MessageID: p.messageID, Tenant: core.TenantID(p.metadata.Get(tenantKey)), Origin: p.origin,
		Reason: cause.reason, Detail: cause.Error(), At: time.Now().UTC(), Metadata: p.metadata, Payload: p.payload,
	}
	if err := p.holder.bury(ctx, p, letter); err != nil {
		log.Error("the dead letter was not kept; the message comes again", "error", err)
		return p.holder.settle(p, nacked)
	}
	return nil
}

// tidy gives back what arrived for somebody who has gone, and forgets what was
// not answered in time.
func (q *Queue) tidy() {
	tick := time.NewTicker(min(staleAfter, q.opts.Lease/2))
	defer tick.Stop()
	for {
		select {
		case <-q.closed:
			return
		case now := <-tick.C:
			for _, d := range q.inbox.stale(now.Add(-min(staleAfter, q.opts.Lease/2))) {
				if !d.state.CompareAndSwap(int32(unanswered), int32(released)) {
					continue
				}
				if err := d.holder.settle(&d.parcel, released); err != nil {
					q.log.Warn("a job was not given back; it comes again by itself", "job", d.job.ID, "error", err)
				}
			}
			q.inbox.lapsed(now.Add(-q.opts.Lease))
		}
	}
}
