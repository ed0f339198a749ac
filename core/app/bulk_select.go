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
	// maxBulkLooked is how many runs are looked at for one, of all tenants together.
	maxBulkLooked = 100_000
	// maxBulkSelections is how many selections this Service makes at once, and
	// maxTenantBulkSelections how many of one tenant.
	maxBulkSelections       = 4
	maxTenantBulkSelections = 2
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
		add("failureCode", "must have at most %d characters, and be UTF-8 text without NUL", maxFailureCode)
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

// selecting bounds how many selections are made at once: each may read much. The caller
// leaves when it has done.
func (s *Service) selecting(tenant core.TenantID) (leave func(), err error) {
	leave, _, ofTenant := s.selections.enter(tenant, maxBulkSelections, maxTenantBulkSelections)
	if leave != nil {
		return leave, nil
	}
	e := &core.Error{Code: core.CodeBulkTooManyNow, Message: "as many selections of runs are under way as this server makes at once; nothing was made, try again in a moment"}
	if ofTenant >= maxTenantBulkSelections {
		e.Message = fmt.Sprintf("%d selections of this tenant's runs are under way, as many as may be at once; nothing was made, wait until one of them is done", ofTenant)
	}
	return nil, e
}

// selectRuns finds the runs that a request selects, by tenant, ascending.
func (s *Service) selectRuns(ctx context.Context, actor core.Actor, req BulkRequest) (chosen []runsOf, err error) {
	switch {
	case len(req.Runs) > 0:
		chosen, err = s.namedRuns(ctx, actor, req)
	case req.Tenant != "":
		var of runsOf
		looks := maxBulkLooked
		if of, err = s.filteredRuns(ctx, req, req.Tenant, core.MaxBulkRuns, &looks); len(of.runs) > 0 {
			chosen = []runsOf{of}
		}
	default:
		chosen, err = s.runsOfAll(ctx, req)
	}
	if err != nil {
		return nil, err
	}
	if len(chosen) == 0 {
		return nil, bulkEmpty()
	}
	return chosen, nil
}

func bulkEmpty() error {
	return &core.Error{Code: core.CodeBulkEmpty, Message: "no run is selected that can be continued; nothing was made"}
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

// runsOfAll looks through all tenants but those that live elsewhere, or are on their way.
func (s *Service) runsOfAll(ctx context.Context, req BulkRequest) (chosen []runsOf, err error) {
	left, looked, looks := core.MaxBulkRuns, 0, maxBulkLooked
	for after := core.TenantID(""); ; {
		tenants, err := s.store.OpenTenants(ctx, after, bulkPage)
		if err != nil {
			return nil, err
		}
		for _, t := range tenants {
			after = t.ID
			if looked++; looked > maxBulkTenants {
				return nil, &core.Error{Code: core.CodeBulkTooLarge, Message: fmt.Sprintf("there are more than %d tenants; make one for each tenant", maxBulkTenants)}
			}
			of, err := s.filteredRuns(ctx, req, t.ID, left, &looks)
			if err != nil {
				return nil, err
			}
			if len(of.runs) > 0 {
				left -= len(of.runs)
				chosen = append(chosen, of)
			}
		}
		if len(tenants) < bulkPage {
			return chosen, nil
		}
	}
}

// filteredRuns finds the runs of a tenant that the filter selects; more than most are
// refused, and so is a search that would look at more than looks further ones.
func (s *Service) filteredRuns(ctx context.Context, req BulkRequest, tenant core.TenantID, most int, looks *int) (runsOf, error) {
	of := runsOf{tenant: tenant}
	sel := req.Selection
	filter := ports.RunFilter{
		Statuses: sel.Statuses, CreatedFrom: sel.CreatedFrom, CreatedTo: sel.CreatedTo, Template: sel.Template, Limit: bulkPage,
	}
	if len(filter.Statuses) == 0 {
		filter.Statuses = continuable
	}
	look := ports.Look{}.WithDefaults()
	for {
		var page ports.RunPage
		seen := 0
		err := s.store.View(ctx, tenant, func(tx ports.Tx) (err error) { // a short one for each page
			if _, err := tx.Tenants().Get(ctx); err != nil {
				return notFound(err, tenantNotFound(tenant))
			}
			if page, err = tx.Find().Runs(ctx, filter, look); err != nil {
				return err
			}
			if seen = len(page.Runs); seen < bulkPage && page.Next != (ports.RunCursor{}) {
				seen = look.Runs // the search was ended by its bound
			}
			if sel.FailureCode == "" {
				return nil
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
		if *looks -= seen; *looks <= 0 {
			return of, &core.Error{Code: core.CodeBulkTooLarge, Message: fmt.Sprintf("more than %d runs would have to be looked at; narrow the time", maxBulkLooked)}
		}
		filter.Before = page.Next
	}
}
