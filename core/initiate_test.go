package core_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
)

func TestPlanRun(t *testing.T) {
	t.Parallel()
	t.Run("PerFile", func(t *testing.T) {
		t.Parallel()
		req := newRun(2)
		req.Files[1] = core.NewFile{Name: "b.txt", Ref: "ref-b", Size: 7}
		plan, err := core.PlanRun(req, published(5), balanceOf(7, 100), t0)
		require.NoError(t, err)
		require.Equal(t, core.Run{
			ID: run1, Tenant: acme, Template: "invoices", TemplateVersion: 4, Mode: core.ModePerFile,
			Status: core.RunRunning, CreatedBy: admin, CreatedAt: t0,
			MaxRetryCount: 3, Epoch: 1, Dispatch: core.DispatchUnconfirmed,
			TotalJobs: 2, AttemptJobs: 2, Tally: core.Tally{Unfinished: 2},
			CreditsConsumed: 10, CreditsFromMonthly: 7, CreditsFromPurchased: 3,
			RecoverAt: t0, DispatchedAt: t0,
		}, plan.Run)
		require.Equal(t, []core.File{
			{Index: 0, Name: "a.txt", Ref: "ref", Size: 0, Status: core.FilePending, Epoch: 1},
			{Index: 1, Name: "b.txt", Ref: "ref-b", Size: 7, Status: core.FilePending, Epoch: 1},
		}, plan.Files)
		charge := core.Charge{Key: "charge/run-1/0", Period: november, Amount: core.Split{Monthly: 7, Purchased: 3}}
		require.Equal(t, core.Attempt{
			Tenant: acme, Run: run1, Number: 0, Epoch: 1, Jobs: 2,
			RequestedBy: admin, RequestedAt: t0, Price: 5, Charge: charge,
			Files: []core.AttemptFile{{Index: 0, Charged: true}, {Index: 1, Charged: true}},
		}, plan.Attempt)
		require.False(t, plan.Attempt.Charge.IsZero())
		require.Equal(t, []core.Entry{{
			Tenant: acme, Key: charge.Key, Kind: core.EntryCharge, Period: november, Amount: charge.Amount,
			Run: run1, Attempt: 0, Actor: admin, At: t0,
		}}, plan.Charge)
		require.Equal(t, []core.Job{
			{Tenant: acme, Run: run1, Epoch: 1, ID: "run-1:file:0", Template: "invoices", Files: []int{0}},
			{Tenant: acme, Run: run1, Epoch: 1, ID: "run-1:file:1", Template: "invoices", Files: []int{1}},
		}, plan.Jobs)
	})
	t.Run("Batch", func(t *testing.T) {
		t.Parallel()
		plan, err := core.PlanRun(newRun(3), inMode(published(5), core.ModeBatch), balanceOf(15, 0), t0)
		require.NoError(t, err)
		require.Equal(t, []core.Job{{Tenant: acme, Run: run1, Epoch: 1, ID: "run-1", Template: "invoices", Files: []int{0, 1, 2}}}, plan.Jobs)
		require.Equal(t, 1, plan.Run.TotalJobs)
		require.Equal(t, 1, plan.Run.AttemptJobs)
		require.Equal(t, 1, plan.Attempt.Jobs)
		require.Equal(t, core.Credits(15), plan.Run.CreditsConsumed, "the price is per file in batch mode too")
	})
	t.Run("Free", func(t *testing.T) {
		t.Parallel()
		plan, err := core.PlanRun(newRun(2), published(0), balanceOf(0, 0), t0)
		require.NoError(t, err)
		require.Empty(t, plan.Charge, "a price of 0 writes no charge")
		require.True(t, plan.Attempt.Charge.IsZero())
		require.Zero(t, plan.Attempt.Charge)
		require.Equal(t, []core.AttemptFile{{Index: 0}, {Index: 1}}, plan.Attempt.Files)
		require.Len(t, plan.Jobs, 2)
	})
	t.Run("KeepsMaxRetryCount", func(t *testing.T) {
		t.Parallel()
		for _, n := range []int{1, 7, 10} {
			req := newRun(1)
			req.MaxRetryCount = &n
			plan, err := core.PlanRun(req, published(1), balanceOf(1, 0), t0)
			require.NoError(t, err)
			require.Equal(t, n, plan.Run.MaxRetryCount)
		}
	})
	t.Run("LargestRun", func(t *testing.T) {
		t.Parallel()
		plan, err := core.PlanRun(newRun(core.DefaultMaxFiles), published(1), balanceOf(0, core.DefaultMaxFiles), t0)
		require.NoError(t, err)
		require.Len(t, plan.Jobs, 10_000)
	})
}

func TestCheckNewRun(t *testing.T) {
	t.Parallel()
	count := func(n int) *int { return &n }
	for _, tc := range []struct {
		name   string
		change func(*core.NewRun)
		max    int
		fields []string
	}{
		{"default", func(*core.NewRun) {}, 3, nil},
		{"configured limit", func(r *core.NewRun) { r.MaxFiles = 2 }, 3, nil},
		{"over the configured limit", func(r *core.NewRun) { r.MaxFiles = 1 }, 3, []string{"files"}},
		{"over the default limit", func(r *core.NewRun) { r.Files = newRun(10_001).Files }, 3, []string{"files"}},
		{"a higher limit", func(r *core.NewRun) { r.Files, r.MaxFiles = newRun(10_001).Files, 10_001 }, 3, nil},
		{"no files", func(r *core.NewRun) { r.Files = nil }, 3, []string{"files"}},
		{"nameless file", func(r *core.NewRun) { r.Files[1].Name = "" }, 3, []string{"files[1].name"}},
		{"file name with NUL", func(r *core.NewRun) { r.Files[0].Name = "\x00" }, 3, []string{"files[0].name"}},
		{"maxRetryCount 1", func(r *core.NewRun) { r.MaxRetryCount = count(1) }, 1, nil},
		{"maxRetryCount 10", func(r *core.NewRun) { r.MaxRetryCount = count(10) }, 10, nil},
		{"maxRetryCount 0", func(r *core.NewRun) { r.MaxRetryCount = count(0) }, 0, []string{"maxRetryCount"}},
		{"maxRetryCount 11", func(r *core.NewRun) { r.MaxRetryCount = count(11) }, 11, []string{"maxRetryCount"}},
		{"maxRetryCount -1", func(r *core.NewRun) { r.MaxRetryCount = count(-1) }, -1, []string{"maxRetryCount"}},
		{
			"all at once",
			func(r *core.NewRun) { r.MaxFiles, r.Files[0].Name, r.MaxRetryCount = 1, " ", count(0) }, 0,
			[]string{"files", "files[0].name", "maxRetryCount"},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			req := newRun(2)
			tc.change(&req)
			got, err := core.CheckNewRun(req)
			if tc.fields == nil {
				require.NoError(t, err)
				require.Equal(t, tc.max, got)
				return
			}
			require.Equal(t, tc.fields, fieldsOf(refused(t, err, core.CodeInvalidRequest)))
		})
	}
	t.Run("a long list of wrong names is cut", func(t *testing.T) {
		t.Parallel()
		req := newRun(500)
		for i := range req.Files {
			req.Files[i].Name = ""
		}
		zero := 0
		req.MaxRetryCount = &zero
		_, err := core.CheckNewRun(req)
		fields := fieldsOf(refused(t, err, core.CodeInvalidRequest))
		require.Len(t, fields, 21)
		require.Equal(t, "files[19].name", fields[19])
		require.Equal(t, "maxRetryCount", fields[20], "other mistakes are still named")
	})
}

// Every pair of violations: the earlier rule of spec 2 is the one that refuses.
func TestPlanRunRefusals(t *testing.T) {
	t.Parallel()
	type scenario struct {
		req      core.NewRun
		template core.Template
		balance  core.Balance
	}
	rules := []struct {
		code    core.Code
		violate func(*scenario)
	}{
		{core.CodeInvalidRequest, func(s *scenario) { s.req.Files[1].Name = strings.Repeat("x", 256) }},
		{core.CodeTemplateDeleted, func(s *scenario) { s.template = s.template.SoftDelete(t0) }},
		{core.CodeTemplateNotPublished, func(s *scenario) { s.template.Status = core.TemplateDraft }},
		{core.CodeCreditsOutOfRange, func(s *scenario) { s.template.CreditsPerRun = maxC/2 + 1 }},
		{core.CodeInsufficientCredits, func(s *scenario) { s.balance = balanceOf(4, 5) }},
	}
	fresh := func() scenario { return scenario{newRun(2), published(5), balanceOf(4, 6)} }
	plan := func(t *testing.T, s scenario) (p core.RunPlan, err error) {
		unchanged(t, func() { p, err = core.PlanRun(s.req, s.template, s.balance, t0) }, s)
		return p, err
	}
	_, err := plan(t, fresh())
	require.NoError(t, err, "nothing is violated")

	for i, first := range rules {
		for j := i; j < len(rules); j++ {
			t.Run(fmt.Sprintf("%s before %s", first.code, rules[j].code), func(t *testing.T) {
				t.Parallel()
				s := fresh()
				first.violate(&s)
				rules[j].violate(&s)
				p, err := plan(t, s)
				r := refused(t, err, first.code)
				require.Zero(t, p, "a refusal has nothing to write")
				if first.code == core.CodeInsufficientCredits {
					require.Equal(t, core.Credits(10), r.Needed)
					require.Equal(t, core.Credits(9), r.Available)
				}
			})
		}
	}
	t.Run("negative price of a template", func(t *testing.T) {
		t.Parallel()
		_, err := core.PlanRun(newRun(1), published(-5), balanceOf(10, 10), t0)
		refused(t, err, core.CodeCreditsOutOfRange)
	})
}
