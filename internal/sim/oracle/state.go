package oracle

import (
	"fmt"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/internal/sim/trace"
)

// State copies what is committed and what the model says, for reports.
func (o *Oracle) State() *trace.State {
	s := &trace.State{}
	for _, t := range o.tenants {
		ts := trace.TenantState{Tenant: t.id, Purchased: t.account.Purchased, Monthly: map[string]core.Credits{}}
		for _, m := range t.account.Months {
			ts.Monthly[m.Period.String()] = m.Left
		}
		s.Tenants = append(s.Tenants, ts)
	}
	for _, r := range o.runs {
		m := &r.model
		rs := trace.RunState{
			Run: r.row.ID, Tenant: r.row.Tenant,
			Actual: trace.RunFacts{
				Status: r.row.Status, Attempt: int(r.row.Attempt), AttemptJobs: r.row.AttemptJobs,
				CompletedJobs: r.row.CompletedJobs, FailedJobs: r.row.FailedJobs, Credits: r.row.CreditsConsumed,
			},
			Model: trace.RunFacts{
				Status: m.Status, Attempt: int(m.Number()), AttemptJobs: m.Jobs,
				CompletedJobs: m.Completed, FailedJobs: m.Failed, Credits: m.Credits.Monthly + m.Credits.Purchased,
			},
		}
		for i := range r.files {
			f, mf := &r.files[i], &m.Files[i]
			rs.Actual.Files = append(rs.Actual.Files, fmt.Sprintf("%s %d/%d", f.Status, f.RetryAttempt, f.Epoch))
			rs.Model.Files = append(rs.Model.Files, fmt.Sprintf("%s %d/%d", mf.Status, mf.Retries, mf.Epoch))
		}
		s.Runs = append(s.Runs, rs)
	}
	return s
}
