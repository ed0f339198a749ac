package watermillqueue

import (
	"errors"
	"log/slog"
	"time"
)

// DefaultPollInterval is how often an idle feed sends a statement: with recovery and the
// rest that a server does while idle it sends less than one a second.
const DefaultPollInterval = 2 * time.Second

// Options are the numbers that an operator may set. Zero means the default.
type Options struct {
	Log *slog.Logger // nil: slog.Default()
	// Topic names the queue where the backend has names; default "redrive_jobs".
	Topic string
	// MaxBatch bounds the jobs that are taken from Postgres at once; default 500.
	MaxBatch int
	// Lease is how long a delivery may stay unanswered before the job is delivered
	// again, to any server; default 30 s.
	Lease time.Duration
	// PollInterval is how often an idle feed on Postgres looks by itself, in case a
	// notification was missed; default DefaultPollInterval.
	PollInterval time.Duration
	// NackDelay is the wait before a job that was nacked is delivered again;
	// where the backend counts, it doubles each time up to 5 s. Default 50 ms.
	NackDelay time.Duration
	// Lanes is the number of topics that tenants are spread over on JetStream and other
	// brokers, so that one's backlog is in the way of few others; default 8. All
	// servers on one queue must agree on it.
	Lanes int
	// Prefetch is how many messages of one lane, each of up to 250 jobs, are in hand at
	// a time on JetStream, by all servers together; default 256.
	Prefetch int
	// Replicas of the JetStream streams that are made here; default 1.
	Replicas int
	// CommitAsync lets Postgres answer before a published job is on disk. Where
	// the queue and the store are one database nothing is lost by it: that a
	// dispatch is confirmed is written after its jobs, to the same log.
	CommitAsync bool
	// DeadLimit bounds the dead letters that New keeps in memory, the oldest go first;
	// default 1,000.
	DeadLimit int
}

func (o Options) withDefaults() (Options, error) {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Topic == "" {
		o.Topic = "redrive_jobs"
	}
	for _, d := range []struct {
		field *int
		value int
	}{{&o.MaxBatch, 500}, {&o.Lanes, 8}, {&o.Prefetch, 256}, {&o.Replicas, 1}, {&o.DeadLimit, 1000}} {
		if *d.field == 0 {
			*d.field = d.value
		}
		if *d.field < 1 {
			return o, errors.New("watermillqueue: MaxBatch, Lanes, Prefetch, Replicas and DeadLimit must be 1 or more")
		}
	}
	for _, d := range []struct {
		field *time.Duration
		value time.Duration
	}{{&o.Lease, 30 * time.Second}, {&o.PollInterval, DefaultPollInterval}, {&o.NackDelay, 50 * time.Millisecond}} {
		if *d.field == 0 {
			*d.field = d.value
		}
		if *d.field < time.Millisecond {
			return o, errors.New("watermillqueue: Lease, PollInterval and NackDelay must be 1 ms or more")
		}
	}
	return o, nil
}
