package worker_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/postgres"
	"github.com/redrive/redrive/adapters/watermillqueue"
	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/core/app/worker"
	"github.com/redrive/redrive/internal/testkit/pgtest"
)

// One tenant's large run does not starve another's small one, on the queues that
// servers use: with all places taken by the large run, the jobs of the small one
// have the next places that free, in turn with those of the large one.
func TestASmallRunIsNotStarved(t *testing.T) {
	t.Parallel()
	quiet := slog.New(slog.DiscardHandler)
	for name, c := range map[string]struct {
		large int // files; as many as can be enqueued in a second or so
		open  func(t *testing.T) *watermillqueue.Queue
	}{
		"GoChannel": {100_000, func(t *testing.T) *watermillqueue.Queue {
			q, err := watermillqueue.Open(t.Context(), "memory:", watermillqueue.Options{Log: quiet})
			require.NoError(t, err)
			return q
		}},
		"Postgres": {20_000, func(t *testing.T) *watermillqueue.Queue {
			pool, err := postgres.Connect(t.Context(), postgres.Config{URL: pgtest.New(t).URL})
			require.NoError(t, err)
			t.Cleanup(pool.Close)
			q, err := watermillqueue.OpenPostgres(pool, watermillqueue.Options{Log: quiet})
			require.NoError(t, err)
			return q
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const smallRun, places = 3, 16
			queue := c.open(t)
			t.Cleanup(func() { require.NoError(t, queue.Close()) })
			g := newGate()
			b := newBench(t, g, withSystemClock, func(d *app.Deps, o *app.Options) {
				d.Queue, o.MaxFiles, o.DispatchTimeout = queue, c.large, time.Minute
			})
			b.feed = queue
			files := make([]core.NewFile, c.large)
			for i := range files {
				files[i] = core.NewFile{Name: "f", Ref: "f"}
			}
			large, err := b.svc.Initiate(context.Background(), platform, app.InitiateRequest{Tenant: tenant, Template: template, Files: files})
			require.NoError(t, err)
			w, cancel, wait := b.launch(worker.Options{Concurrency: places, DrainTimeout: -1})
			b.eventually("the large run has every place", func() bool { return g.running("acme") == places })
			small := b.initiateFor(globex, template, smallRun)

			ended := 0 // jobs of the large run that end before the small one is under way
			for ; g.running("globex") < smallRun; ended++ {
				// In turn it would be one each. What a server releases is on its way back for
				// a moment, in which a busy machine gives the large run some places more; a
				// queue without turns would give it all of them.
				require.Less(t, ended, 8*smallRun, "a place that freed went to the large run too often")
				before, _ := g.executions()
				require.True(t, g.letOne(large.ID))
				b.eventually("the place has its next job", func() bool { now, _ := g.executions(); return now == before+1 })
			}
			t.Logf("after %d of %d jobs that ran had ended, all %d of the small run ran", ended, places, smallRun)
			for g.letOne(small) {
			}
			b.eventuallyClosed(small, core.RunCompleted)
			require.Equal(t, core.RunRunning, b.run(large.ID).Status)
			require.LessOrEqual(t, w.Stats().Running, places)
			cancel()
			require.NoError(t, wait())
		})
	}
}
