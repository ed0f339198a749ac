package app

import (
	"context"
	"slices"
	"time"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// TenantLook is what changes of a tenant, at one moment, for event streams. A run is in
// one of the lists.
type TenantLook struct {
	Balance core.Balance
	Running []core.Run // newest first
	// MoreRunning says that there are more running runs than were asked for.
	MoreRunning bool
	Newest      []core.Run // of the newest runs those that are not in Running
	// Since is when the oldest of the newest runs was created: every run that was created
	// later is in one of the lists. Zero: every run is.
	Since  time.Time
	Others []core.Run // of the runs that were asked for by ID those that are in neither
}

// LookAtTenant reads a tenant's credits, at most running of its running runs and newest of
// its newest ones, and the known runs if they are in neither. It checks no permission, as
// RunsOf does not: it is read once for all streams of a tenant. core.CodeTenantNotFound.
func (s *Service) LookAtTenant(ctx context.Context, tenant core.TenantID, known []core.RunID, running, newest int) (TenantLook, error) {
	var look TenantLook
	err := s.store.View(ctx, tenant, func(tx ports.Tx) (err error) {
		look = TenantLook{}
		look.Balance, err = tx.Ledger().Balance(ctx, core.PeriodOf(s.clock.Now()))
		if err != nil {
			return notFound(err, tenantNotFound(tenant))
		}
		look.Running, err = tx.Runs().List(ctx, ports.RunFilter{Statuses: []core.RunStatus{core.RunRunning}, Limit: running + 1})
		if err != nil {
			return err
		}
		if look.MoreRunning = len(look.Running) > running; look.MoreRunning {
			look.Running = look.Running[:running]
		}
		seen := map[core.RunID]bool{}
		for i := range look.Running {
			seen[look.Running[i].ID] = true
		}
		list, err := tx.Runs().List(ctx, ports.RunFilter{Limit: newest})
		if err != nil {
			return err
		}
		if len(list) == newest {
			look.Since = list[newest-1].CreatedAt
		}
		// A run may close between the two reads: what was read first counts, and the next look
		// sees the rest.
		for i := range list {
			if !seen[list[i].ID] {
				look.Newest = append(look.Newest, list[i])
				seen[list[i].ID] = true
			}
		}
		missing := slices.DeleteFunc(slices.Clone(known), func(id core.RunID) bool { return seen[id] })
		if len(missing) > 0 {
			look.Others, err = tx.Find().RunsByID(ctx, missing)
		}
		return err
	})
	return look, err
}
