package watermillqueue

import (
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

const (
	notifyChannel = "redrive_messages"
	// notifyGap is the least time between two notifications of a server.
	notifyGap = 5 * time.Millisecond
	// notifyMost bounds a notification, of which Postgres takes up to 8,000 bytes. One
	// that would be longer only says that there is something.
	notifyMost = 4_000
	// listenCheck is how often the listener's connection is tried: a network that
	// went silent brings no notification and no error either.
	listenCheck = 30 * time.Second
)

// notifySQL is a statement of its own and not part of publishing: Postgres lets
// only one notifying transaction of a database commit at a time, and that would
// be one publication per flush of the disk.
const notifySQL = `SELECT set_config('synchronous_commit', 'off', true), pg_notify('` + notifyChannel + `', $1)`

// pgNotifier lets servers know whose messages there are. A notification is the name of
// the server that sends it, and [tenant, template] of each as JSON, or nothing.
type pgNotifier struct {
	pool  *pgxpool.Pool
	log   *slog.Logger
	own   string // names this server, which knows of its own messages already
	learn func(map[ports.TemplateKey]bool)

	ctx    context.Context
	cancel context.CancelFunc
	loops  sync.WaitGroup
	more   chan struct{} // a token when others have to know

	mu      sync.Mutex
	flows   map[ports.TemplateKey]bool // of the next notification
	unknown bool                       // it cannot name them all
}

func newPgNotifier(pool *pgxpool.Pool, log *slog.Logger, learn func(map[ports.TemplateKey]bool)) *pgNotifier {
	n := &pgNotifier{
		pool: pool, log: log, own: uuid.NewString(), learn: learn,
		more: make(chan struct{}, 1), flows: map[ports.TemplateKey]bool{},
	}
	n.ctx, n.cancel = context.WithCancel(context.Background())
	n.loops.Go(n.notifyLoop)
	n.loops.Go(n.listenLoop)
	return n
}

// notify lets other servers know, soon; nil if it is not known whose messages there are.
func (n *pgNotifier) notify(flows map[ports.TemplateKey]bool) {
	n.mu.Lock()
	n.unknown = n.unknown || flows == nil
	for key := range flows {
		n.flows[key] = true
	}
	some := n.unknown || len(n.flows) > 0
	n.mu.Unlock()
	if some {
		token(n.more)
	}
}

// payload gives what others have to know, and forgets it.
func (n *pgNotifier) payload() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	text := n.own
	if !n.unknown && len(n.flows) <= mostFlows {
		list := make([][2]string, 0, len(n.flows))
		for key := range n.flows {
			list = append(list, [2]string{string(key.Tenant), string(key.Template)})
		}
		if data, err := json.Marshal(list); err == nil && len(data) <= notifyMost {
			text += " " + string(data)
		}
	}
	n.unknown = false
	clear(n.flows)
	return text
}

// received notes what another server says.
func (n *pgNotifier) received(payload string) {
	from, data, _ := strings.Cut(payload, " ")
	if from == n.own {
		return
	}
	var list [][2]string
	if json.Unmarshal([]byte(data), &list) != nil {
		list = nil // it does not say whose
	}
	flows := map[ports.TemplateKey]bool{}
	for _, key := range list {
		flows[ports.TemplateKey{Tenant: core.TenantID(key[0]), Template: core.TemplateID(key[1])}] = true
	}
	n.learn(flows)
}

// notifyLoop notifies at once, and then no more often than every notifyGap. If that
// fails, others find the messages when they look by themselves.
func (n *pgNotifier) notifyLoop() {
	for {
		select {
		case <-n.more:
		case <-n.ctx.Done():
			select {
			case <-n.more: // what was given back at the end
				n.send()
			default:
			}
			return
		}
		n.send()
		n.pause(notifyGap)
	}
}

func (n *pgNotifier) send() {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(n.ctx), statementTimeout)
	defer cancel()
	if _, err := n.pool.Exec(ctx, notifySQL, n.payload()); err != nil {
		n.log.Warn("other servers were not notified of new jobs; they will look by themselves", "error", err)
	}
}

// listenLoop keeps a connection that waits for notifications.
func (n *pgNotifier) listenLoop() {
	for failures := 0; n.ctx.Err() == nil; failures++ {
		connected, err := n.listen()
		if n.ctx.Err() != nil {
			return
		}
		if connected {
			failures = 0
		}
		delay := core.Backoff(50*time.Millisecond, 2*time.Second, failures)
		n.log.Warn("not listening for new jobs, will try again", "error", err, "in", delay)
		n.pause(delay)
	}
}

// listen listens until it fails.
func (n *pgNotifier) listen() (connected bool, err error) {
	ctx, cancel := context.WithTimeout(n.ctx, statementTimeout)
	defer cancel()
	conn, err := pgx.ConnectConfig(ctx, n.pool.Config().ConnConfig)
	if err != nil {
		return false, err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(n.ctx), time.Second)
		defer cancel()
		_ = conn.Close(ctx) // it is thrown away
	}()
	if _, err := conn.Exec(ctx, "LISTEN "+notifyChannel); err != nil {
		return false, err
	}
	n.learn(nil) // of whatever was missed until now
	for {
		wait, cancel := context.WithTimeout(n.ctx, listenCheck)
		notification, err := conn.WaitForNotification(wait)
		silent := wait.Err() != nil && n.ctx.Err() == nil
		cancel()
		if silent {
			check, cancel := context.WithTimeout(n.ctx, statementTimeout)
			err = conn.Ping(check)
			cancel()
		}
		if err != nil {
			return true, err
		}
		if !silent {
			n.received(notification.Payload)
		}
	}
}

func (n *pgNotifier) pause(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-n.ctx.Done():
	}
}

func (n *pgNotifier) close() {
	n.cancel()
	n.loops.Wait()
}
