package watermillqueue

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

const (
	answerLinger = 2 * time.Millisecond // how long answers wait for company
	answerChunk  = 5_000                // answers of one statement
	answerPause  = 500 * time.Millisecond
	maxNackDelay = 5 * time.Second
)

// pgAnswers tells Postgres what was acked and given back, many rows at a time.
// An answer that gets lost with the process only means that the job is delivered
// again.
type pgAnswers struct {
	pool *pgxpool.Pool
	log  *slog.Logger
	opts Options
	back func(givenBack) // told after rows were given back

	mu      sync.Mutex
	waiting []rowAnswer
	acked   map[[16]byte]struct{} // acked, and maybe not deleted yet
	flushed chan struct{}         // closed and replaced after each flush
	closing bool

	more   chan struct{} // a token when something waits
	hurry  chan struct{} // a token when somebody waits for it
	closed chan struct{}
	done   chan struct{}
}

// rowAnswer is a row with its answer.
type rowAnswer struct {
	takenRow
	answer answer
}

// givenBack says after what time rows of whom are free.
type givenBack map[ports.TemplateKey]time.Duration

func newPgAnswers(pool *pgxpool.Pool, o Options, back func(givenBack)) *pgAnswers {
	a := &pgAnswers{
		pool: pool, log: o.Log, opts: o, back: back,
		acked: map[[16]byte]struct{}{}, flushed: make(chan struct{}),
		more: make(chan struct{}, 1), hurry: make(chan struct{}, 1), closed: make(chan struct{}), done: make(chan struct{}),
	}
	go a.run()
	return a
}

func (a *pgAnswers) add(row takenRow, with answer) {
	row.payload, row.metadata = "", "" // not needed any more
	a.mu.Lock()
	a.waiting = append(a.waiting, rowAnswer{row, with})
	if with == acked {
		a.acked[row.messageID] = struct{}{}
	}
	a.mu.Unlock()
	select {
	case a.more <- struct{}{}:
	default:
	}
}

// settled waits until none of these jobs is acked and still has its row.
func (a *pgAnswers) settled(ctx context.Context, jobs []core.Job) error {
	for {
		a.mu.Lock()
		flushed, unsettled := a.flushed, false
		if len(a.acked) > 0 {
			for _, job := range jobs {
				if _, unsettled = a.acked[messageID(job)]; unsettled {
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
		select {
		case a.hurry <- struct{}{}:
		default:
		}
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

// wait waits for company, shorter if somebody is in a hurry. It reports whether
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

// flush tells Postgres everything that waits. What it could not tell still waits.
func (a *pgAnswers) flush(ctx context.Context) error {
	for {
		a.mu.Lock()
		n := min(len(a.waiting), answerChunk)
		part := a.waiting[:n:n]
		a.mu.Unlock()
		if n == 0 {
			return nil
		}
		if err := a.tell(ctx, part); err != nil {
			a.log.Warn("answers to deliveries are not in the queue yet, will try again", "answers", n, "error", err)
			return err
		}
		given := a.told(part)
		if len(given) > 0 {
			a.back(given)
		}
	}
}

// told drops answers that were told.
func (a *pgAnswers) told(part []rowAnswer) givenBack {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.waiting = a.waiting[len(part):]; len(a.waiting) == 0 {
		a.waiting = nil
	}
	given := givenBack{}
	for _, r := range part {
		if r.answer == acked {
			delete(a.acked, r.messageID)
			continue
		}
		key := ports.TemplateKey{Tenant: core.TenantID(r.tenant), Template: core.TemplateID(r.template)}
		given[key] = max(given[key], a.delay(r))
	}
	close(a.flushed)
	a.flushed = make(chan struct{})
	return given
}

func (a *pgAnswers) delay(r rowAnswer) time.Duration {
	if r.answer == released {
		return 0
	}
	return min(a.opts.NackDelay<<min(max(r.deliveries-1, 0), 10), maxNackDelay)
}

func (a *pgAnswers) tell(ctx context.Context, part []rowAnswer) error {
	ctx, cancel := context.WithTimeout(ctx, statementTimeout)
	defer cancel()
	var ackTenants, tenants []string
	var ackIDs, ids [][16]byte
	var ackSeqs, seqs, delays []int64
	var deliveries, uncounted []int32
	for _, r := range part {
		if r.answer == acked {
			ackTenants, ackIDs, ackSeqs = append(ackTenants, r.tenant), append(ackIDs, r.messageID), append(ackSeqs, r.seq)
			continue
		}
		tenants, ids, seqs = append(tenants, r.tenant), append(ids, r.messageID), append(seqs, r.seq)
		deliveries, delays = append(deliveries, r.deliveries), append(delays, a.delay(r).Milliseconds())
		seen := int32(0)
		if r.answer == released {
			seen = 1
		}
		uncounted = append(uncounted, seen)
	}
	batch := &pgx.Batch{}
	batch.Queue(byIndexSQL)
	batch.Queue(asyncSQL)
	if len(ackIDs) > 0 {
		batch.Queue(ackSQL, ackTenants, ackIDs, ackSeqs)
	}
	if len(ids) > 0 {
		batch.Queue(giveBackSQL, tenants, ids, seqs, deliveries, delays, uncounted)
	}
	return a.pool.SendBatch(ctx, batch).Close()
}

// close tells what still waits.
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
