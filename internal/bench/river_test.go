package bench

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/internal/testkit/pgtest"
)

// noop is a job as small as one of Redrive's: which file of which run.
type noop struct {
	Run   int `json:"run"`
	Index int `json:"index"`
}

// Kind implements river.JobArgs.
func (noop) Kind() string { return "noop" }

type noopWorker struct{ river.WorkerDefaults[noop] }

func (noopWorker) Work(context.Context, *river.Job[noop]) error { return nil }

type riverSide struct {
	pool    *pgxpool.Pool
	workers int
}

func newRiver(b *testing.B, server *pgtest.Server, workers int) *riverSide {
	b.Helper()
	config, err := pgxpool.ParseConfig(server.NewEmpty(b).URL)
	require.NoError(b, err)
	config.MaxConns = int32(*conns)
	pool, err := pgxpool.NewWithConfig(b.Context(), config)
	require.NoError(b, err)
	b.Cleanup(pool.Close)
	migrator, err := rivermigrate.New(riverpgxv5.New(pool), &rivermigrate.Config{Logger: slog.New(slog.DiscardHandler)})
	require.NoError(b, err)
	_, err = migrator.Migrate(b.Context(), rivermigrate.DirectionUp, nil)
	require.NoError(b, err)
	return &riverSide{pool: pool, workers: workers}
}

func (r *riverSide) database() *pgxpool.Pool { return r.pool }

// client makes a client. One that was stopped is not started again here: a new
// one has nothing of the old one's rounds.
func (r *riverSide) client(b *testing.B, jobs int) (_ *river.Client[pgx.Tx], done <-chan *river.Event, stop func()) {
	b.Helper()
	workers := river.NewWorkers()
	river.AddWorker(workers, noopWorker{})
	client, err := river.NewClient(riverpgxv5.New(r.pool), &river.Config{
		Queues:  map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: r.workers}},
		Workers: workers, Logger: slog.New(slog.DiscardHandler),
		FetchCooldown: *riverCooldown, FetchPollInterval: max(*riverCooldown, 20*time.Millisecond),
		JobTimeout: -1, // no timer for each job
	})
	require.NoError(b, err)
	// The buffer holds all: an event that does not fit would be dropped.
	done, cancel := client.SubscribeConfig(&river.SubscribeConfig{
		ChanSize: jobs + 1, Kinds: []river.EventKind{river.EventKindJobCompleted},
	})
	return client, done, func() {
		cancel()
		require.NoError(b, client.Stop(context.WithoutCancel(b.Context())))
	}
}

func (r *riverSide) insert(b *testing.B, client *river.Client[pgx.Tx], l load) {
	b.Helper()
	require.NoError(b, l.eachGroup(func(group int) error {
		jobs := make([]river.InsertManyParams, l.each)
		for i := range jobs {
			jobs[i] = river.InsertManyParams{Args: noop{group, i}}
		}
		_, err := client.InsertManyFast(b.Context(), jobs)
		return err
	}))
}

// completed waits for as many jobs. The event of a job comes when its completion
// has been written.
func completed(b *testing.B, done <-chan *river.Event, jobs int) {
	b.Helper()
	late := time.After(timeout)
	for range jobs {
		select {
		case <-done:
		case <-late:
			b.Fatal("River did not complete its jobs")
		}
	}
}

func (r *riverSide) measure(b *testing.B, l load, timed stopwatch) (f figures) {
	b.Helper()
	client, done, stop := r.client(b, l.jobs()+warmUp.jobs())
	require.NoError(b, client.Start(b.Context()))
	r.insert(b, client, warmUp)
	completed(b, done, warmUp.jobs())
	f.endToEnd = timed("end to end", func() {
		r.insert(b, client, l)
		completed(b, done, l.jobs())
	})
	stop()

	client, done, stop = r.client(b, l.jobs())
	r.insert(b, client, l)
	f.workOnly = timed("work only", func() {
		require.NoError(b, client.Start(b.Context()))
		completed(b, done, l.jobs())
	})
	stop()

	// What the events say is what the table says.
	var rows, left int
	require.NoError(b, r.pool.QueryRow(b.Context(),
		`SELECT count(*), count(*) FILTER (WHERE state <> 'completed') FROM river_job`).Scan(&rows, &left))
	require.Equal(b, 2*l.jobs()+warmUp.jobs(), rows)
	require.Zero(b, left)
	return f
}
