package app

import (
	"context"
	"slices"
	"time"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// RunsPage is a page of the result of FindRuns.
type RunsPage struct {
	Runs []RunView
	// Next is the Before of the next page; zero if there is none. After a search that
	// reached its bound it is set although the page has few runs or none.
	Next ports.RunCursor
}

// FindRuns lists the tenant's runs that the filter selects, newest first. What it reads
// for one page is bounded for every filter (ports.Look).
func (s *Service) FindRuns(ctx context.Context, actor core.Actor, tenant core.TenantID, filter ports.RunFilter) (RunsPage, error) {
	if err := core.Authorize(actor, core.ActionRead, tenant); err != nil {
		return RunsPage{}, err
	}
	var page RunsPage
	err := s.store.View(ctx, tenant, func(tx ports.Tx) error {
		page = RunsPage{}
		if _, err := tx.Tenants().Get(ctx); err != nil {
			return notFound(err, tenantNotFound(tenant))
		}
		found, err := tx.Find().Runs(ctx, filter, ports.Look{})
		if err != nil {
			return err
		}
		page.Next = found.Next
		for _, run := range found.Runs {
			v, err := viewOf(ctx, tx, run)
			if err != nil {
				return err
			}
			page.Runs = append(page.Runs, v)
		}
		return nil
	})
	return page, err
}

// maxContinuableLook is how many runs one answer of FindContinuable looks at.
const maxContinuableLook = 1000

// FindContinuable is FindRuns for those runs that can be continued as far as the run and its
// files say (RunView.Refusal is nil), or for those that cannot. It looks at up to 1,000 runs
// for one page, which may then have few, or none, with a Next.
func (s *Service) FindContinuable(ctx context.Context, actor core.Actor, tenant core.TenantID, filter ports.RunFilter, continuable bool) (RunsPage, error) {
	if err := core.Authorize(actor, core.ActionRead, tenant); err != nil {
		return RunsPage{}, err
	}
	if continuable {
		if filter.Statuses = mayContinue(filter.Statuses); len(filter.Statuses) == 0 {
			return RunsPage{}, nil
		}
	}
	var page RunsPage
	err := s.store.View(ctx, tenant, func(tx ports.Tx) error {
		page = RunsPage{}
		if _, err := tx.Tenants().Get(ctx); err != nil {
			return notFound(err, tenantNotFound(tenant))
		}
		look := filter
		for looked := 0; looked < maxContinuableLook; {
			found, err := tx.Find().Runs(ctx, look, ports.Look{})
			if err != nil {
				return err
			}
			for i, run := range found.Runs {
				v, err := viewOf(ctx, tx, run)
				if err != nil {
					return err
				}
				if (v.Refusal == nil) != continuable {
					continue
				}
				page.Runs = append(page.Runs, v)
				if len(page.Runs) == filter.Limit {
					page.Next = found.Next
					if i < len(found.Runs)-1 {
						page.Next = ports.RunCursor{CreatedAt: run.CreatedAt, ID: run.ID}
					}
					return nil
				}
			}
			page.Next, look.Before = found.Next, found.Next
			looked += len(found.Runs)
			if found.Next == (ports.RunCursor{}) || len(found.Runs) < look.Limit { // or the search has reached its own bound
				return nil
			}
		}
		return nil
	})
	return page, err
}

// mayContinue gives those of these statuses, or of all, in which a run may be continued.
func mayContinue(statuses []core.RunStatus) []core.RunStatus {
	var list []core.RunStatus
	for _, s := range []core.RunStatus{core.RunCompletedWithErrors, core.RunFailed, core.RunInterrupted} {
		if len(statuses) == 0 || slices.Contains(statuses, s) {
			list = append(list, s)
		}
	}
	return list
}

// Bounds of a page of templates, each of which may have 100,000 bytes of instructions.
const (
	templatesAtOnce   = 50
	maxTemplatesBytes = 4 << 20
)

// TemplatesPage is a page of the result of FindTemplates.
type TemplatesPage struct {
	Templates []core.Template
	// Next is the After of the next page; empty if there is none. A page whose texts have
	// 4 MiB ends before its limit.
	Next core.TemplateID
}

// FindTemplates lists the tenant's templates that the filter selects, ascending by ID.
func (s *Service) FindTemplates(ctx context.Context, actor core.Actor, tenant core.TenantID, filter ports.TemplateFilter) (TemplatesPage, error) {
	if err := core.Authorize(actor, core.ActionRead, tenant); err != nil {
		return TemplatesPage{}, err
	}
	var page TemplatesPage
	err := s.store.View(ctx, tenant, func(tx ports.Tx) error {
		page = TemplatesPage{}
		if _, err := tx.Tenants().Get(ctx); err != nil {
			return notFound(err, tenantNotFound(tenant))
		}
		part, left := filter, maxTemplatesBytes
		for {
			part.Limit = min(templatesAtOnce, filter.Limit-len(page.Templates)) + 1 // one more says that there is a next page
			found, err := tx.Find().Templates(ctx, part)
			if err != nil {
				return err
			}
			for _, t := range found {
				left -= len(t.Name) + len(t.Instructions)
				if n := len(page.Templates); n == filter.Limit || left < 0 && n > 0 {
					page.Next = page.Templates[n-1].ID
					return nil
				}
				page.Templates = append(page.Templates, t)
				part.After = t.ID
			}
			if len(found) < part.Limit {
				return nil
			}
		}
	})
	return page, err
}

// FindEntries lists the tenant's ledger entries that the filter selects, the latest
// first. What it reads for one page is bounded (ports.Look).
func (s *Service) FindEntries(ctx context.Context, actor core.Actor, tenant core.TenantID, filter ports.EntryFilter) (ports.EntryPage, error) {
	if err := core.Authorize(actor, core.ActionRead, tenant); err != nil {
		return ports.EntryPage{}, err
	}
	var page ports.EntryPage
	err := s.store.View(ctx, tenant, func(tx ports.Tx) (err error) {
		if _, err := tx.Tenants().Get(ctx); err != nil {
			return notFound(err, tenantNotFound(tenant))
		}
		page, err = tx.Find().Entries(ctx, filter, ports.Look{})
		return err
	})
	return page, err
}

// RunsOf reads the tenant's runs with these IDs, in any order, for event streams. It
// checks no permission: the caller has checked it for each stream, and reads each run
// once for all of them.
func (s *Service) RunsOf(ctx context.Context, tenant core.TenantID, ids []core.RunID) ([]core.Run, error) {
	var list []core.Run
	err := s.store.View(ctx, tenant, func(tx ports.Tx) (err error) {
		list, err = tx.Find().RunsByID(ctx, ids)
		return err
	})
	return list, err
}

// Trouble lists the runs that need an operator's attention.
type Trouble struct {
	// Stuck are running runs that recovery should have visited long ago, longest due
	// first.
	Stuck []core.Run
	// Interrupted are runs that closed INTERRUPTED and were not cancelled by a user, the
	// latest first. Run.Reason and Run.Failure say why.
	Interrupted []core.Run
	// More says that one of the lists was cut at the limit.
	More bool
}

// Trouble finds, in all tenants, runs that have been due for recovery for longer than
// dueFor, and runs that were interrupted since a time, at most limit of each. It is for
// platform admins. Those of tenants that cannot be asked are left out, with an error that is
// ports.ErrIncomplete beside the rest.
func (s *Service) Trouble(ctx context.Context, actor core.Actor, dueFor time.Duration, since time.Time, limit int) (Trouble, error) {
	if err := core.Authorize(actor, core.ActionInspectAnyTenant, actor.Tenant); err != nil {
		return Trouble{}, err
	}
	late := s.clock.Now().Add(-dueFor)
	horizon := s.opts.Recovery.Horizon() + dueFor // as far ahead of now as ever
	stuck, missing := s.store.DueRuns(ctx, late, horizon, limit+1)
	if unanswered(missing) {
		return Trouble{}, missing
	}
	interrupted, err := s.store.InterruptedRuns(ctx, since, limit+1)
	if unanswered(err) {
		return Trouble{}, err
	}
	if err != nil {
		missing = err
	}
	t := Trouble{More: len(stuck) > limit || len(interrupted) > limit}
	// A run may have changed since it was listed.
	t.Stuck, err = s.runsIf(ctx, stuck[:min(limit, len(stuck))], func(r core.Run) bool { return core.RecoveryDue(r, late, horizon) })
	if err != nil {
		return Trouble{}, err
	}
	t.Interrupted, err = s.runsIf(ctx, interrupted[:min(limit, len(interrupted))], func(r core.Run) bool { return r.Status == core.RunInterrupted })
	if err != nil {
		return Trouble{}, err
	}
	return t, missing
}

// runsIf reads runs of several tenants, with one query for each tenant, and keeps their
// order.
func (s *Service) runsIf(ctx context.Context, keys []ports.RunKey, wanted func(core.Run) bool) ([]core.Run, error) {
	ids := map[core.TenantID][]core.RunID{}
	var tenants []core.TenantID
	for _, k := range keys {
		if ids[k.Tenant] == nil {
			tenants = append(tenants, k.Tenant)
		}
		ids[k.Tenant] = append(ids[k.Tenant], k.Run)
	}
	runs := map[core.RunID]core.Run{}
	for _, tenant := range tenants {
		list, err := s.RunsOf(ctx, tenant, ids[tenant])
		if err != nil {
			return nil, err
		}
		for _, run := range list {
			runs[run.ID] = run
		}
	}
	var list []core.Run
	for _, k := range keys {
		if run, ok := runs[k.Run]; ok && wanted(run) {
			list = append(list, run)
		}
	}
	return list, nil
}
