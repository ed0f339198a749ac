package httpapi

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/ports"
)

type bulkPageJSON struct {
	BulkContinues []bulkJSON `json:"bulkContinues"`
	NextCursor    string     `json:"nextCursor,omitempty"`
}

// bulkJSON is a bulk continue and how far it is.
type bulkJSON struct {
	ID         string    `json:"id"`
	Tenant     string    `json:"tenant,omitempty"`
	AllTenants bool      `json:"allTenants"`
	CreatedBy  actorJSON `json:"createdBy"`
	CreatedAt  time.Time `json:"createdAt"`

	NamedRuns   int       `json:"namedRuns,omitempty"`
	Template    string    `json:"template,omitempty"`
	Statuses    []string  `json:"status,omitempty"`
	From        time.Time `json:"from,omitzero"`
	To          time.Time `json:"to,omitzero"`
	FailureCode string    `json:"failureCode,omitempty"`

	MaxPrice      *int64          `json:"maxPrice,omitempty"`
	RunsPerMinute int             `json:"runsPerMinute,omitempty"`
	Canary        *bulkCanaryJSON `json:"canary,omitempty"`
	Stop          *bulkStopJSON   `json:"stop,omitempty"`

	State         string           `json:"state"`
	Reason        string           `json:"reason,omitempty"`
	ChangedBy     actorJSON        `json:"changedBy"`
	ChangedAt     time.Time        `json:"changedAt"`
	ExpectedPrice int64            `json:"expectedPrice"`
	Progress      bulkProgressJSON `json:"progress"`

	Tenants    []bulkTenantJSON `json:"tenants,omitempty"`
	Incomplete *incompleteJSON  `json:"incomplete,omitempty"`
}

type bulkCanaryJSON struct {
	Runs             int  `json:"runs"`
	MaxFailedPercent int  `json:"maxFailedPercent"`
	Passed           bool `json:"passed"`
}

type bulkStopJSON struct {
	MaxFailedPercent int `json:"maxFailedPercent"`
	MinFiles         int `json:"minFiles"`
}

type bulkProgressJSON struct {
	Runs        int            `json:"runs"`
	Waiting     int            `json:"waiting"`
	Continued   int            `json:"continued"`
	Refused     int            `json:"refused"`
	Unknown     int            `json:"unknown,omitempty"` // of tenants that cannot be asked
	RefusedBy   []bulkCodeJSON `json:"refusedBy"`
	Open        int            `json:"open"` // of continued: not closed yet
	Files       int            `json:"files"`
	FreeFiles   int            `json:"freeFiles"`
	Price       int64          `json:"price"`
	ClosedFiles int            `json:"closedFiles"`
	FailedFiles int            `json:"failedFiles"`
}

type bulkCodeJSON struct {
	Code   string `json:"code"`
	Runs   int    `json:"runs"`
	Reason string `json:"reason,omitempty"`
}

type bulkTenantJSON struct {
	Tenant string `json:"tenant"`
	bulkProgressJSON
}

type bulkRunPageJSON struct {
	Runs       []bulkRunJSON   `json:"runs"`
	NextCursor string          `json:"nextCursor,omitempty"`
	Incomplete *incompleteJSON `json:"incomplete,omitempty"`
}

// bulkRunJSON is what became of one run.
type bulkRunJSON struct {
	Run     string    `json:"run"`
	Tenant  string    `json:"tenant"`
	State   string    `json:"state"`
	At      time.Time `json:"at,omitzero"`
	Code    string    `json:"code,omitempty"`
	Reason  string    `json:"reason,omitempty"`
	Attempt *int      `json:"attempt,omitempty"`
	Price   *int64    `json:"price,omitempty"`
	Files   *int      `json:"files,omitempty"`
	Free    *int      `json:"freeFiles,omitempty"`

	ClosedAt    time.Time `json:"closedAt,omitzero"`
	Status      string    `json:"status,omitempty"`
	FailedFiles *int      `json:"failedFiles,omitempty"`
}

type bulkPreviewJSON struct {
	bulkPreviewTotalsJSON
	Tenants     []bulkTenantPreviewJSON `json:"tenants"`
	RefusedRuns []bulkRefusedRunJSON    `json:"refusedRuns"`
}

type bulkPreviewTotalsJSON struct {
	Runs      int            `json:"runs"`
	Accepted  int            `json:"accepted"`
	Charged   int            `json:"chargedFiles"`
	Free      int            `json:"freeFiles"`
	Price     int64          `json:"price"`
	Refused   int            `json:"refused"`
	RefusedBy []bulkCodeJSON `json:"refusedBy"`
}

type bulkTenantPreviewJSON struct {
	Tenant    string `json:"tenant"`
	Available int64  `json:"available"`
	bulkPreviewTotalsJSON
}

type bulkRefusedRunJSON struct {
	Run    string `json:"run"`
	Tenant string `json:"tenant"`
	Code   string `json:"code"`
	Reason string `json:"reason"`
}

func toBulk(v app.BulkView) bulkJSON {
	b := v.Bulk
	wire := bulkJSON{
		ID: string(b.ID), Tenant: string(b.Tenant), AllTenants: b.Tenant == "", CreatedBy: toActor(b.By), CreatedAt: b.CreatedAt,
		NamedRuns: b.Selection.Named, Template: string(b.Selection.Template), From: b.Selection.CreatedFrom, To: b.Selection.CreatedTo,
		FailureCode: b.Selection.FailureCode, MaxPrice: (*int64)(b.Terms.MaxPrice), RunsPerMinute: b.Terms.RunsPerMinute,
		Stop:  (*bulkStopJSON)(b.Terms.Stop),
		State: string(b.Status), Reason: string(b.Reason), ChangedBy: toActor(b.ChangedBy), ChangedAt: b.ChangedAt,
		ExpectedPrice: int64(b.Expected), Progress: toBulkProgress(v.Totals),
	}
	for _, s := range b.Selection.Statuses {
		wire.Statuses = append(wire.Statuses, string(s))
	}
	if c := b.Terms.Canary; c != nil {
		wire.Canary = &bulkCanaryJSON{c.Runs, c.MaxFailedPercent, b.CanaryPassed}
	}
	if missing, ok := errors.AsType[*ports.Incomplete](v.Missing); ok {
		wire.Incomplete = toIncompleteBulk(v, missing.Tenants)
	}
	return wire
}

// toIncompleteBulk says that what became of some runs is not known now. Which of the tenants
// that cannot be asked have runs in it is not known either, unless it is of one.
func toIncompleteBulk(v app.BulkView, missing []core.TenantID) *incompleteJSON {
	j := &incompleteJSON{Message: fmt.Sprintf("A part of the database does not answer at the moment, so nothing is known of %d of the runs. Those that were not continued yet wait until it answers; the others go on.", v.Totals.Unknown)}
	if v.Bulk.Tenant != "" {
		j.Tenants, j.TenantCount = []string{string(missing[0])}, 1
	}
	return j
}

// maxBulkTenants is how many tenants one answer lists.
const maxBulkTenants = 500

func toBulkWithTenants(v app.BulkView) bulkJSON {
	wire := toBulk(v)
	if v.Bulk.Tenant != "" {
		return wire
	}
	for _, p := range v.Parts[:min(len(v.Parts), maxBulkTenants)] {
		wire.Tenants = append(wire.Tenants, bulkTenantJSON{string(p.Tenant), toBulkProgress(v.Bulk.Totals(p))})
	}
	return wire
}

func toBulkProgress(t core.BulkTotals) bulkProgressJSON {
	return bulkProgressJSON{
		Runs: t.Runs(), Waiting: t.Waiting, Continued: t.Continued, Refused: t.Refused, Unknown: t.Unknown, RefusedBy: toBulkCodes(t.RefusedBy, nil),
		Open: t.Open, Files: t.Files, FreeFiles: t.Free, Price: int64(t.Price), ClosedFiles: t.Failures.Closed, FailedFiles: t.Failures.Failed,
	}
}

func toBulkCodes(by map[core.Code]int, reasons map[core.Code]string) []bulkCodeJSON {
	list := make([]bulkCodeJSON, 0, len(by))
	for _, code := range slices.Sorted(maps.Keys(by)) {
		list = append(list, bulkCodeJSON{string(code), by[code], reasons[code]})
	}
	return list
}

func toBulkRun(r app.BulkRunOf) bulkRunJSON {
	wire := bulkRunJSON{
		Run: string(r.Run), Tenant: string(r.Tenant), State: string(r.State), At: r.At, Code: string(r.Code), Reason: r.Message,
		ClosedAt: r.ClosedAt, Status: string(r.Status),
	}
	if r.State == core.BulkRunContinued {
		attempt, price := int(r.Attempt), int64(r.Price)
		wire.Attempt, wire.Price, wire.Files, wire.Free = &attempt, &price, &r.Files, &r.Free
		if !r.Open {
			wire.FailedFiles = &r.FailedFiles
		}
	}
	return wire
}

func toBulkPreview(p app.BulkPreview) bulkPreviewJSON {
	wire := bulkPreviewJSON{
		bulkPreviewTotalsJSON: toBulkPreviewTotals(p.BulkPreviewTotals, p.Reasons),
		Tenants:               []bulkTenantPreviewJSON{}, RefusedRuns: []bulkRefusedRunJSON{},
	}
	for _, t := range p.Tenants[:min(len(p.Tenants), maxBulkTenants)] {
		wire.Tenants = append(wire.Tenants, bulkTenantPreviewJSON{string(t.Tenant), int64(t.Available), toBulkPreviewTotals(t.BulkPreviewTotals, nil)})
	}
	for _, r := range p.Samples {
		wire.RefusedRuns = append(wire.RefusedRuns, bulkRefusedRunJSON{string(r.Run), string(r.Tenant), string(r.Code), r.Message})
	}
	return wire
}

func toBulkPreviewTotals(t app.BulkPreviewTotals, reasons map[core.Code]string) bulkPreviewTotalsJSON {
	return bulkPreviewTotalsJSON{
		Runs: t.Runs, Accepted: t.Accepted, Charged: t.Charged, Free: t.Free, Price: int64(t.Price),
		Refused: t.Runs - t.Accepted, RefusedBy: toBulkCodes(t.Refused, reasons),
	}
}
