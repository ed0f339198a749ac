// Package answerjson is how SQL stores keep a core.Answer's run and refusal: as JSON, so
// that what was answered is read back as it was, whatever becomes of the columns of runs.
package answerjson

import (
	"encoding/json"
	"time"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/internal/rowtext"
)

// Encode gives the JSON of an answer's run and of its refusal, each nil if it has none.
func Encode(a core.Answer) (run, refusal []byte, err error) {
	if a.Run != (core.Run{}) {
		if run, err = json.Marshal(runToJSON(a.Run)); err != nil {
			return nil, nil, err
		}
	}
	if a.Refusal != nil {
		if refusal, err = json.Marshal(refusalToJSON(a.Refusal)); err != nil {
			return nil, nil, err
		}
	}
	return run, refusal, nil
}

// Decode puts into an answer what Encode gave.
func Decode(a *core.Answer, run, refusal []byte) error {
	if run != nil {
		var r answerRun
		if err := json.Unmarshal(run, &r); err != nil {
			return err
		}
		a.Run = r.toRun()
	}
	if refusal != nil {
		var r answerRefusal
		if err := json.Unmarshal(refusal, &r); err != nil {
			return err
		}
		a.Refusal = r.toError()
	}
	return nil
}

// answerRun is a run in an answer, as JSON: what was answered must be read back
// as it was, whatever becomes of the columns of runs. Names stay as they are.
type answerRun struct {
	ID                   string      `json:"id"`
	Tenant               string      `json:"tenant"`
	Template             string      `json:"template"`
	Mode                 string      `json:"mode"`
	Status               string      `json:"status"`
	Reason               string      `json:"reason,omitempty"`
	CreatedBy            answerActor `json:"createdBy"`
	CreatedAt            time.Time   `json:"createdAt"`
	ClosedAt             time.Time   `json:"closedAt,omitzero"`
	MaxRetryCount        int         `json:"maxRetryCount"`
	Attempt              int         `json:"attempt"`
	Epoch                int64       `json:"epoch"`
	Dispatch             string      `json:"dispatch"`
	LastRetriedAt        time.Time   `json:"lastRetriedAt,omitzero"`
	TotalJobs            int         `json:"totalJobs"`
	AttemptJobs          int         `json:"attemptJobs"`
	CompletedJobs        int         `json:"completedJobs"`
	FailedJobs           int         `json:"failedJobs"`
	Unfinished           int         `json:"unfinished"`
	Completed            int         `json:"completed"`
	Failed               int         `json:"failed"`
	Error                int         `json:"error"`
	CreditsConsumed      int64       `json:"creditsConsumed"`
	CreditsFromMonthly   int64       `json:"creditsFromMonthly"`
	CreditsFromPurchased int64       `json:"creditsFromPurchased"`
	RecoverAt            time.Time   `json:"recoverAt,omitzero"`
	DispatchedAt         time.Time   `json:"dispatchedAt,omitzero"`
	Redispatches         int         `json:"redispatches"`
	TemplateVersion      int         `json:"templateVersion"`
	FailureCode          string      `json:"failureCode,omitempty"`
	FailureMessage       string      `json:"failureMessage,omitempty"`
}

type answerActor struct {
	Subject string `json:"subject"`
	Tenant  string `json:"tenant"`
	Role    string `json:"role"`
}

// answerRefusal is a core.Error without its cause, which is for logs only.
type answerRefusal struct {
	Code      string        `json:"code"`
	Message   string        `json:"message"`
	Run       string        `json:"run,omitempty"`
	Files     []int         `json:"files,omitempty"`
	Needed    int64         `json:"needed,omitempty"`
	Available int64         `json:"available,omitempty"`
	Price     int64         `json:"price,omitempty"`
	Made      string        `json:"made,omitempty"`
	Fields    []answerField `json:"fields,omitempty"`
}

type answerField struct {
	Field   string `json:"field"`
	Message string `json:"message"`
}

func runToJSON(r core.Run) answerRun {
	return answerRun{
		ID: string(r.ID), Tenant: string(r.Tenant), Template: string(r.Template), Mode: string(r.Mode),
		Status: string(r.Status), Reason: string(r.Reason),
		CreatedBy: answerActor{Subject: rowtext.Clean(r.CreatedBy.Subject), Tenant: string(r.CreatedBy.Tenant), Role: string(r.CreatedBy.Role)},
		CreatedAt: r.CreatedAt, ClosedAt: r.ClosedAt,
		MaxRetryCount: r.MaxRetryCount, Attempt: int(r.Attempt), Epoch: int64(r.Epoch),
		Dispatch: string(r.Dispatch), LastRetriedAt: r.LastRetriedAt,
		TotalJobs: r.TotalJobs, AttemptJobs: r.AttemptJobs, CompletedJobs: r.CompletedJobs, FailedJobs: r.FailedJobs,
		Unfinished: r.Tally.Unfinished, Completed: r.Tally.Completed, Failed: r.Tally.Failed, Error: r.Tally.Error,
		CreditsConsumed: int64(r.CreditsConsumed), CreditsFromMonthly: int64(r.CreditsFromMonthly), CreditsFromPurchased: int64(r.CreditsFromPurchased),
		RecoverAt: r.RecoverAt, DispatchedAt: r.DispatchedAt, Redispatches: r.Redispatches,
		TemplateVersion: r.TemplateVersion, FailureCode: rowtext.Clean(r.Failure.Code), FailureMessage: rowtext.Clean(r.Failure.Message),
	}
}

func (r answerRun) toRun() core.Run {
	return core.Run{
		ID: core.RunID(r.ID), Tenant: core.TenantID(r.Tenant), Template: core.TemplateID(r.Template), Mode: core.Mode(r.Mode),
		Status: core.RunStatus(r.Status), Reason: core.CloseReason(r.Reason),
		CreatedBy: core.Actor{Subject: r.CreatedBy.Subject, Tenant: core.TenantID(r.CreatedBy.Tenant), Role: core.Role(r.CreatedBy.Role)},
		CreatedAt: r.CreatedAt, ClosedAt: r.ClosedAt,
		MaxRetryCount: r.MaxRetryCount, Attempt: core.AttemptNumber(r.Attempt), Epoch: core.Epoch(r.Epoch),
		Dispatch: core.DispatchState(r.Dispatch), LastRetriedAt: r.LastRetriedAt,
		TotalJobs: r.TotalJobs, AttemptJobs: r.AttemptJobs, CompletedJobs: r.CompletedJobs, FailedJobs: r.FailedJobs,
		Tally:           core.Tally{Unfinished: r.Unfinished, Completed: r.Completed, Failed: r.Failed, Error: r.Error},
		CreditsConsumed: core.Credits(r.CreditsConsumed), CreditsFromMonthly: core.Credits(r.CreditsFromMonthly), CreditsFromPurchased: core.Credits(r.CreditsFromPurchased),
		RecoverAt: r.RecoverAt, DispatchedAt: r.DispatchedAt, Redispatches: r.Redispatches,
		TemplateVersion: r.TemplateVersion, Failure: core.Failure{Code: r.FailureCode, Message: r.FailureMessage},
	}
}

func refusalToJSON(e *core.Error) answerRefusal {
	r := answerRefusal{
		Code: string(e.Code), Message: rowtext.Clean(e.Message), Run: string(e.Run), Files: e.Files,
		Needed: int64(e.Needed), Available: int64(e.Available), Price: int64(e.Price), Made: e.Made,
	}
	for _, f := range e.Fields {
		r.Fields = append(r.Fields, answerField{Field: rowtext.Clean(f.Field), Message: rowtext.Clean(f.Message)})
	}
	return r
}

func (r answerRefusal) toError() *core.Error {
	e := &core.Error{
		Code: core.Code(r.Code), Message: r.Message, Run: core.RunID(r.Run), Files: r.Files,
		Needed: core.Credits(r.Needed), Available: core.Credits(r.Available), Price: core.Credits(r.Price), Made: r.Made,
	}
	for _, f := range r.Fields {
		e.Fields = append(e.Fields, core.FieldError{Field: f.Field, Message: f.Message})
	}
	return e
}
