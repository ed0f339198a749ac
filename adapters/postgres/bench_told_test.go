package postgres_test

import (
	"context"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/postgres"
	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/internal/testkit/pgtest"
	"github.com/redrive/redrive/ports"
)

// BenchmarkTold writes a run under its lock, as a settlement that closes it does, in turns
// without and with telling it, for a tenant without endpoints and for one with one. The
// figures to look at are the ratios to the transaction that tells nothing.
func BenchmarkTold(b *testing.B) {
	const rounds, each = 10, 20
	server := pgtest.NewServer(b, pgtest.Options{Durable: true})
	store, _ := pgtest.Open(b, postgres.Config{URL: server.New(b).URL})
	ctx := b.Context()
	told := 0
	write := func(tenant core.TenantID, tell bool) time.Duration {
		began := time.Now()
		for range each {
			told++
			require.NoError(b, store.InTx(ctx, tenant, func(tx ports.Tx) error {
				run, err := ports.LockRun(ctx, tx, core.RunID("run-"+tenant))
				if err != nil {
					return err
				}
				if tell {
					of := run
					of.ID += core.RunID("-" + strconv.Itoa(told))
					if err := tx.WebhookEvents().Tell(ctx, core.ClosingEvent(of, false, began)); err != nil {
						return err
					}
				}
				run.Redispatches++
				return tx.Runs().Save(ctx, ports.RunRows{Run: run})
			}))
		}
		return time.Since(began)
	}
	for _, tenant := range []core.TenantID{"without", "with"} {
		require.NoError(b, store.InTx(ctx, tenant, func(tx ports.Tx) error { return seedTold(ctx, tx, tenant) }))
	}
	var nothing, without, with []float64
	for b.Loop() {
		for range rounds {
			nothing = append(nothing, float64(write("without", false)))
			without = append(without, float64(write("without", true)))
			with = append(with, float64(write("with", true)))
		}
	}
	b.ReportMetric(median(nothing)/each/1000, "µs/nothing")
	b.ReportMetric(median(without)/median(nothing), "without/nothing")
	b.ReportMetric(median(with)/median(nothing), "with/nothing")
}

func seedTold(ctx context.Context, tx ports.Tx, tenant core.TenantID) error {
	now := time.Now().UTC().Truncate(time.Microsecond)
	if err := tx.Tenants().Insert(ctx, core.Tenant{ID: tenant, Name: "t", CreatedAt: now}); err != nil {
		return err
	}
	template := core.Template{ID: "t", Tenant: tenant, Name: "t", Instructions: "t", Version: 1, Mode: core.ModePerFile, Status: core.TemplatePublished, CreatedAt: now, UpdatedAt: now}
	if err := tx.Templates().Insert(ctx, template); err != nil {
		return err
	}
	if err := tx.TemplateVersions().Insert(ctx, template.VersionBy(core.System, now)); err != nil {
		return err
	}
	run := core.Run{
		ID: core.RunID("run-" + tenant), Tenant: tenant, Template: "t", TemplateVersion: 1, Mode: core.ModePerFile, Status: core.RunFailed,
		CreatedBy: core.System, CreatedAt: now, ClosedAt: now, MaxRetryCount: 3, Epoch: 1, Dispatch: core.DispatchConfirmed,
		TotalJobs: 1, AttemptJobs: 1, FailedJobs: 1, Tally: core.Tally{Failed: 1}, DispatchedAt: now,
	}
	files := []core.File{{Name: "f", Ref: "f", Size: 1, Status: core.FileFailed, Epoch: 1, Failure: core.Failure{Code: "timeout", Message: "no answer"}}}
	if err := tx.Runs().Insert(ctx, run, files); err != nil || tenant == "without" {
		return err
	}
	return tx.WebhookEndpoints().Insert(ctx, core.WebhookEndpoint{
		ID: "e", Tenant: tenant, URL: "https://example.com", Types: core.WebhookEventTypes(), Secret: "whsec_s", CreatedBy: core.System, CreatedAt: now, UpdatedAt: now,
	})
}
