package core_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
)

func TestSuspendedTenant(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, time.November, 15, 12, 0, 0, 0, time.UTC)
	tenant, err := core.NewTenant("acme", "Acme", 10, now)
	require.NoError(t, err)
	require.NoError(t, tenant.NotSuspended())

	suspended, err := tenant.Suspend("unpaid", now.Add(time.Hour))
	require.NoError(t, err)
	require.True(t, suspended.Suspended())
	require.ErrorIs(t, suspended.NotSuspended(), core.ErrTenantSuspended)
	again, err := suspended.Suspend("still unpaid", now.Add(2*time.Hour))
	require.NoError(t, err)
	require.Equal(t, suspended.SuspendedAt, again.SuspendedAt, "since the first time")
	require.Equal(t, "still unpaid", again.SuspendedReason)
	require.Equal(t, tenant, again.Reopen())
	require.Equal(t, tenant, tenant.Reopen())

	for _, reason := range []string{"", " \n", strings.Repeat("ü", core.MaxReasonLength+1), "a\x00b", "\xff"} {
		_, err := tenant.Suspend(reason, now)
		refused(t, err, core.CodeInvalidRequest)
	}
	name, allowance := "", core.Credits(-1)
	_, err = tenant.Change(core.TenantChange{Name: &name, MonthlyAllowance: &allowance})
	require.Len(t, refused(t, err, core.CodeInvalidRequest).Fields, 2)
	name, allowance = "Acme Ltd", 0
	changed, err := suspended.Change(core.TenantChange{Name: &name, MonthlyAllowance: &allowance})
	require.NoError(t, err)
	require.Equal(t, core.Tenant{ID: "acme", Name: "Acme Ltd", CreatedAt: now, SuspendedAt: suspended.SuspendedAt, SuspendedReason: "unpaid"}, changed)
}

// A suspended tenant is told so after all that is about the request itself, and before it
// is told about its credits; also where there is nothing to pay.
func TestSuspendedInTheOrderOfRefusals(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, time.November, 15, 12, 0, 0, 0, time.UTC)
	for price := range core.Credits(2) {
		balance := balanceOf(0, 0)
		balance.Suspended = true
		template := published(price)
		_, err := core.PlanRun(newRun(2), template, balance, now)
		refused(t, err, core.CodeTenantSuspended)
		refused(t, core.MayUpload(core.NewUpload{Files: 2}, template, balance), core.CodeTenantSuspended)
		run := closedOver(filesIn(core.FileFailed, core.FilePending, core.FileCompleted), core.ModePerFile)
		files := filesIn(core.FileFailed, core.FilePending, core.FileCompleted)
		_, err = core.PlanRetry(run, files, balance, template, core.RetryTerms{By: admin}, now)
		refused(t, err, core.CodeTenantSuspended)

		deleted := template
		deleted.DeletedAt = now
		_, err = core.PlanRun(newRun(2), deleted, balance, now)
		refused(t, err, core.CodeTemplateDeleted)
		running := run
		running.Status = core.RunRunning
		_, err = core.PlanRetry(running, files, balance, template, core.RetryTerms{By: admin}, now)
		refused(t, err, core.CodeRunAlreadyRunning)
		if price > 0 {
			most := core.Credits(0)
			_, err = core.PlanRetry(run, files, balance, template, core.RetryTerms{By: admin, MaxPrice: &most}, now)
			refused(t, err, core.CodePriceChanged)
		}
	}
	// A balance stays what it is when entries are applied to it.
	balance := balanceOf(5, 0)
	balance.Suspended = true
	after, err := balance.Apply(core.Entry{Kind: core.EntryPurchase, Period: balance.Period, Amount: core.Split{Purchased: 2}})
	require.NoError(t, err)
	require.True(t, after.Suspended)
}
