package httpapi

import (
	"time"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
)

// runStateJSON is the state of a run at one moment: the fields that change while it runs
// and when it is continued. All other fields are in the run itself.
type runStateJSON struct {
	Run           string         `json:"run"`
	Status        string         `json:"status"`
	Reason        string         `json:"reason,omitempty"`
	Failure       *failureJSON   `json:"failure,omitempty"` // of ours, that interrupted it
	Attempt       int            `json:"attempt"`
	MaxRetryCount int            `json:"maxRetryCount"`
	LastRetriedAt time.Time      `json:"lastRetriedAt,omitzero"`
	ClosedAt      time.Time      `json:"closedAt,omitzero"`
	TotalJobs     int            `json:"totalJobs"`
	AttemptJobs   int            `json:"attemptJobs"`
	CompletedJobs int            `json:"completedJobs"`
	FailedJobs    int            `json:"failedJobs"`
	FileCounts    fileCountsJSON `json:"fileCounts"`

	CreditsConsumed      int64 `json:"creditsConsumed"`
	CreditsFromMonthly   int64 `json:"creditsFromMonthly"`
	CreditsFromPurchased int64 `json:"creditsFromPurchased"`

	Continuable continuableJSON `json:"continuable"`
}

// runClosedJSON is the data of the event that a run has closed.
type runClosedJSON struct {
	Run      string    `json:"run"`
	Status   string    `json:"status"`
	Reason   string    `json:"reason,omitempty"`
	Attempt  int       `json:"attempt"`
	ClosedAt time.Time `json:"closedAt"`
}

// endJSON is why a stream ends.
type endJSON struct {
	Code   string `json:"code"`
	Reason string `json:"reason"`
}

func toRunState(v app.RunView) runStateJSON {
	r := toRun(v)
	state := runStateJSON{
		Run: r.ID, Status: r.Status, Reason: r.Reason, Attempt: r.Attempt, MaxRetryCount: r.MaxRetryCount,
		LastRetriedAt: r.LastRetriedAt, ClosedAt: r.ClosedAt,
		TotalJobs: r.TotalJobs, AttemptJobs: r.AttemptJobs, CompletedJobs: r.CompletedJobs, FailedJobs: r.FailedJobs,
		FileCounts:      r.FileCounts,
		CreditsConsumed: r.CreditsConsumed, CreditsFromMonthly: r.CreditsFromMonthly, CreditsFromPurchased: r.CreditsFromPurchased,
		Continuable: r.Continuable,
	}
	if f := v.Run.Failure; f != (core.Failure{}) {
		state.Failure = &failureJSON{Code: f.Code, Message: f.Message}
	}
	return state
}

func toRunClosed(r core.Run) runClosedJSON {
	return runClosedJSON{
		Run: string(r.ID), Status: string(r.Status), Reason: string(r.Reason), Attempt: int(r.Attempt), ClosedAt: r.ClosedAt,
	}
}
