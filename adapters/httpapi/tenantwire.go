package httpapi

import (
	"time"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
)

// What a run event says has happened.
const (
	runCreated   = "created"
	runChanged   = "changed"
	runContinued = "continued"
	runClosed    = "closed"
)

// tenantRunJSON is a run in the events of its tenant: what a list of runs shows. All other
// fields are in the run itself.
type tenantRunJSON struct {
	Run           string         `json:"run"`
	Template      string         `json:"template"`
	Status        string         `json:"status"`
	Reason        string         `json:"reason,omitempty"`
	Attempt       int            `json:"attempt"`
	CreatedAt     time.Time      `json:"createdAt"`
	LastRetriedAt time.Time      `json:"lastRetriedAt,omitzero"`
	ClosedAt      time.Time      `json:"closedAt,omitzero"`
	AttemptJobs   int            `json:"attemptJobs"`
	CompletedJobs int            `json:"completedJobs"`
	FailedJobs    int            `json:"failedJobs"`
	FileCounts    fileCountsJSON `json:"fileCounts"`

	CreditsConsumed int64 `json:"creditsConsumed"`
}

// runEventJSON is the data of the event that something happened to a run.
type runEventJSON struct {
	Change string        `json:"change"`
	Run    tenantRunJSON `json:"run"`
}

// tenantSnapshotJSON is a tenant at one moment.
type tenantSnapshotJSON struct {
	Tenant      string          `json:"tenant"`
	Balance     balanceJSON     `json:"balance"`
	Running     []tenantRunJSON `json:"running"`
	MoreRunning bool            `json:"moreRunning"`
}

func toTenantRun(r core.Run) tenantRunJSON {
	run := toRun(app.RunView{Run: r})
	return tenantRunJSON{
		Run: run.ID, Template: run.Template, Status: run.Status, Reason: run.Reason, Attempt: run.Attempt,
		CreatedAt: run.CreatedAt, LastRetriedAt: run.LastRetriedAt, ClosedAt: run.ClosedAt,
		AttemptJobs: run.AttemptJobs, CompletedJobs: run.CompletedJobs, FailedJobs: run.FailedJobs,
		FileCounts: run.FileCounts, CreditsConsumed: run.CreditsConsumed,
	}
}
