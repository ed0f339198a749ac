package watermillqueue

import (
	"context"
	"errors"
	"fmt"

	wsql "github.com/ThreeDotsLabs/watermill-sql/v4/pkg/sql"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// publishChunk bounds the messages of one statement, so that none takes long.
const publishChunk = 1_000

// pgBackend carries messages in a table of Postgres: publisher → queue_messages →
// subscriber → a delivery's pgHolder → answers.
type pgBackend struct {
	opts       Options
	pool       *pgxpool.Pool
	owned      bool
	publisher  *wsql.Publisher
	subscriber *pgSubscriber
	answers    *pgAnswers
	notifier   *pgNotifier
	letters    *pgDead
}

var _ backend = (*pgBackend)(nil)

// OpenPostgres makes a queue in the database of a pool that exists already, which
// it leaves open. It needs one or two connections of the pool at a time, each for
// one short statement, and one of its own to be notified by. The tables are made by
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
	box := newInbox()
	b := &pgBackend{opts: o, pool: pool, owned: owned}
	b.subscriber = newPgSubscriber(pool, box, o)
	b.notifier = newPgNotifier(pool, o.Log, b.subscriber.learn)
	b.answers = newPgAnswers(pool, o, func(given givenBack) {
		b.subscriber.later(given)
		b.notifier.notify(given.atOnce())
	})
	b.subscriber.answers = b.answers
	b.letters = &pgDead{pool: pool, requeued: func() {
		b.subscriber.learn(nil)
		b.notifier.notify(nil)
	}}
	b.publisher, err = wsql.NewPublisher(pgInserter{pool, o.CommitAsync}, wsql.PublisherConfig{SchemaAdapter: pgSchema{}}, logger{o.Log})
	if err != nil {
		return nil, fmt.Errorf("watermillqueue: %w", err)
	}
	return start(b, box, o)
}

func (b *pgBackend) publish(ctx context.Context, messages [][]core.Job, correlation string) (accepted int, err error) {
	for len(messages) > 0 {
		chunk := messages[:min(len(messages), publishChunk)]
		messages = messages[len(chunk):]
		msgs, err := sealAll(ctx, chunk, correlation)
		if err != nil {
			return accepted, err
		}
		jobs := 0
		flows := map[ports.TemplateKey]bool{}
		for _, m := range chunk {
			jobs += len(m)
			flows[ports.TemplateKey{Tenant: m[0].Tenant, Template: m[0].Template}] = true
		}
		// A row that was acked and is not deleted yet would swallow the same jobs.
		if err := b.answers.settled(ctx, msgs); err != nil {
			return accepted, err
		}
		if err := b.publisher.Publish(b.opts.Topic, msgs...); err != nil {
			return accepted, err
		}
		accepted += jobs
		b.subscriber.learn(flows)
		b.notifier.notify(flows)
	}
	return accepted, nil
}

// sealAll makes messages that say how many jobs they have.
func sealAll(ctx context.Context, messages [][]core.Job, correlation string) (msgs []*message.Message, err error) {
	msgs = make([]*message.Message, len(messages))
	for i, m := range messages {
		if msgs[i], err = seal(ctx, m, correlation); err != nil {
			return nil, err
		}
		setJobs(msgs[i], len(m))
	}
	return msgs, nil
}

func (b *pgBackend) routes() []route { return []route{{topic: b.opts.Topic, subscriber: b.subscriber}} }

func (b *pgBackend) hold(msg *message.Message) holder {
	row, _ := msg.Context().Value(rowKey{}).(pgRow)
	return &pgHolder{b, row}
}

// pgHolder is a row that is in this server's hands.
type pgHolder struct {
	*pgBackend
	row pgRow
}

var _ holder = (*pgHolder)(nil)

func (h *pgHolder) settle(_ []core.Job, a answer) error {
	h.answers.add(h.row, a)
	return nil
}

func (h *pgHolder) release(ctx context.Context, kept, out []core.Job) error {
	keeps, err := seal(ctx, kept, "")
	if err != nil {
		return err
	}
	rest, err := seal(ctx, out, "")
	if err != nil {
		return err
	}
	row := h.row
	row.id, row.jobs = messageID(kept), len(kept)
	err = h.answers.split(ctx, &split{
		whole: h.row, kept: row, keptPayload: string(keeps.Payload),
		restID: messageID(out), restJobs: len(out), restPayload: string(rest.Payload),
	})
	if err == nil {
		h.row = row
	}
	return err
}

func (h *pgHolder) toDeadLetter(ctx context.Context, l DeadLetter) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), statementTimeout)
	defer cancel()
	_, err := h.pool.Exec(ctx, burySQL, h.row.tenant, h.row.id, h.row.seq, l.Origin, l.Reason, l.Detail, l.At)
	return err
}

func (b *pgBackend) dead() DeadLetters { return b.letters }

// ready looks without writing. That a table is not there is an error of the query.
func (b *pgBackend) ready(ctx context.Context) error {
	const sql = `
SELECT pg_is_in_recovery() OR current_setting('transaction_read_only') = 'on',
       has_table_privilege('queue_messages', 'INSERT, UPDATE, DELETE') AND has_table_privilege('queue_dead', 'INSERT')`
	conn, err := b.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	var readOnly, allowed bool
	if err := conn.QueryRow(ctx, sql).Scan(&readOnly, &allowed); err != nil {
		return fmt.Errorf("its tables cannot be used; run 'redrive migrate' on its database: %w", err)
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

func (b *pgBackend) stop() { b.subscriber.stop() }

func (b *pgBackend) close() error {
	err := errors.Join(b.answers.close(), b.publisher.Close())
	b.subscriber.delayed.stop()
	b.notifier.close()
	if b.owned {
		b.pool.Close()
	}
	return err
}
