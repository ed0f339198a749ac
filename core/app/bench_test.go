package app_test

import (
	"context"
	"fmt"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/internal/testkit/install"
	"github.com/redrive/redrive/ports"
)

// BenchmarkRun takes runs of growing size from initiation over work with a no-op
// executor, 30 % of the files failing, to a Continue of those and its work. The
// time per file must not grow with the run, and neither must memory per file.
func BenchmarkRun(b *testing.B) {
	for _, n := range []int{1_000, 10_000, 100_000} {
		b.Run(fmt.Sprintf("files=%d", n), func(b *testing.B) {
			var live uint64
			for b.Loop() {
				b.StopTimer()
				w := newWorld(b, withPrice(0), withOptions(func(o *app.Options) { o.MaxFiles = n }))
				svc := install.Service(b, app.Deps{Store: w.store, Queue: w.queue, Executor: w.script, Clock: w.clock}, w.svc.Options())
				w.script.handle(noop(true))
				req := app.InitiateRequest{Tenant: acme, Template: template, Files: make([]core.NewFile, n)}
				for i := range req.Files {
					req.Files[i] = core.NewFile{Name: "f", Ref: "r"}
				}
				b.StartTimer()

				run, err := svc.Initiate(w.ctx, admin, req)
				require.NoError(b, err)
				benchWork(b, w, svc)
				_, err = svc.RetryFailed(w.ctx, admin, run.ID, app.RetryRequest{})
				require.NoError(b, err)
				w.script.handle(noop(false))
				benchWork(b, w, svc)

				b.StopTimer()
				require.Equal(b, core.RunCompleted, w.run(run.ID).Status)
				var m runtime.MemStats
				runtime.GC()
				runtime.ReadMemStats(&m)
				live = max(live, m.HeapAlloc)
				runtime.KeepAlive(w)
				b.StartTimer()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/file")
			b.ReportMetric(float64(live)/float64(n), "live-B/file")
		})
	}
}

func benchWork(b *testing.B, w *world, svc *app.Service) {
	for w.queue.Len() > 0 {
		deliveries, err := w.queue.Receive(w.ctx, 100, ports.Skip{})
		require.NoError(b, err)
		for _, d := range deliveries {
			require.NoError(b, svc.Work(w.ctx, d))
		}
	}
}

// noop completes every file, or fails every file whose index ends in 0, 1 or 2.
func noop(fail bool) func(context.Context, ports.Task) ([]core.FileResult, error) {
	return func(_ context.Context, task ports.Task) ([]core.FileResult, error) {
		results := make([]core.FileResult, len(task.Files))
		for i, f := range task.Files {
			letter := byte('c')
			if fail && f.Index%10 < 3 {
				letter = 'f'
			}
			results[i] = resultOf(f.Index, letter)
		}
		return results, nil
	}
}
