package watermillqueue

import (
	"context"
	"errors"
	"fmt"
	"net/url"
)

// Open makes the queue that a URL names: empty or memory: in this process,
// postgres:, nats: or kafka:. Whoever opens a queue closes it.
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
		return openGoChannel(o)
	case "postgres", "postgresql":
		return openPostgresURL(ctx, queueURL, o)
	case "kafka":
		return openKafka(queueURL, o)
	case "nats", "tls":
		return openJetStream(queueURL, o)
	default:
		return nil, fmt.Errorf("watermillqueue: no queue for URLs of scheme %q; memory:, postgres:, nats: and kafka: are known", scheme)
	}
}
