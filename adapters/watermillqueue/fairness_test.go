package watermillqueue_test

import (
	"context"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/postgres"
	"github.com/redrive/redrive/adapters/watermillqueue"
	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/core/app/worker"
	"github.com/redrive/redrive/internal/testkit/install"
	"github.com/redrive/redrive/internal/testkit/pgtest"
	"github.com/redrive/redrive/ports"
)

// held is an executor whose jobs run until the test ends them.
type held struct {
	large, small       chan struct{} // each receive ends a job of acme's, and of globex's
	runningL, runningS atomic.Int64
	begun              atomic.Int64
}

// Execute implements ports.Executor.
func (h *held) Execute(ctx context.Context, task ports.Task) ([]core.FileResult, error) {
	running, let := &h.runningL, h.large
	if task.Job.Tenant == "globex" {
		running, let = &h.runningS, h.small
	}
	running.Add(1)
	h.begun.Add(1)
	defer running.Add(-1)
	select {
	case <-let:
		return []core.FileResult{{Index: task.Files[0].Index, Outcome: core.OutcomeCompleted, Output: "done"}}, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

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
			_, pool := pgtest.Open(t, postgres.Config{})
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
			h := &held{large: make(chan struct{}), small: make(chan struct{})}
			svc := install.Service(t, app.Deps{Queue: queue, Executor: h}, app.Options{MaxFiles: c.large, DispatchTimeout: time.Minute})
			templates := []core.Template{{ID: "t", CreditsPerRun: 1}}
			install.Make(t, svc,
				install.Tenant{ID: "acme", Purchased: 1_000_000, Templates: templates},
				install.Tenant{ID: "globex", Purchased: 1_000_000, Templates: templates},
			)
			initiate := func(tenant core.TenantID, n int) core.RunID {
				files := make([]core.NewFile, n)
				for i := range files {
					files[i] = core.NewFile{Name: "f", Ref: "f"}
				}
				run, err := svc.Initiate(context.Background(), core.System, app.InitiateRequest{Tenant: tenant, Template: "t", Files: files})
				require.NoError(t, err)
				return run.ID
			}
			status := func(id core.RunID) core.RunStatus {
				view, err := svc.Run(context.Background(), core.System, id)
				require.NoError(t, err)
				return view.Run.Status
			}
			eventually := func(what string, is func() bool) {
				t.Helper()
				require.Eventually(t, is, time.Minute, time.Millisecond, what)
			}

			large := initiate("acme", c.large)
			pool, err := worker.New(svc, queue, worker.Options{Concurrency: places, DrainTimeout: -1, Log: quiet})
			require.NoError(t, err)
			ctx, stop := context.WithCancel(context.Background())
			stopped := make(chan error, 1)
			go func() { stopped <- pool.Run(ctx) }()
			defer func() {
				stop()
				require.NoError(t, <-stopped)
			}()
			eventually("the large run has every place", func() bool { return h.runningL.Load() == places })
			small := initiate("globex", smallRun)

			ended := 0 // jobs of the large run that end before the small one is under way
			for ; h.runningS.Load() < smallRun; ended++ {
				// In turn it would be one each. What a server releases is on its way back for
				// a moment, in which a busy machine gives the large run some places more; a
				// queue without turns would give it all of them.
				require.Less(t, ended, 8*smallRun, "a place that freed went to the large run too often")
				before := h.begun.Load()
				h.large <- struct{}{}
				eventually("the place has its next job", func() bool { return h.begun.Load() == before+1 })
			}
			t.Logf("after %d of %d jobs that ran had ended, all %d of the small run ran", ended, places, smallRun)
			close(h.small)
			eventually("the small run is done", func() bool { return status(small) == core.RunCompleted })
			require.Equal(t, core.RunRunning, status(large))
			require.LessOrEqual(t, pool.Stats().Running, places)
		})
	}
}
