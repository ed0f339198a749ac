package watermillqueue

import (
	"context"
	"encoding/json"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// pgSubscriber is Watermill's Subscriber over queue_messages. It takes what callers of
// Receive wait for, and no more, by one statement that commits by itself; each row is a
// message of Watermill. That a message is acked only says that it has been handed over:
// the row is answered by the delivery's holder, many at a time.
//
// The one of watermill-sql (v4.1.3) is not used. It keeps a connection with an open
// transaction until a message is acked and hands out the next one only then (8 of them
// with a 10 ms handler did 80 to 96 messages a second), hands rows out before they are
// committed, and takes an error that ends its rows for an empty queue.
type pgSubscriber struct {
	pool    *pgxpool.Pool
	inbox   *inbox
	answers *pgAnswers
	log     *slog.Logger
	opts    Options

	ctx     context.Context // ends with stop
	stop    context.CancelFunc
	done    sync.WaitGroup
	woken   chan struct{} // a token when there may be something new
	delayed timers

	mu     sync.Mutex
	turns  *turns            // who may have messages
	unseen bool              // others may have sent some since the last look
	doubt  bool              // there was nothing of those that are known
	looked time.Time         // when turns were looked up
	cursor ports.TemplateKey // where looking goes on
	ticks  int               // counts takes and looks: what is learned during one is not known to it

	// Of the subscriber's goroutine alone.
	failures int
	moved    time.Time // when queue_jobs was found empty; zero while it was not
}

var _ message.Subscriber = (*pgSubscriber)(nil)

const (
	flowsPage = 1000                   // how many flows are looked up at a time
	lookEvery = 100 * time.Millisecond // how often a busy subscriber looks for new flows
	mostFlows = 100                    // of one take
	movedPage = 1000                   // rows of queue_jobs that are moved at a time
	moveEvery = time.Minute            // how often queue_jobs is looked at once it was empty
)

func newPgSubscriber(pool *pgxpool.Pool, box *inbox, o Options) *pgSubscriber {
	s := &pgSubscriber{pool: pool, inbox: box, log: o.Log, opts: o, woken: make(chan struct{}, 1), turns: newTurns()}
	s.ctx, s.stop = context.WithCancel(context.Background())
	return s
}

// Subscribe implements message.Subscriber.
func (s *pgSubscriber) Subscribe(ctx context.Context, _ string) (<-chan *message.Message, error) {
	out := make(chan *message.Message)
	stop := context.AfterFunc(ctx, s.stop)
	s.done.Go(func() {
		defer stop()
		defer close(out)
		for s.ctx.Err() == nil {
			messages, err := s.next()
			switch {
			case err != nil:
				s.pauseAfter(err)
			case len(messages) == 0:
				s.sleep(s.opts.PollInterval, true)
			default:
				s.failures = 0
				s.handOver(out, messages)
			}
		}
	})
	return out, nil
}

// Close implements message.Subscriber.
func (s *pgSubscriber) Close() error {
	s.stop()
	s.done.Wait()
	return nil
}

// handOver returns when all messages are in the inbox, so that the next ones are what is
// wanted then.
func (s *pgSubscriber) handOver(out chan<- *message.Message, messages []*message.Message) {
	for i, msg := range messages {
		select {
		case out <- msg:
		case <-s.ctx.Done():
			for _, left := range messages[i:] {
				row, _ := left.Context().Value(rowKey{}).(pgRow)
				s.answers.add(row, unwanted)
			}
			messages = messages[:i]
		}
		if len(messages) == i {
			break
		}
	}
	for _, msg := range messages {
		select {
		case <-msg.Acked():
		case <-msg.Nacked(): // its handler failed, and said so; it comes again after the lease
		case <-s.ctx.Done():
		}
	}
}

// next takes what is wanted; nothing if nothing is or there is none. It tries three
// times, since of what was known all may be gone, and of what is found another server may
// be taking everything.
func (s *pgSubscriber) next() ([]*message.Message, error) {
	for try := 0; try < 3 && s.ctx.Err() == nil; try++ {
		want := s.inbox.demand()
		if want.limit == 0 {
			return nil, nil
		}
		want.limit = min(want.limit, s.opts.MaxBatch)
		plan, err := s.plan(want)
		if err != nil || len(plan) == 0 {
			return nil, err
		}
		messages, err := s.take(plan, want.limit)
		if err != nil || len(messages) > 0 {
			return messages, err
		}
	}
	return nil, nil
}

// rowKey finds a message's row in its context.
type rowKey struct{}

// take runs the statement. A stop does not interrupt it: it would not be known then
// whether rows were taken.
func (s *pgSubscriber) take(plan []share, limit int) ([]*message.Message, error) {
	n := len(plan)
	tenants, templates := make([]string, n), make([]string, n)
	jobs, rows := make([]int32, n), make([]int32, n)
	for i, p := range plan {
		tenants[i], templates[i] = string(p.flow.key.Tenant), string(p.flow.key.Template)
		jobs[i], rows[i] = int32(p.jobs), int32(p.limit)
	}
	s.mu.Lock()
	s.ticks++
	tick := s.ticks
	s.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.ctx), statementTimeout)
	defer cancel()
	var taken []*message.Message
	batch := &pgx.Batch{}
	batch.Queue(byIndexSQL)
	batch.Queue(takeSQL, tenants, templates, jobs, rows, limit, s.opts.Lease.Milliseconds()).Query(func(rows pgx.Rows) (err error) {
		taken, err = pgx.CollectRows(rows, messageOf)
		return err
	})
	if err := s.pool.SendBatch(ctx, batch).Close(); err != nil {
		return nil, err
	}
	s.took(plan, limit, taken, tick)
	return taken, nil
}

// messageOf makes the message of a row.
func messageOf(row pgx.CollectableRow) (*message.Message, error) {
	var r pgRow
	var metadata, payload string
	if err := row.Scan(&r.tenant, &r.template, &r.id, &r.seq, &r.jobs, &r.deliveries, &metadata, &payload); err != nil {
		return nil, err
	}
	msg := message.NewMessageWithContext(context.WithValue(context.Background(), rowKey{}, r), r.id.String(), message.Payload(payload))
	if err := json.Unmarshal([]byte(metadata), &msg.Metadata); err != nil {
		msg.Metadata = message.Metadata{"unreadable": metadata} // the jobs may be fine all the same
	}
	msg.Metadata.Set(tenantKey, r.tenant)
	return msg, nil
}

// took notes what a take says about its flows, and puts the messages in the order of
// the plan.
func (s *pgSubscriber) took(plan []share, limit int, taken []*message.Message, tick int) {
	type found struct{ place, messages, jobs int }
	of := make(map[ports.TemplateKey]*found, len(plan))
	for i, p := range plan {
		of[p.flow.key] = &found{place: i}
	}
	rowOf := func(m *message.Message) (pgRow, *found) {
		row, _ := m.Context().Value(rowKey{}).(pgRow)
		return row, of[row.key()]
	}
	all := 0
	for _, m := range taken {
		if row, f := rowOf(m); f != nil {
			f.messages++
			f.jobs += row.jobs
			all += row.jobs
		}
	}
	slices.SortFunc(taken, func(a, b *message.Message) int {
		x, f := rowOf(a)
		y, g := rowOf(b)
		if f != g && f != nil && g != nil {
			return f.place - g.place
		}
		return int(min(max(x.seq-y.seq, -1), 1))
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	s.doubt = all == 0 // another server may have had all of them locked for a moment
	for _, p := range plan {
		switch f := of[p.flow.key]; {
		case f.messages > 0:
			p.flow.size = f.jobs / f.messages
		case all < limit && p.flow.learned < tick: // or it was not looked at
			s.turns.remove(p.flow)
		}
	}
}

func (r pgRow) key() ports.TemplateKey {
	return ports.TemplateKey{Tenant: core.TenantID(r.tenant), Template: core.TemplateID(r.template)}
}

// pauseAfter waits after a fault, longer each time.
func (s *pgSubscriber) pauseAfter(err error) {
	if s.ctx.Err() != nil {
		return
	}
	delay := core.Backoff(100*time.Millisecond, 3*time.Second, s.failures)
	s.log.Warn("the queue cannot be read, will try again", "error", err, "in", delay)
	s.failures++
	s.mu.Lock()
	s.unseen = true
	s.mu.Unlock()
	s.sleep(delay, false)
}

// sleep waits; if it is wakeful, only until there may be something new.
func (s *pgSubscriber) sleep(d time.Duration, wakeful bool) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	wanted, woken := s.inbox.wanted, s.woken
	if !wakeful {
		wanted, woken = nil, nil
	}
	select {
	case <-wanted:
	case <-woken:
	case <-timer.C:
	case <-s.ctx.Done():
	}
}
