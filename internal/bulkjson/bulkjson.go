// Package bulkjson is the form in which stores on disk keep what they do not look for in
// bulk continues: the names of its fields are a part of the schema, and those of core are not.
package bulkjson

import (
	"encoding/json"
	"time"

	"github.com/redrive/redrive/core"
)

type actor struct {
	Subject string `json:"subject"`
	Tenant  string `json:"tenant,omitempty"`
	Role    string `json:"role"`
}

func fromActor(a core.Actor) actor { return actor{a.Subject, string(a.Tenant), string(a.Role)} }

func (a actor) to() core.Actor {
	return core.Actor{Subject: a.Subject, Tenant: core.TenantID(a.Tenant), Role: core.Role(a.Role)}
}

type failures struct {
	Closed int `json:"closed,omitempty"`
	Failed int `json:"failed,omitempty"`
}

type bulk struct {
	Fingerprint string    `json:"fingerprint,omitempty"`
	By          actor     `json:"by"`
	Runs        int       `json:"runs"`
	Expected    int64     `json:"expected"`
	Reason      string    `json:"reason,omitempty"`
	ChangedBy   actor     `json:"changedBy"`
	ChangedAt   time.Time `json:"changedAt,omitzero"`

	Named       int       `json:"named,omitempty"`
	Template    string    `json:"template,omitempty"`
	Statuses    []string  `json:"statuses,omitempty"`
	CreatedFrom time.Time `json:"createdFrom,omitzero"`
	CreatedTo   time.Time `json:"createdTo,omitzero"`
	FailureCode string    `json:"failureCode,omitempty"`

	MaxPrice      *int64  `json:"maxPrice,omitempty"`
	RunsPerMinute int     `json:"runsPerMinute,omitempty"`
	Canary        *canary `json:"canary,omitempty"`
	Stop          *stop   `json:"stop,omitempty"`

	CanaryPassed bool     `json:"canaryPassed,omitempty"`
	Before       failures `json:"before,omitzero"`
	Faults       int      `json:"faults,omitempty"`
	Changes      []change `json:"changes,omitempty"`
	Moved        []string `json:"moved,omitempty"`
	Holder       string   `json:"holder,omitempty"`
	Fence        int64    `json:"fence"`
}

type change struct {
	Key   string `json:"key"`
	Asked string `json:"asked"`
}

type canary struct {
	Runs             int `json:"runs"`
	MaxFailedPercent int `json:"maxFailedPercent"`
}

type stop struct {
	MaxFailedPercent int `json:"maxFailedPercent"`
	MinFiles         int `json:"minFiles"`
}

// Encode gives what has no column of its own: all but the ID, the tenant, the key, the
// status, the time of creation, the lease's end and the version.
func Encode(b core.Bulk) (string, error) {
	d := bulk{
		Fingerprint: b.Fingerprint, By: fromActor(b.By), Runs: b.Runs, Expected: int64(b.Expected),
		Reason: string(b.Reason), ChangedBy: fromActor(b.ChangedBy), ChangedAt: b.ChangedAt,
		Named: b.Selection.Named, Template: string(b.Selection.Template), CreatedFrom: b.Selection.CreatedFrom, CreatedTo: b.Selection.CreatedTo,
		FailureCode: b.Selection.FailureCode, MaxPrice: (*int64)(b.Terms.MaxPrice), RunsPerMinute: b.Terms.RunsPerMinute,
		Canary: (*canary)(b.Terms.Canary), Stop: (*stop)(b.Terms.Stop),
		CanaryPassed: b.CanaryPassed, Before: failures(b.Before), Faults: b.Faults, Holder: b.Holder, Fence: b.Fence,
	}
	for _, s := range b.Selection.Statuses {
		d.Statuses = append(d.Statuses, string(s))
	}
	for _, c := range b.Changes {
		d.Changes = append(d.Changes, change{string(c.Key), c.Asked})
	}
	for _, t := range b.Moved {
		d.Moved = append(d.Moved, string(t))
	}
	return encode(d)
}

// Decode fills in what Encode gave.
func Decode(b *core.Bulk, details string) error {
	var d bulk
	if err := json.Unmarshal([]byte(details), &d); err != nil {
		return err
	}
	b.Fingerprint, b.By, b.Runs, b.Expected = d.Fingerprint, d.By.to(), d.Runs, core.Credits(d.Expected)
	b.Reason, b.ChangedBy, b.ChangedAt = core.BulkReason(d.Reason), d.ChangedBy.to(), d.ChangedAt.UTC()
	b.Selection = core.BulkSelection{
		Named: d.Named, Template: core.TemplateID(d.Template), CreatedFrom: d.CreatedFrom.UTC(), CreatedTo: d.CreatedTo.UTC(), FailureCode: d.FailureCode,
	}
	for _, s := range d.Statuses {
		b.Selection.Statuses = append(b.Selection.Statuses, core.RunStatus(s))
	}
	b.Terms = core.BulkTerms{
		MaxPrice: (*core.Credits)(d.MaxPrice), RunsPerMinute: d.RunsPerMinute, Canary: (*core.BulkCanary)(d.Canary), Stop: (*core.BulkStop)(d.Stop),
	}
	b.Changes = nil
	for _, c := range d.Changes {
		b.Changes = append(b.Changes, core.BulkChange{Key: core.Key(c.Key), Asked: c.Asked})
	}
	b.CanaryPassed, b.Before, b.Faults, b.Holder, b.Fence = d.CanaryPassed, core.BulkFailures(d.Before), d.Faults, d.Holder, d.Fence
	for _, t := range d.Moved {
		b.Moved = append(b.Moved, core.TenantID(t))
	}
	return nil
}

type totals struct {
	Waiting   int            `json:"waiting,omitempty"`
	Continued int            `json:"continued,omitempty"`
	Refused   int            `json:"refused,omitempty"`
	Open      int            `json:"open,omitempty"`
	Files     int            `json:"files,omitempty"`
	Free      int            `json:"free,omitempty"`
	Price     int64          `json:"price,omitempty"`
	Failures  failures       `json:"failures,omitzero"`
	RefusedBy map[string]int `json:"refusedBy,omitempty"`
}

// EncodeTotals gives the totals of a part.
func EncodeTotals(t core.BulkTotals) (string, error) {
	d := totals{t.Waiting, t.Continued, t.Refused, t.Open, t.Files, t.Free, int64(t.Price), failures(t.Failures), nil}
	for code, n := range t.RefusedBy {
		if d.RefusedBy == nil {
			d.RefusedBy = make(map[string]int, len(t.RefusedBy))
		}
		d.RefusedBy[string(code)] = n
	}
	return encode(d)
}

// DecodeTotals reads them.
func DecodeTotals(details string) (core.BulkTotals, error) {
	var d totals
	if err := json.Unmarshal([]byte(details), &d); err != nil {
		return core.BulkTotals{}, err
	}
	t := core.BulkTotals{
		Waiting: d.Waiting, Continued: d.Continued, Refused: d.Refused, Open: d.Open,
		Files: d.Files, Free: d.Free, Price: core.Credits(d.Price), Failures: core.BulkFailures(d.Failures),
	}
	for code, n := range d.RefusedBy {
		if t.RefusedBy == nil {
			t.RefusedBy = make(map[core.Code]int, len(d.RefusedBy))
		}
		t.RefusedBy[core.Code(code)] = n
	}
	return t, nil
}

type run struct {
	At           time.Time `json:"at,omitzero"`
	Code         string    `json:"code,omitempty"`
	Message      string    `json:"message,omitempty"`
	Attempt      int       `json:"attempt,omitempty"`
	Price        int64     `json:"price,omitempty"`
	Files        int       `json:"files,omitempty"`
	Free         int       `json:"free,omitempty"`
	ErrorsBefore int       `json:"errorsBefore,omitempty"`
	ClosedAt     time.Time `json:"closedAt,omitzero"`
	Status       string    `json:"status,omitempty"`
	FailedFiles  int       `json:"failedFiles,omitempty"`
}

// EncodeRun gives what has no column of its own: all but the place, the run's ID, its state
// and whether it is open.
func EncodeRun(r core.BulkRun) (string, error) {
	return encode(run{r.At, string(r.Code), r.Message, int(r.Attempt), int64(r.Price), r.Files, r.Free, r.ErrorsBefore, r.ClosedAt, string(r.Status), r.FailedFiles})
}

// DecodeRun fills in what EncodeRun gave.
func DecodeRun(r *core.BulkRun, details string) error {
	var d run
	if err := json.Unmarshal([]byte(details), &d); err != nil {
		return err
	}
	r.At, r.Code, r.Message, r.Attempt, r.Price = d.At.UTC(), core.Code(d.Code), d.Message, core.AttemptNumber(d.Attempt), core.Credits(d.Price)
	r.Files, r.Free, r.ErrorsBefore, r.ClosedAt, r.Status, r.FailedFiles = d.Files, d.Free, d.ErrorsBefore, d.ClosedAt.UTC(), core.RunStatus(d.Status), d.FailedFiles
	return nil
}

func encode(v any) (string, error) {
	b, err := json.Marshal(v)
	return string(b), err
}
