package watermillqueue

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	bellChannel = "redrive_queue"
	// bellGap is the least time between two notifications of a server.
	bellGap = 5 * time.Millisecond
	// bellCheck is how often the listener's connection is tried: a network that
	// went silent brings no notification and no error either.
	bellCheck = 30 * time.Second
)

// notifySQL is a statement of its own and not part of publishing: Postgres lets
// only one notifying transaction of a database commit at a time, and that would
// be one publication per flush of the disk.
const notifySQL = `SELECT set_config('synchronous_commit', 'off', true), pg_notify('` + bellChannel + `', $1)`

// pgBell tells other servers that there are jobs, and is told by them.
type pgBell struct {
	pool *pgxpool.Pool
	log  *slog.Logger
	own  string // names this server, which knows of its own jobs already
	told func()

	ctx    context.Context
	cancel context.CancelFunc
	rung   chan struct{} // a token when others have to be told
	loops  sync.WaitGroup
}

func newPgBell(pool *pgxpool.Pool, log *slog.Logger, told func()) *pgBell {
	b := &pgBell{pool: pool, log: log, own: uuid.NewString(), told: told, rung: make(chan struct{}, 1)}
	b.ctx, b.cancel = context.WithCancel(context.Background())
	b.loops.Go(b.notifyLoop)
	b.loops.Go(b.listenLoop)
	return b
}

// ring lets others be told, soon.
func (b *pgBell) ring() {
	select {
	case b.rung <- struct{}{}:
	default:
	}
}

// notifyLoop notifies at once, and then no more often than every bellGap. If that
// fails, others find the jobs when they look by themselves.
func (b *pgBell) notifyLoop() {
	for {
		select {
		case <-b.rung:
		case <-b.ctx.Done():
			select {
			case <-b.rung: // what was given back at the end
				b.notify()
			default:
			}
			return
		}
		b.notify()
		b.pause(bellGap)
	}
}

func (b *pgBell) notify() {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(b.ctx), statementTimeout)
	defer cancel()
	if _, err := b.pool.Exec(ctx, notifySQL, b.own); err != nil {
		b.log.Warn("other servers were not told of new jobs; they will look by themselves", "error", err)
	}
}

// listenLoop keeps a connection that waits for notifications.
func (b *pgBell) listenLoop() {
	for failures := 0; b.ctx.Err() == nil; failures++ {
		connected, err := b.listen()
		if b.ctx.Err() != nil {
			return
		}
		if connected {
			failures = 0
		}
		delay := min(50*time.Millisecond<<min(failures, 6), 2*time.Second)
		b.log.Warn("not listening for new jobs, will try again", "error", err, "in", delay)
		b.pause(delay)
	}
}

// listen listens until it fails.
func (b *pgBell) listen() (connected bool, err error) {
	ctx, cancel := context.WithTimeout(b.ctx, statementTimeout)
	defer cancel()
	conn, err := pgx.ConnectConfig(ctx, b.pool.Config().ConnConfig)
	if err != nil {
		return false, err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(b.ctx), time.Second)
		defer cancel()
		_ = conn.Close(ctx) // it is thrown away
	}()
	if _, err := conn.Exec(ctx, "LISTEN "+bellChannel); err != nil {
		return false, err
	}
	b.told() // of whatever was missed until now
	for {
		wait, cancel := context.WithTimeout(b.ctx, bellCheck)
		n, err := conn.WaitForNotification(wait)
		silent := wait.Err() != nil && b.ctx.Err() == nil
		cancel()
		if silent {
			check, cancel := context.WithTimeout(b.ctx, statementTimeout)
			err = conn.Ping(check)
			cancel()
		}
		if err != nil {
			return true, err
		}
		if !silent && n.Payload != b.own {
			b.told()
		}
	}
}

func (b *pgBell) pause(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-b.ctx.Done():
	}
}

func (b *pgBell) close() {
	b.cancel()
	b.loops.Wait()
}
