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
	looked time.Time         // when turns were looked up
	cursor ports.TemplateKey // where looking goes on

	// Of the subscriber's goroutine alone.
	failures int
	moved    time.Time // when the table of before was found empty; zero while it was not
}

var _ message.Subscriber = (*pgSubscriber)(nil)

const (
	flowsPage  = 1000                   // how many flows are looked up at a time
	lookEvery  = 100 * time.Millisecond // how often a busy subscriber looks for new flows
	mostFlows  = 100                    // of one take
	movedPage  = 1000                   // rows of before that are moved at a time
	moveEvery  = time.Minute            // how often the table of before is looked at once it was empty
	mostMisses = 2                      // after so many takes that found nothing a flow is over
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

// next takes what is wanted; nothing if nothing is or there is none.
func (s *pgSubscriber) next() ([]*message.Message, error) {
	for s.ctx.Err() == nil {
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

// share is how many jobs of a flow may be taken now.
type share struct {
	flow        *flow
	jobs, limit int // limit: rows to look at
}

// plan says what to take. Whose messages there are is looked up only when it is not
// known: when none of those who are known has any, when others may have sent some, and
// now and then, because a notification can get lost and what a dead server had in hand
// becomes free without one.
func (s *pgSubscriber) plan(want demand) ([]share, error) {
	s.mu.Lock()
	plan := s.shares(want)
	age := time.Since(s.looked)
	look := age >= s.opts.PollInterval || s.unseen && (len(plan) == 0 || age >= lookEvery)
	if !look {
		s.mu.Unlock()
		return plan, nil
	}
	s.unseen = false
	from := s.cursor
	s.mu.Unlock()
	if err := s.lookUp(from); err != nil {
		return nil, err
	}
	if len(plan) > 0 {
		return plan, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.shares(want), nil
}

// shares divides what is wanted among those whose turn it is. The caller holds mu.
func (s *pgSubscriber) shares(want demand) (plan []share) {
	skipped := newSkipSet(want.skip)
	part := s.turns.share(want.limit)
	for planned := 0; planned < want.limit && len(plan) < mostFlows; {
		f := s.turns.pick(skipped)
		if f == nil || slices.ContainsFunc(plan, func(p share) bool { return p.flow == f }) {
			break
		}
		jobs := min(part, want.limit)
		plan = append(plan, share{f, jobs, (jobs + max(f.size, 1) - 1) / max(f.size, 1)})
		planned += max(jobs, f.size)
	}
	return plan
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
	s.took(plan, limit, taken)
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
func (s *pgSubscriber) took(plan []share, limit int, taken []*message.Message) {
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
	for _, p := range plan {
		switch f := of[p.flow.key]; {
		case f.messages > 0:
			p.flow.size, p.flow.misses = f.jobs/f.messages, 0
		case all < limit: // or others were first
			// Another server may have had them locked for a moment, so look twice.
			if p.flow.misses++; p.flow.misses >= mostMisses {
				s.turns.remove(p.flow)
			}
		}
	}
}

func (r pgRow) key() ports.TemplateKey {
	return ports.TemplateKey{Tenant: core.TenantID(r.tenant), Template: core.TemplateID(r.template)}
}

// lookUp finds out who has messages, or takes over those of servers of before: one
// statement but for the first time, so that an idle server sends no more than one every
// PollInterval.
func (s *pgSubscriber) lookUp(from ports.TemplateKey) error {
	ctx, cancel := context.WithTimeout(s.ctx, statementTimeout)
	defer cancel()
	s.mu.Lock()
	s.looked = time.Now()
	s.mu.Unlock()
	if first := s.moved.IsZero(); first || time.Since(s.moved) >= moveEvery {
		if err := s.move(ctx); err != nil || !first {
			return err
		}
	}
	// The plan is made anew each time, so it goes by how much there is now.
	rows, err := s.pool.Query(ctx, flowsSQL, pgx.QueryExecModeExec, string(from.Tenant), string(from.Template), flowsPage)
	if err != nil {
		return err
	}
	type found struct {
		key  ports.TemplateKey
		free bool
	}
	flows, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (f found, err error) {
		return f, row.Scan(&f.key.Tenant, &f.key.Template, &f.free)
	})
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cursor = ports.TemplateKey{}
	if len(flows) == flowsPage {
		s.cursor, s.unseen = flows[flowsPage-1].key, true
	}
	for _, f := range flows {
		if f.free {
			s.turns.add(f.key).misses = 0
		}
	}
	return nil
}

// move takes over messages of servers of before.
func (s *pgSubscriber) move(ctx context.Context) error {
	rows, err := s.pool.Query(ctx, moveSQL, pgx.QueryExecModeExec, movedPage)
	if err != nil {
		return err
	}
	moved := 0
	flows := map[ports.TemplateKey]bool{}
	_, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (n int, err error) {
		var key ports.TemplateKey
		err = row.Scan(&key.Tenant, &key.Template, &n)
		flows[key] = true
		moved += n
		return n, err
	})
	if err != nil {
		return err
	}
	if moved == 0 {
		s.moved = time.Now()
		return nil
	}
	s.learn(flows)
	return nil
}

// learn notes who has messages now; nil if this is not known.
func (s *pgSubscriber) learn(flows map[ports.TemplateKey]bool) {
	s.mu.Lock()
	if len(flows) == 0 {
		s.unseen = true
	}
	for key := range flows {
		s.turns.add(key).misses = 0
	}
	s.mu.Unlock()
	token(s.woken)
}

// later looks at what was given back once it is free again.
func (s *pgSubscriber) later(given givenBack) {
	for key, delay := range given {
		flows := map[ports.TemplateKey]bool{key: true}
		if delay == 0 {
			s.learn(flows)
			continue
		}
		s.delayed.after(delay, func() { s.learn(flows) })
	}
}

// pauseAfter waits after a fault, longer each time.
func (s *pgSubscriber) pauseAfter(err error) {
	if s.ctx.Err() != nil {
		return
	}
	delay := min(100*time.Millisecond<<min(s.failures, 6), 3*time.Second)
	s.log.Warn("the queue cannot be read, will try again", "error", err, "in", delay)
	s.failures++
	s.mu.Lock()
	s.unseen = true
	s.mu.Unlock()
	s.sleep(delay, false)
}

// sleep waits, if it is told to only until there may be something new.
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
