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
		ts := trace.TenantState{Tenant: t.id, Purchased: t.purchased, Monthly: map[string]core.Credits{}}
		for _, m := range t.monthly {
			ts.Monthly[m.period.String()] = m.left
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
				Status: m.status, Attempt: len(r.attempts) - 1, AttemptJobs: m.jobs,
				CompletedJobs: m.completed, FailedJobs: m.failed, Credits: m.credits.Monthly + m.credits.Purchased,
			},
		}
		for i := range r.files {
			f, mf := &r.files[i], &m.files[i]
			rs.Actual.Files = append(rs.Actual.Files, fmt.Sprintf("%s %d/%d", f.Status, f.RetryAttempt, f.Epoch))
			rs.Model.Files = append(rs.Model.Files, fmt.Sprintf("%s %d/%d", mf.status, mf.retries, mf.epoch))
		}
		s.Runs = append(s.Runs, rs)
	}
	return s
}
