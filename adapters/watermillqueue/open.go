package watermillqueue

import (
	"context"
	"errors"
	"fmt"
	"net/url"

	"github.com/jackc/pgx/v5/pgxpool"
)

// Open makes the queue that a URL names: empty or memory: in this process,
// postgres: or nats:. The caller closes the queue.
func Open(ctx context.Context, queueURL string, o Options) (*Queue, error) {
	scheme := "memory"
	if queueURL != "" {
		u, err := url.Parse(queueURL)
		if err != nil {
			return nil, errors.New("watermillqueue: the queue's URL cannot be parsed") // it may hold a password
		}
		scheme = u.Scheme
	}
	switch scheme {
	case "memory":
		return openInProcess(o)
	case "postgres", "postgresql":
		return openPostgresURL(ctx, queueURL, o)
	case "nats", "tls":
		return openJetStream(queueURL, o)
	default:
		return nil, fmt.Errorf("watermillqueue: no queue for URLs of scheme %q; memory:, postgres: and nats: are known", scheme)
	}
}

// OpenDeadLetters gives the dead letters of the queue that a URL names, without
// taking jobs from it, and what to call when done with them.
func OpenDeadLetters(ctx context.Context, queueURL string, o Options) (letters DeadLetters, closeLetters func() error, err error) {
	u, err := url.Parse(queueURL)
	if err != nil {
		return nil, nil, errors.New("watermillqueue: the queue's URL cannot be parsed") // it may hold a password
	}
	switch u.Scheme {
	case "postgres", "postgresql":
		pool, err := pgxpool.New(ctx, queueURL)
		if err != nil {
			return nil, nil, fmt.Errorf("watermillqueue: %w", err)
		}
		return PostgresDeadLetters(pool), func() error { pool.Close(); return nil }, nil
	case "nats", "tls":
		return openJetStreamDead(queueURL, o)
	case "", "memory":
		return nil, nil, errors.New("watermillqueue: the dead letters of a queue in memory are in its process alone, and are gone with it")
	default:
		return nil, nil, fmt.Errorf("watermillqueue: no dead letters of queues of scheme %q", u.Scheme)
	}
}
