package app_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/memory"
	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/internal/testkit/install"
	"github.com/redrive/redrive/ports"
)

// Operations that read page by page are tested with more rows than a page has: the
// difference to be found is on the last page.

const (
	pagesTenant = core.TenantID("paged")
	manyRows    = 2_001 // above two pages of the ledger check, of Interrupt and of the refill
)

var pagesStart = time.Date(2026, time.November, 10, 12, 0, 0, 0, time.UTC)

// paged is a store with a tenant that has what fill adds, and use cases on it.
func paged(t *testing.T, fill func(c *memory.Contents)) (*app.Service, *memory.Store) {
	t.Helper()
	store := memory.NewStore()
	c := memory.Contents{
		Tenant:  core.Tenant{ID: pagesTenant, Name: "paged", MonthlyAllowance: 5, CreatedAt: pagesStart},
		Balance: core.Balance{Period: core.PeriodOf(pagesStart)},
		Templates: []core.Template{
			{ID: "t", Tenant: pagesTenant, Name: "t", Version: 1, Mode: core.ModePerFile, Status: core.TemplatePublished},
			{ID: "u", Tenant: pagesTenant, Name: "u", Version: 1, Mode: core.ModePerFile, Status: core.TemplatePublished},
		},
	}
	fill(&c)
	store.Load(&c)
	clock := memory.NewManualClock(pagesStart.Add(time.Hour))
	return install.Service(t, app.Deps{Store: store, Clock: clock}, app.DefaultOptions()), store
}

// runOf is a running run of one file; the first of them is the oldest, so that it comes
// on the last page.
func runOf(n int, template core.TemplateID) memory.RunContents {
	id := core.RunID(fmt.Sprintf("run-%05d", n))
	at := pagesStart.Add(time.Duration(n) * time.Millisecond)
	return memory.RunContents{
		Run: core.Run{
			ID: id, Tenant: pagesTenant, Template: template, TemplateVersion: 1, Mode: core.ModePerFile, Status: core.RunRunning,
			CreatedAt: at, MaxRetryCount: 3, Epoch: 1, Dispatch: core.DispatchConfirmed, DispatchedAt: at, RecoverAt: at,
			TotalJobs: 1, AttemptJobs: 1, Tally: core.Tally{Unfinished: 1},
		},
		Files:    []core.File{{Index: 0, Name: "a", Ref: "a", Status: core.FilePending, Epoch: 1}},
		Attempts: []core.Attempt{{Tenant: pagesTenant, Run: id, Epoch: 1, Jobs: 1, Files: []core.AttemptFile{{Index: 0}}}},
	}
}

func TestLedgerCheckReadsEveryPageOfEntries(t *testing.T) {
	t.Parallel()
	svc, _ := paged(t, func(c *memory.Contents) {
		for n := range manyRows {
			c.Entries = append(c.Entries, core.Entry{
				Tenant: pagesTenant, Seq: int64(n + 1), Key: core.Key(fmt.Sprintf("purchase-%d", n)), Kind: core.EntryPurchase,
				Period: c.Balance.Period, Amount: core.Split{Purchased: 1}, At: pagesStart,
			})
		}
		c.Balance.Purchased = manyRows
	})
	found, err := svc.CheckLedger(context.Background(), core.System, pagesTenant)
	require.NoError(t, err)
	require.Empty(t, found, "an entry that was not read is a difference")
}

func TestLedgerCheckReadsEveryPageOfRuns(t *testing.T) {
	t.Parallel()
	svc, _ := paged(t, func(c *memory.Contents) {
		for n := range manyRows {
			c.Runs = append(c.Runs, runOf(n, "t"))
		}
		c.Runs[0].Run.CreditsConsumed = 7
	})
	found, err := svc.CheckLedger(context.Background(), core.System, pagesTenant)
	require.NoError(t, err)
	require.Len(t, found, 1)
	require.Contains(t, found[0].What, "run-00000")
}

func TestInterruptReachesEveryPageOfRuns(t *testing.T) {
	t.Parallel()
	svc, _ := paged(t, func(c *memory.Contents) {
		c.Runs = append(c.Runs, runOf(0, "u"))
		for n := 1; n < manyRows; n++ {
			c.Runs = append(c.Runs, runOf(n, "t"))
		}
	})
	closed, err := svc.Interrupt(context.Background(), ports.TemplateKey{Tenant: pagesTenant, Template: "u"}, core.Failure{Code: core.FailureUnauthorized})
	require.NoError(t, err)
	require.Equal(t, 1, closed)
}

func TestRecoveryReachesEveryPageOfRuns(t *testing.T) {
	t.Parallel()
	const page = 10
	svc, _ := paged(t, func(c *memory.Contents) {
		for n := range 3*page + 1 {
			c.Runs = append(c.Runs, runOf(n, "t"))
		}
	})
	visited, err := svc.Recover(context.Background(), page)
	require.NoError(t, err)
	require.Equal(t, 3*page+1, visited)
}

func TestRefillReachesEveryPageOfTenants(t *testing.T) {
	t.Parallel()
	svc, store := paged(t, func(*memory.Contents) {})
	for n := range manyRows {
		store.Load(&memory.Contents{
			Tenant:  core.Tenant{ID: core.TenantID(fmt.Sprintf("tenant-%05d", n)), Name: "one of many", MonthlyAllowance: 5, CreatedAt: pagesStart},
			Balance: core.Balance{Period: core.PeriodOf(pagesStart)},
		})
	}
	require.NoError(t, svc.Refill(context.Background()))
	balance, err := svc.Balance(context.Background(), core.System, core.TenantID(fmt.Sprintf("tenant-%05d", manyRows-1)))
	require.NoError(t, err)
	require.EqualValues(t, 5, balance.Monthly)
}
