package watermillqueue

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/redrive/redrive/ports"
)

const (
	answerLinger = 2 * time.Millisecond // how long answers wait for others to go with
	answerChunk  = 5_000                // answers of one statement
	answerPause  = 500 * time.Millisecond
)

// pgAnswers sends Postgres what was acked, given back and split, many rows at a time.
// An answer that gets lost with the process only means that the message is delivered
// again.
type pgAnswers struct {
	pool *pgxpool.Pool
	log  *slog.Logger
	opts Options
	back func(givenBack) // called after rows were given back

	mu      sync.Mutex
	waiting []rowAnswer
	splits  []*split
	acked   map[uuid.UUID]struct{} // acked, and maybe not deleted yet
	flushed chan struct{}          // closed and replaced after each flush
	closing bool

	more   chan struct{} // a token when something waits
	hurry  chan struct{} // a token when a caller waits for it
	closed chan struct{}
	done   chan struct{}
}

// rowAnswer is a row with its answer.
type rowAnswer struct {
	pgRow
	answer answer
}

// split is a row that makes way for two.
type split struct {
	whole, kept pgRow
	keptPayload string
	restID      uuid.UUID
	restJobs    int
	restPayload string
	done        chan error // has room for one
}

// givenBack says after what time rows of whom are free.
type givenBack map[ports.TemplateKey]time.Duration

// atOnce lists those that are free now.
func (g givenBack) atOnce() map[ports.TemplateKey]bool {
	flows := map[ports.TemplateKey]bool{}
	for key, delay := range g {
		if delay == 0 {
			flows[key] = true
		}
	}
	return flows
}

func newPgAnswers(pool *pgxpool.Pool, o Options, back func(givenBack)) *pgAnswers {
	a := &pgAnswers{
		pool: pool, log: o.Log, opts: o, back: back,
		acked: map[uuid.UUID]struct{}{}, flushed: make(chan struct{}),
		more: make(chan struct{}, 1), hurry: make(chan struct{}, 1), closed: make(chan struct{}), done: make(chan struct{}),
	}
	go a.run()
	return a
}

func (a *pgAnswers) add(row pgRow, with answer) {
	a.mu.Lock()
	a.waiting = append(a.waiting, rowAnswer{row, with})
	if with == acked {
		a.acked[row.id] = struct{}{}
	}
	a.mu.Unlock()
	token(a.more)
}

// split returns when the row has made way for two, or with the error for which it has not.
func (a *pgAnswers) split(ctx context.Context, s *split) error {
	s.done = make(chan error, 1)
	a.mu.Lock()
	if a.closing {
		a.mu.Unlock()
		return ports.ErrClosed
	}
	a.splits = append(a.splits, s)
	a.mu.Unlock()
	token(a.more)
	token(a.hurry) // until then the jobs are missing in their tenant's turn
	select {
	case err := <-s.done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// settled waits until none of these messages is acked and still has its row.
func (a *pgAnswers) settled(ctx context.Context, msgs []*message.Message) error {
	for {
		a.mu.Lock()
		flushed, unsettled := a.flushed, false
		if len(a.acked) > 0 {
			for _, msg := range msgs {
				id, err := uuid.Parse(msg.UUID)
				if _, there := a.acked[id]; err == nil && there {
					unsettled = true
					break
				}
			}
		}
		closing := a.closing
		a.mu.Unlock()
		if !unsettled {
			return nil
		}
		if closing {
			return ports.ErrClosed
		}
		token(a.hurry)
		select {
		case <-flushed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (a *pgAnswers) run() {
	defer close(a.done)
	for {
		select {
		case <-a.more:
		case <-a.closed:
			return
		}
		a.wait(answerLinger)
		for a.flush(context.Background()) != nil && a.wait(answerPause) {
		}
	}
}

// wait waits for more answers, shorter if a caller waits for them. It reports whether
// the queue is still open.
func (a *pgAnswers) wait(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-a.hurry:
	case <-a.closed:
		return false
	}
	return true
}

// flush sends Postgres everything that waits. What it could not send still waits, but
// for splits, whose callers get the error.
func (a *pgAnswers) flush(ctx context.Context) error {
	for {
		a.mu.Lock()
		n := min(len(a.waiting), answerChunk)
		part := a.waiting[:n:n]
		splits := a.splits
		a.splits = nil
		a.mu.Unlock()
		if n == 0 && len(splits) == 0 {
			return nil
		}
		err := a.send(ctx, part, splits)
		var given givenBack
		if err == nil {
			given = a.sent(part, splits)
		}
		for _, s := range splits {
			s.done <- err
		}
		if err != nil {
			a.log.Warn("answers to deliveries are not in the queue yet, will try again", "answers", n, "error", err)
			return err
		}
		if len(given) > 0 {
			a.back(given)
		}
	}
}

// sent drops answers that were sent.
func (a *pgAnswers) sent(part []rowAnswer, splits []*split) givenBack {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.waiting = a.waiting[len(part):]; len(a.waiting) == 0 {
		a.waiting = nil
	}
	given := givenBack{}
	for _, s := range splits {
		given[s.whole.key()] = 0
	}
	for _, r := range part {
		if r.answer == acked {
			delete(a.acked, r.id)
			continue
		}
		delay := a.delay(r)
		if known, there := given[r.key()]; !there || delay < known {
			given[r.key()] = delay
		}
	}
	close(a.flushed)
	a.flushed = make(chan struct{})
	return given
}

func (a *pgAnswers) delay(r rowAnswer) time.Duration {
	if r.answer == nacked {
		return nackDelay(a.opts.NackDelay, int(r.deliveries))
	}
	return 0
}

func (a *pgAnswers) send(ctx context.Context, part []rowAnswer, splits []*split) error {
	ctx, cancel := context.WithTimeout(ctx, statementTimeout)
	defer cancel()
	var acks, gives rowColumns
	var delays []int64
	var uncounted []int32
	for _, r := range part {
		if r.answer == acked {
			acks.add(r.pgRow)
			continue
		}
		gives.add(r.pgRow)
		delays = append(delays, a.delay(r).Milliseconds())
		seen := int32(1)
		if r.answer == nacked {
			seen = 0
		}
		uncounted = append(uncounted, seen)
	}
	batch := &pgx.Batch{}
	batch.Queue(byIndexSQL)
	if len(acks.ids) > 0 {
		batch.Queue(ackSQL, acks.tenants, acks.ids, acks.seqs)
	}
	if len(gives.ids) > 0 {
		batch.Queue(giveBackSQL, gives.tenants, gives.ids, gives.seqs, gives.deliveries, delays, uncounted)
	}
	if len(splits) > 0 {
		queueSplits(batch, splits)
	}
	return a.pool.SendBatch(ctx, batch).Close()
}

func queueSplits(batch *pgx.Batch, splits []*split) {
	var whole rowColumns
	var keptIDs, restIDs []uuid.UUID
	var keptJobs, restJobs []int32
	var kept, rest []string
	for _, s := range splits {
		whole.add(s.whole)
		keptIDs, restIDs = append(keptIDs, s.kept.id), append(restIDs, s.restID)
		keptJobs, restJobs = append(keptJobs, int32(s.kept.jobs)), append(restJobs, int32(s.restJobs))
		kept, rest = append(kept, s.keptPayload), append(rest, s.restPayload)
	}
	batch.Queue(splitSQL, whole.tenants, whole.ids, whole.seqs, whole.deliveries, keptIDs, keptJobs, kept, restIDs, restJobs, rest)
}

// rowColumns name rows in a statement.
type rowColumns struct {
	tenants    []string
	ids        []uuid.UUID
	seqs       []int64
	deliveries []int32
}

func (c *rowColumns) add(r pgRow) {
	c.tenants, c.ids = append(c.tenants, r.tenant), append(c.ids, r.id)
	c.seqs, c.deliveries = append(c.seqs, r.seq), append(c.deliveries, r.deliveries)
}

// close sends what still waits.
func (a *pgAnswers) close() error {
	a.mu.Lock()
	a.closing = true
	a.mu.Unlock()
	close(a.closed)
	<-a.done
	ctx, cancel := context.WithTimeout(context.Background(), statementTimeout)
	defer cancel()
	if err := a.flush(ctx); err != nil {
		return fmt.Errorf("jobs come again when their leases have run out: %w", err)
	}
	return nil
}
