package postgres_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/internal/testkit/pgtest"
	"github.com/redrive/redrive/ports"
)

// BenchmarkWork gives the microseconds a file that each step of a job takes on one
// connection: initiation, claim and settlement, in groups as a worker makes them.
func BenchmarkWork(b *testing.B) {
	server := pgtest.NewServer(b, pgtest.Options{Durable: true, Settings: []string{"shared_buffers=512MB", "max_wal_size=8GB"}})
	for _, c := range []struct{ runs, files, group int }{
		{1, 10_000, 500}, {20, 500, 500}, {500, 20, 200}, {1000, 1, 100},
	} {
		b.Run(fmt.Sprintf("runs=%d/files=%d/group=%d", c.runs, c.files, c.group), func(b *testing.B) {
			x := newBench(b, server)
			x.seed(b, 0, 1, 1) // tenant and template
			_, err := x.svc.PublishTemplate(b.Context(), operator, benchTenant(0), "bench")
			require.NoError(b, err)
			_, err = x.svc.PurchaseCredits(b.Context(), operator, benchTenant(0), "more", core.Credits(c.runs*c.files*b.N))
			require.NoError(b, err)
			x.settleDown(b)
			spent := map[string]time.Duration{}
			for range b.N {
				x.workOnce(b, c.runs, c.files, c.group, spent)
			}
			for step, d := range spent {
				b.ReportMetric(float64(d.Microseconds())/float64(b.N*c.runs*c.files), step+"-us/file")
			}
		})
	}
}

func (x *bench) workOnce(b *testing.B, runs, files, group int, spent map[string]time.Duration) {
	b.Helper()
	ctx := b.Context()
	timed := func(step string, fn func()) {
		began := time.Now()
		fn()
		spent[step] += time.Since(began)
	}
	req := app.InitiateRequest{Tenant: benchTenant(0), Template: "bench", Files: make([]core.NewFile, files)}
	for i := range req.Files {
		req.Files[i] = core.NewFile{Name: fmt.Sprintf("file-%d.txt", i), Ref: "sha256:0123456789", Size: 1000}
	}
	timed("initiate", func() {
		for range runs {
			_, err := x.svc.Initiate(ctx, operator, req)
			require.NoError(b, err)
		}
	})
	for left := runs * files; left > 0; {
		deliveries, err := x.queue.Receive(ctx, group, ports.Skip{})
		require.NoError(b, err)
		var jobs []core.Job
		for _, d := range deliveries {
			jobs = append(jobs, d.Jobs()...)
			require.NoError(b, d.Ack(ctx))
		}
		var claimed []app.Claimed
		timed("claim", func() { claimed, _, err = x.svc.Claim(ctx, jobs, app.SkipLocked) })
		require.NoError(b, err)
		require.Len(b, claimed, len(jobs))
		settlements := make([]core.Settlement, len(jobs))
		for i, job := range jobs {
			settlements[i] = core.Settlement{Job: job, Results: []core.FileResult{{Index: job.Files[0], Outcome: core.OutcomeCompleted, Output: "done"}}}
		}
		timed("settle", func() { _, err = x.svc.Settle(ctx, settlements, app.SkipLocked) })
		require.NoError(b, err)
		left -= len(jobs)
	}
	require.Zero(b, x.queue.Len())
}
