package watermillqueue

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
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
//
// The way of jobs: Enqueue cuts them into messages (ports.Messages), seal writes one,
// the backend's publisher sends it. The backend's subscriber gives it to Watermill's
// router, handle reads it and puts a delivery into the inbox, where Receive finds it.
// The delivery's answer goes to its holder, which is what keeps the message.
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
	// publish sends messages and says how many jobs are there for certain.
	publish(ctx context.Context, messages [][]core.Job, correlation string) (int, error)
	// routes are the topics to listen to.
	routes() []route
	// hold gives what keeps a message that has come.
	hold(msg *message.Message) holder
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
	// untilAnswered says that Watermill's ack is the broker's, so that a message is
	// handled until its delivery is answered.
	untilAnswered bool
}

const (
	routerClose = 10 * time.Second
	// staleAfter is how long a delivery that no caller wants any more stays here
	// before it is given back for other servers.
	staleAfter = 500 * time.Millisecond
	// maxNackDelay is the longest back-off of what is nacked again and again.
	maxNackDelay = 5 * time.Second
)

// nackDelay is the back-off after so many deliveries.
func nackDelay(first time.Duration, deliveries int) time.Duration {
	return core.Backoff(first, maxNackDelay, deliveries-1)
}

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
	routes := b.routes()
	if len(routes) == 0 {
		close(q.ended)
		return q, nil
	}
	for _, r := range routes {
		router.AddConsumerHandler(r.topic, r.topic, r.subscriber, func(msg *message.Message) error { return q.handle(r, msg) })
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
	if len(jobs) == 0 {
		return 0, nil
	}
	messages := ports.Messages(jobs)
	accepted, err := q.backend.publish(ctx, messages, correlationOf(ctx))
	switch {
	case err == nil:
		return len(jobs), nil // what is twice among them is taken as well
	case q.isClosed():
		err = ports.ErrClosed
	}
	return accepted, fmt.Errorf("enqueue: %w", err)
}

// correlationOf gives the correlation ID of a request, or a new one.
func correlationOf(ctx context.Context) string {
	if id, _ := ctx.Value(correlationKey{}).(string); id != "" {
		return id
	}
	return watermill.NewShortUUID()
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
//   - In memory everything is counted exactly, in time in proportion to the messages
//     that wait.
//   - On Postgres it counts the jobs of 10,000 messages, and finds the oldest by jumping
//     from one (tenant, template) to the next, a thousand of them at most. With more of
//     them, Oldest and Taken are of the first thousand.
//   - On JetStream it asks for the streams and for each lane's consumer, at the same
//     cost however many there are. It counts messages, which have up to 250 jobs. Taken
//     are also those that lie ready in a server; while there are such, Oldest may be one
//     of them.
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
		errs = append(errs, d.giveBack(unwanted))
	}
	if len(q.backend.routes()) > 0 {
		errs = append(errs, q.router.Close())
	}
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

// handle is given every message that comes. What cannot be read is put aside and is in
// no other's way.
func (q *Queue) handle(r route, msg *message.Message) error {
	h := q.backend.hold(msg)
	jobs, sent, err := open(msg.Payload)
	if err != nil {
		return q.putAside(r, msg, h, err)
	}
	d := newDelivery(q.inbox, jobs, h, msg.Metadata, sent)
	if !q.inbox.put(d, false) {
		return d.giveBack(unwanted)
	}
	if !r.untilAnswered {
		return nil
	}
	select {
	case <-msg.Acked():
	case <-msg.Nacked():
	case <-msg.Context().Done():
		d.lapse() // the subscriber has given up on it, and delivers it again
		msg.Nack()
	}
	return nil
}

// putAside deals with a message that cannot be read.
func (q *Queue) putAside(r route, msg *message.Message, h holder, err error) error {
	log := q.log.With("message", msg.UUID, "topic", r.topic, "correlation_id", msg.Metadata.Get(middleware.CorrelationIDMetadataKey))
	cause := &unreadable{reason: ReasonUndecodable, err: err}
	errors.As(err, &cause)
	if cause.waits(time.Now()) {
		log.Warn("left a message for a newer server", "error", cause)
		return h.settle(nil, nacked)
	}
	log.Error("a message that cannot be read became a dead letter", "reason", cause.reason, "error", cause)
	letter := DeadLetter{
		MessageID: msg.UUID, Tenant: core.TenantID(msg.Metadata.Get(tenantKey)), Origin: r.topic,
		Reason: cause.reason, Detail: cause.Error(), At: time.Now().UTC(), Metadata: msg.Metadata, Payload: msg.Payload,
	}
	if err := h.toDeadLetter(msg.Context(), letter); err != nil {
		log.Error("the dead letter was not kept; the message comes again", "error", err)
		return h.settle(nil, nacked)
	}
	return nil
}

// tidy gives back what arrived for a caller that has gone, and forgets what was
// not answered in time.
func (q *Queue) tidy() {
	every := min(staleAfter, q.opts.Lease/2)
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-q.closed:
			return
		case now := <-tick.C:
			for _, d := range q.inbox.stale(now.Add(-every)) {
				if err := d.giveBack(unwanted); err != nil {
					q.log.Warn("jobs were not given back; they come again by themselves", "error", err)
				}
			}
			q.inbox.expired(now.Add(-q.opts.Lease))
		}
	}
}
