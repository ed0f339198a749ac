package app

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

const (
	// bulkPage is how many runs of a selection are read at a time.
	bulkPage = 500
	// maxBulkTenants is how many tenants are looked through for one bulk continue.
	maxBulkTenants = 2_000
	// maxBulkSamples is how many refused runs a preview names.
	maxBulkSamples = 100
	maxFailureCode = 64
)

// continuable are the statuses that a Continue can take up.
var continuable = []core.RunStatus{core.RunCompletedWithErrors, core.RunFailed, core.RunInterrupted}

// check names the fields of the selection that are not valid.
func (r BulkRequest) check() []core.FieldError {
	var wrong []core.FieldError
	add := func(field, format string, args ...any) {
		wrong = append(wrong, core.FieldError{Field: field, Message: fmt.Sprintf(format, args...)})
	}
	if r.Tenant != "" && !core.ValidID(r.Tenant) {
		add("tenant", "is no tenant's ID")
	}
	s := r.Selection
	if len(r.Runs) > core.MaxBulkNamedRuns {
		add("runs", "may name at most %d runs; select them by template, time or status instead", core.MaxBulkNamedRuns)
	}
	if len(r.Runs) > 0 && (s.Template != "" || len(s.Statuses) > 0 || s.FailureCode != "" || !s.CreatedFrom.IsZero() || !s.CreatedTo.IsZero()) {
		add("runs", "cannot be combined with other filters")
	}
	if s.Template != "" && !core.ValidID(s.Template) {
		add("template", "is no template's ID")
	}
	for _, status := range s.Statuses {
		if !slices.Contains(continuable, status) {
			add("status", "must be of %s, %s and %s: nothing else can be continued", core.RunCompletedWithErrors, core.RunFailed, core.RunInterrupted)
			break
		}
	}
	if len(s.FailureCode) > maxFailureCode || !core.ValidText(s.FailureCode) {
		add("failureCode", "must have at most %d characters", maxFailureCode)
	}
	if !s.CreatedFrom.IsZero() && !s.CreatedTo.IsZero() && !s.CreatedFrom.Before(s.CreatedTo) {
		add("to", "must be after from")
	}
	return wrong
}

// fingerprint tells one request from another.
func (r BulkRequest) fingerprint() string {
	b, err := json.Marshal(struct {
		Tenant    core.TenantID
		Runs      []core.RunID
		Selection core.BulkSelection
		Terms     core.BulkTerms
	}{r.Tenant, r.Runs, r.Selection, r.Terms})
	if err != nil { // strings, numbers and times of this age always marshal
		panic(err)
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// runsOf are the runs of one tenant that were selected, in the order in which they are
// continued: as they were named, or the oldest first.
type runsOf struct {
	tenant core.TenantID
	runs   []core.Run
}

// selectRuns finds the runs that a request selects, by tenant, ascending.
func (s *Service) selectRuns(ctx context.Context, actor core.Actor, req BulkRequest) (chosen []runsOf, err error) {
	switch {
	case len(req.Runs) > 0:
		chosen, err = s.namedRuns(ctx, actor, req)
	case req.Tenant != "":
		var of runsOf
		if of, err = s.filteredRuns(ctx, req, req.Tenant, core.MaxBulkRuns); len(of.runs) > 0 {
			chosen = []runsOf{of}
		}
	default:
		chosen, err = s.runsOfAll(ctx, req)
	}
	if err != nil {
		return nil, err
	}
	if len(chosen) == 0 {
		return nil, &core.Error{Code: core.CodeBulkEmpty, Message: "no run is selected that can be continued; nothing was made"}
	}
	return chosen, nil
}

func bulkTooLarge() error {
	return &core.Error{Code: core.CodeBulkTooLarge, Message: fmt.Sprintf("more than %d runs are selected; narrow the time, or make one for each template", core.MaxBulkRuns)}
}

// namedRuns reads runs that were named. Each has to be one that the actor may continue.
func (s *Service) namedRuns(ctx context.Context, actor core.Actor, req BulkRequest) ([]runsOf, error) {
	ids := map[core.TenantID][]core.RunID{}
	seen := map[core.RunID]bool{}
	for _, id := range req.Runs {
		if seen[id] {
			continue
		}
		seen[id] = true
		if !core.ValidID(id) {
			return nil, runNotFound(id)
		}
		owner, err := s.AuthorizeRun(ctx, actor, core.ActionContinue, id)
		if err != nil {
			return nil, err
		}
		if req.Tenant != "" && owner != req.Tenant {
			return nil, &core.Error{Code: core.CodeWrongTenant, Run: id, Message: "a run that is named belongs to another tenant"}
		}
		ids[owner] = append(ids[owner], id)
	}
	var chosen []runsOf
	for tenant, list := range ids {
		of := runsOf{tenant: tenant}
		place := make(map[core.RunID]int, len(list))
		for i, id := range list {
			place[id] = i
		}
		err := s.store.View(ctx, tenant, func(tx ports.Tx) (err error) {
			of.runs, err = tx.Find().RunsByID(ctx, list)
			return err
		})
		if err != nil {
			return nil, err
		}
		slices.SortFunc(of.runs, func(a, b core.Run) int { return cmp.Compare(place[a.ID], place[b.ID]) })
		if len(of.runs) > 0 {
			chosen = append(chosen, of)
		}
	}
	slices.SortFunc(chosen, func(a, b runsOf) int { return strings.Compare(string(a.tenant), string(b.tenant)) })
	return chosen, nil
}

// runsOfAll looks through all tenants.
func (s *Service) runsOfAll(ctx context.Context, req BulkRequest) ([]runsOf, error) {
	var chosen []runsOf
	left, looked := core.MaxBulkRuns, 0
	err := EachTenant(ctx, s.store, func(t core.Tenant) error {
		if looked++; looked > maxBulkTenants {
			return nil
		}
		of, err := s.filteredRuns(ctx, req, t.ID, left)
		if err != nil || len(of.runs) == 0 {
			return err
		}
		left -= len(of.runs)
		chosen = append(chosen, of)
		return nil
	})
	switch {
	case err != nil:
		return nil, err
	case looked > maxBulkTenants:
		return nil, &core.Error{Code: core.CodeBulkTooLarge, Message: fmt.Sprintf("there are more than %d tenants; make one for each tenant", maxBulkTenants)}
	}
	return chosen, nil
}

// filteredRuns finds the runs of a tenant that the filter selects; more than most are refused.
func (s *Service) filteredRuns(ctx context.Context, req BulkRequest, tenant core.TenantID, most int) (runsOf, error) {
	of := runsOf{tenant: tenant}
	sel := req.Selection
	filter := ports.RunFilter{
		Statuses: sel.Statuses, CreatedFrom: sel.CreatedFrom, CreatedTo: sel.CreatedTo, Template: sel.Template, Limit: bulkPage,
	}
	if len(filter.Statuses) == 0 {
		filter.Statuses = continuable
	}
	for {
		var page ports.RunPage
		err := s.store.View(ctx, tenant, func(tx ports.Tx) (err error) { // a short one for each page
			if _, err := tx.Tenants().Get(ctx); err != nil {
				return notFound(err, tenantNotFound(tenant))
			}
			if page, err = tx.Find().Runs(ctx, filter, ports.Look{}); err != nil || sel.FailureCode == "" {
				return err
			}
			ids := make([]core.RunID, len(page.Runs))
			for i := range page.Runs {
				ids[i] = page.Runs[i].ID
			}
			failed, err := tx.FileViews().FailedWith(ctx, ids, sel.FailureCode)
			page.Runs = slices.DeleteFunc(page.Runs, func(r core.Run) bool { return !slices.Contains(failed, r.ID) })
			return err
		})
		if err != nil {
			return of, err
		}
		of.runs = append(of.runs, page.Runs...)
		if len(of.runs) > most {
			return of, bulkTooLarge()
		}
		if page.Next == (ports.RunCursor{}) {
			slices.Reverse(of.runs)
			return of, nil
		}
		filter.Before = page.Next
	}
}
