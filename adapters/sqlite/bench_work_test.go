package sqlite_test

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/memory"
	"github.com/redrive/redrive/adapters/postgres"
	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/core/app/worker"
	"github.com/redrive/redrive/internal/testkit/pgtest"
	"github.com/redrive/redrive/ports"
)

// BenchmarkRuns takes whole runs of jobs that do nothing, from the initiation until the last
// run is closed, on SQLite and on Postgres (fsync on), in turns, with the same worker on the
// same queue in memory. The figures are jobs a second.
func BenchmarkRuns(b *testing.B) {
	server := pgtest.NewServer(b, pgtest.Options{Durable: true})
	const tenants = 20
	for _, c := range []struct{ runs, files int }{{1, 10_000}, {20, 500}, {500, 10}} {
		b.Run(fmt.Sprintf("runs=%d/files=%d", c.runs, c.files), func(b *testing.B) {
			pool, err := postgres.Connect(b.Context(), postgres.Config{URL: server.New(b).URL, MaxConns: 10})
			require.NoError(b, err)
			b.Cleanup(pool.Close)
			pg, err := postgres.New(pool, postgres.Config{})
			require.NoError(b, err)
			sides := []*side{newSide(b, "sqlite", newStore(b), tenants), newSide(b, "postgres", pg, tenants)}
			b.ResetTimer()
			for range 3 * b.N {
				for _, s := range sides {
					s.work(b, c.runs, c.files, tenants)
				}
			}
			b.StopTimer()
			for _, s := range sides {
				b.ReportMetric(median(s.rates), s.name+"-jobs/s")
			}
			b.ReportMetric(median(sides[0].rates)/median(sides[1].rates), "sqlite/postgres")
		})
	}
}

// side is an installation with one worker.
type side struct {
	name  string
	svc   *app.Service
	queue *memory.Queue
	rates []float64
}

func benchTenant(i int) core.TenantID { return core.TenantID(fmt.Sprintf("bench-%d", i)) }

func newSide(b *testing.B, name string, store ports.Store, tenants int) *side {
	b.Helper()
	s := &side{name: name, queue: memory.NewQueue()}
	var err error
	s.svc, err = app.New(app.Deps{
		Store: store, Queue: s.queue, Files: memory.NewFiles(), Log: slog.New(slog.DiscardHandler),
		Executor: ports.ExecutorFunc(func(_ context.Context, task ports.Task) ([]core.FileResult, error) {
			return []core.FileResult{{Index: task.Files[0].Index, Outcome: core.OutcomeCompleted, Output: "ok"}}, nil
		}),
	}, app.Options{})
	require.NoError(b, err)
	for i := range tenants {
		id, ctx := benchTenant(i), b.Context()
		_, err := s.svc.CreateTenant(ctx, admin, id, "Bench", 0)
		require.NoError(b, err)
		_, err = s.svc.PurchaseCredits(ctx, admin, id, "all", 1<<40)
		require.NoError(b, err)
		_, err = s.svc.CreateTemplate(ctx, admin, core.Template{ID: "noop", Tenant: id, Name: "No-op", CreditsPerRun: 1, Mode: core.ModePerFile})
		require.NoError(b, err)
		_, err = s.svc.PublishTemplate(ctx, admin, id, "noop")
		require.NoError(b, err)
	}
	return s
}

func (s *side) work(b *testing.B, runs, files, tenants int) {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), 5*time.Minute)
	defer cancel()
	pool, err := worker.New(s.svc, s.queue, worker.Options{Concurrency: 100, Log: slog.New(slog.DiscardHandler)})
	require.NoError(b, err)
	working, stop := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() {
		if err := pool.Run(working); err != nil {
			b.Error(err)
		}
	})
	defer running.Wait()
	defer stop()
	list := make([]core.NewFile, files)
	for i := range list {
		list[i] = core.NewFile{Name: fmt.Sprintf("file-%d.txt", i), Ref: core.FileRef(fmt.Sprintf("sha256:%064d", i)), Size: 1000}
	}
	began := time.Now()
	ids := make([]core.RunID, runs)
	for _, err := range together(min(runs, tenants), func(n int) error {
		for i := n; i < runs; i += tenants {
			run, err := s.svc.Initiate(ctx, admin, app.InitiateRequest{Tenant: benchTenant(n), Template: "noop", Files: list})
			if err != nil {
				return err
			}
			ids[i] = run.ID
		}
		return nil
	}) {
		require.NoError(b, err)
	}
	for _, id := range ids {
		for {
			run, err := s.svc.Run(ctx, admin, id)
			require.NoError(b, err)
			if run.Run.Status == core.RunCompleted {
				break
			}
			time.Sleep(time.Millisecond)
		}
	}
	s.rates = append(s.rates, float64(runs*files)/time.Since(began).Seconds())
}
