package watermillqueue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	wsql "github.com/ThreeDotsLabs/watermill-sql/v4/pkg/sql"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// publishChunk bounds the jobs of one statement, so that none takes long.
const publishChunk = 10_000

// pgBackend carries jobs in a table of Postgres, see migration 00003_queue.sql.
type pgBackend struct {
	opts       Options
	pool       *pgxpool.Pool
	owned      bool
	publisher  *wsql.Publisher
	subscriber *wsql.Subscriber
	feed       *pgFeed
	answers    *pgAnswers
	bell       *pgBell
	letters    *pgDead
}

var (
	_ backend = (*pgBackend)(nil)
	_ holder  = (*pgBackend)(nil)
)

// OpenPostgres makes a queue in the database of a pool that exists already, which
// it leaves open. It needs one or two connections of the pool at a time, each for
// one short statement, and one of its own to be woken by. The tables are made by
// the migrations of package postgres. It does not connect, so a server can start
// while its database is away.
func OpenPostgres(pool *pgxpool.Pool, o Options) (*Queue, error) { return openPostgres(pool, false, o) }

// openPostgresURL makes a queue with a pool of its own.
func openPostgresURL(ctx context.Context, url string, o Options) (*Queue, error) {
	pool, err := pgxpool.New(ctx, url)
	if err != nil {
		return nil, fmt.Errorf("watermillqueue: %w", err) // pgx keeps the password out of it
	}
	q, err := openPostgres(pool, true, o)
	if err != nil {
		pool.Close()
	}
	return q, err
}

func openPostgres(pool *pgxpool.Pool, owned bool, o Options) (*Queue, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	box := newInbox(1)
	b := &pgBackend{opts: o, pool: pool, owned: owned}
	b.feed = newPgFeed(pool, box, o)
	b.bell = newPgBell(pool, o.Log, b.feed.ring)
	b.answers = newPgAnswers(pool, o, func(given givenBack) {
		b.feed.later(given)
		b.bell.ring()
	})
	b.letters = &pgDead{pool: pool, requeued: func() {
		b.feed.ring()
		b.bell.ring()
	}}
	db := pgBeginner{pool: pool, feed: b.feed, async: o.CommitAsync}
	schema := pgSchema{b.feed}
	if b.publisher, err = wsql.NewPublisher(db, wsql.PublisherConfig{SchemaAdapter: schema}, logger{o.Log}); err != nil {
		return nil, fmt.Errorf("watermillqueue: %w", err)
	}
	b.subscriber, err = wsql.NewSubscriber(db, wsql.SubscriberConfig{
		SchemaAdapter: schema, OffsetsAdapter: pgOffsets{}, BackoffManager: b.feed,
		ResendInterval: o.NackDelay,
	}, logger{o.Log})
	if err != nil {
		return nil, fmt.Errorf("watermillqueue: %w", err)
	}
	return start(b, box, o)
}

func (b *pgBackend) publish(ctx context.Context, jobs []core.Job, correlation string) (int, error) {
	accepted := 0
	for from := 0; from < len(jobs); from += publishChunk {
		chunk := jobs[from:min(from+publishChunk, len(jobs))]
		msgs, err := seal(ctx, chunk, correlation)
		if err != nil {
			return accepted, err
		}
		// A row that was acked and is not deleted yet would swallow the same job.
		if err := b.answers.settled(ctx, chunk); err != nil {
			return accepted, err
		}
		if err := b.publisher.Publish(b.opts.Topic, msgs...); err != nil {
			return accepted, err
		}
		accepted += len(chunk)
		b.feed.published(chunk)
		b.bell.ring()
	}
	return accepted, nil
}

func (b *pgBackend) routes() []route { return []route{{b.opts.Topic, b.subscriber}} }

func (b *pgBackend) unpack(_ int, msg *message.Message) []parcel {
	rows := b.feed.collect(msg.UUID)
	parcels := make([]parcel, len(rows))
	known := map[string]message.Metadata{}
	for i, r := range rows {
		m, there := known[r.metadata]
		if !there {
			if err := json.Unmarshal([]byte(r.metadata), &m); err != nil {
				m = message.Metadata{"unreadable": r.metadata} // the job may be fine all the same
			}
			known[r.metadata] = m
		}
		parcels[i] = parcel{
			messageID: uuid.UUID(r.messageID).String(), payload: []byte(r.payload), metadata: m,
			origin: "queue_jobs", holder: b, tag: rows[i],
		}
	}
	return parcels
}

func (b *pgBackend) handedOver(*message.Message, []*delivery) error { return nil }

func (b *pgBackend) settle(p *parcel, a answer) error {
	row, ok := p.tag.(takenRow)
	if !ok {
		return errors.New("watermillqueue: not a delivery of this queue")
	}
	b.answers.add(row, a)
	return nil
}

func (b *pgBackend) bury(ctx context.Context, p *parcel, l DeadLetter) error {
	row, ok := p.tag.(takenRow)
	if !ok {
		return errors.New("watermillqueue: not a delivery of this queue")
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), statementTimeout)
	defer cancel()
	_, err := b.pool.Exec(ctx, burySQL, row.tenant, row.messageID, row.seq, l.Origin, l.Reason, l.Detail, l.At)
	return err
}

func (b *pgBackend) dead() DeadLetters { return b.letters }

// ready looks without writing. That a table is not there is an error of the query.
func (b *pgBackend) ready(ctx context.Context) error {
	const sql = `
SELECT pg_is_in_recovery() OR current_setting('transaction_read_only') = 'on',
       has_table_privilege('queue_jobs', 'INSERT, UPDATE, DELETE') AND has_table_privilege('queue_dead', 'INSERT')`
	conn, err := b.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	var readOnly, allowed bool
	if err := conn.QueryRow(ctx, sql).Scan(&readOnly, &allowed); err != nil {
		return fmt.Errorf("its tables cannot be used; run 'server migrate' on its database: %w", err)
	}
	switch {
	case readOnly:
		// Another connection may lead to where writes are taken by now. An error is
		// a connection that is gone.
		_ = conn.Conn().Close(ctx)
		return errors.New("its database is read-only")
	case !allowed:
		return errors.New("its tables may not be written by this role; grant it INSERT, UPDATE and DELETE")
	}
	return nil
}

func (b *pgBackend) stop() { b.feed.cancel() }

func (b *pgBackend) close() error {
	for _, row := range b.feed.uncollected() {
		b.answers.add(row, released)
	}
	err := errors.Join(b.answers.close(), b.publisher.Close())
	b.feed.delayed.stop()
	b.bell.close()
	if b.owned {
		b.pool.Close()
	}
	return err
}

// pgFeed decides when and what the subscriber takes: it is the subscriber's
// BackoffManager, which is asked after every query how long to wait for the next.
type pgFeed struct {
	pool  *pgxpool.Pool
	inbox *inbox
	log   *slog.Logger
	opts  Options

	ctx     context.Context // ends with the queue
	cancel  context.CancelFunc
	woken   chan struct{} // a token when there may be something new
	delayed timers

	mu      sync.Mutex
	flows   *flows                // who may have jobs
	unseen  bool                  // somebody else may have sent jobs since the last look
	looked  time.Time             // when flows were looked up
	cursor  ports.TemplateKey     // where looking goes on
	batches map[string][]takenRow // taken and not yet unpacked, by message

	// Of the subscriber's goroutine alone.
	plan     []share
	failures int
}

const (
	flowsPage = 1000                   // how many flows are looked up at a time
	lookEvery = 100 * time.Millisecond // how often a busy feed looks for new flows
)

func newPgFeed(pool *pgxpool.Pool, box *inbox, o Options) *pgFeed {
	f := &pgFeed{
		pool: pool, inbox: box, log: o.Log, opts: o,
		woken: make(chan struct{}, 1), flows: newFlows(), batches: map[string][]takenRow{},
	}
	f.ctx, f.cancel = context.WithCancel(context.Background())
	return f
}

// takeQuery gives the query for what was planned.
func (f *pgFeed) takeQuery() wsql.Query {
	if len(f.plan) == 0 {
		return wsql.Query{}
	}
	n := len(f.plan)
	tenants, templates := make([]string, n), make([]string, n)
	after, limits := make([]int64, n), make([]int32, n)
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, s := range f.plan {
		tenants[i], templates[i] = string(s.flow.key.Tenant), string(s.flow.key.Template)
		after[i], limits[i] = s.flow.after, int32(s.limit)
		s.flow.fresh = false
	}
	return wsql.Query{Query: takeSQL, Args: []any{tenants, templates, after, limits, f.opts.Lease.Milliseconds()}}
}

// take runs the query and gives the name of the batch, empty if there was nothing.
func (f *pgFeed) take(ctx context.Context, query string, args []any) (string, error) {
	rows, err := queryRows(ctx, f.pool, query, args)
	if err != nil {
		return "", err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.learn(rows)
	if len(rows) == 0 {
		return "", nil
	}
	id := uuid.NewString()
	f.batches[id] = rows
	return id, nil
}

// learn notes what a take says about its flows. The caller holds the mutex.
func (f *pgFeed) learn(rows []takenRow) {
	type seen struct {
		count int
		last  int64
	}
	of := make(map[ports.TemplateKey]seen, len(f.plan))
	for _, r := range rows {
		key := ports.TemplateKey{Tenant: core.TenantID(r.tenant), Template: core.TemplateID(r.template)}
		s := of[key]
		of[key] = seen{s.count + 1, max(s.last, r.seq)}
	}
	for _, s := range f.plan {
		switch got := of[s.flow.key]; {
		case got.count >= s.limit:
			// There may be more. Going on behind it spares a walk over the index
			// entries of what is deleted and not vacuumed.
			s.flow.after = got.last
		case s.flow.after > 0 || s.flow.fresh:
			s.flow.after = 0 // what was given back stands before it
		default:
			f.flows.remove(s.flow)
		}
	}
	f.plan = nil
}

// collect gives the rows of a message, once.
func (f *pgFeed) collect(id string) []takenRow {
	f.mu.Lock()
	defer f.mu.Unlock()
	rows := f.batches[id]
	delete(f.batches, id)
	return rows
}

// uncollected gives the rows that Watermill dropped because it was being closed.
func (f *pgFeed) uncollected() []takenRow {
	f.mu.Lock()
	defer f.mu.Unlock()
	var all []takenRow
	for _, rows := range f.batches {
		all = append(all, rows...)
	}
	clear(f.batches)
	return all
}

// published notes who has jobs now.
func (f *pgFeed) published(jobs []core.Job) {
	f.mu.Lock()
	var last ports.TemplateKey
	for i, job := range jobs {
		if key := (ports.TemplateKey{Tenant: job.Tenant, Template: job.Template}); i == 0 || key != last {
			f.flows.add(key).fresh = true
			last = key
		}
	}
	f.mu.Unlock()
	f.wake()
}

// later looks at what was given back once it is free again.
func (f *pgFeed) later(given givenBack) {
	for key, delay := range given {
		f.delayed.after(delay, func() {
			f.mu.Lock()
			flow := f.flows.add(key)
			flow.fresh, flow.after = true, 0
			f.mu.Unlock()
			f.wake()
		})
	}
}

// ring notes that somebody may have sent jobs.
func (f *pgFeed) ring() {
	f.mu.Lock()
	f.unseen = true
	f.mu.Unlock()
	f.wake()
}

func (f *pgFeed) wake() {
	select {
	case f.woken <- struct{}{}:
	default:
	}
}
