// Package partial makes a store of which a part cannot be reached, as of one that is spread
// over several databases while one of them is down (ports.ErrIncomplete).
package partial

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// Store is a store some of whose tenants can be cut off.
type Store struct {
	ports.Store

	mu   sync.Mutex
	away map[core.TenantID]bool
	lose map[core.TenantID]int // so many transactions until it is cut off
	asks map[core.TenantID]int
}

// New wraps a store; all of its tenants can be asked.
func New(s ports.Store) *Store {
	return &Store{Store: s, away: map[core.TenantID]bool{}, lose: map[core.TenantID]int{}, asks: map[core.TenantID]int{}}
}

// Cut cuts tenants off.
func (s *Store) Cut(tenants ...core.TenantID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range tenants {
		s.away[t] = true
	}
}

// CutAtCommit cuts a tenant off when its next transaction but so many is committed: that has
// its effect, and its outcome is not told.
func (s *Store) CutAtCommit(tenant core.TenantID, but int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lose[tenant] = but + 1
}

// Heal ends it.
func (s *Store) Heal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.away)
	clear(s.lose)
}

// Asked is how often a tenant was asked while it was cut off.
func (s *Store) Asked(tenant core.TenantID) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asks[tenant]
}

var errGone = errors.New("its database does not answer")

// missing is the error of an answer without those that are cut off; nil if there are none.
func (s *Store) missing() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.away) == 0 {
		return nil
	}
	return &ports.Incomplete{Where: []string{"a part"}, Tenants: slices.Sorted(maps.Keys(s.away)), Err: errors.Join(ports.ErrUnavailable, errGone)}
}

func (s *Store) reach(tenant core.TenantID) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.away[tenant] {
		return nil
	}
	s.asks[tenant]++
	return errors.Join(ports.ErrUnavailable, errGone)
}

// InTx implements ports.Store.
func (s *Store) InTx(ctx context.Context, tenant core.TenantID, fn func(ports.Tx) error) error {
	if err := s.reach(tenant); err != nil {
		return err
	}
	err := s.Store.InTx(ctx, tenant, fn)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil || s.lose[tenant] == 0 {
		return err
	}
	if s.lose[tenant]--; s.lose[tenant] > 0 {
		return nil
	}
	s.away[tenant] = true
	return errors.Join(ports.ErrCommitUnknown, errGone)
}

// View implements ports.Store.
func (s *Store) View(ctx context.Context, tenant core.TenantID, fn func(ports.Tx) error) error {
	if err := s.reach(tenant); err != nil {
		return err
	}
	return s.Store.View(ctx, tenant, fn)
}

// TenantOf implements ports.Store.
func (s *Store) TenantOf(ctx context.Context, run core.RunID) (core.TenantID, error) {
	tenant, err := s.Store.TenantOf(ctx, run)
	missing := s.missing()
	switch {
	case errors.Is(err, ports.ErrNotFound) && missing != nil, err == nil && s.reach(tenant) != nil:
		return "", missing
	}
	return tenant, err
}

// APIKey implements ports.Store.
func (s *Store) APIKey(ctx context.Context, tenant core.TenantID, id core.APIKeyID) (core.APIKey, error) {
	if err := s.reach(tenant); err != nil {
		return core.APIKey{}, err
	}
	return s.Store.APIKey(ctx, tenant, id)
}

// TouchAPIKey implements ports.Store.
func (s *Store) TouchAPIKey(ctx context.Context, tenant core.TenantID, id core.APIKeyID, at time.Time) error {
	if err := s.reach(tenant); err != nil {
		return err
	}
	return s.Store.TouchAPIKey(ctx, tenant, id, at)
}

// SweepAPIKeys implements ports.Store.
func (s *Store) SweepAPIKeys(ctx context.Context, tenant core.TenantID, before time.Time) (int, error) {
	if err := s.reach(tenant); err != nil {
		return 0, err
	}
	return s.Store.SweepAPIKeys(ctx, tenant, before)
}

// all is more than any test has.
const all = 1 << 20

// part gives what a list has of those that can be asked, up to limit.
func part[T any](s *Store, limit int, tenant func(T) core.TenantID, found []T, err error) ([]T, error) {
	if err != nil {
		return nil, err
	}
	missing := s.missing()
	s.mu.Lock()
	defer s.mu.Unlock()
	found = slices.DeleteFunc(found, func(v T) bool { return s.away[tenant(v)] })
	return found[:min(max(limit, 0), len(found))], missing
}

func ofRun(k ports.RunKey) core.TenantID { return k.Tenant }
func itself(t core.Tenant) core.TenantID { return t.ID }

// DueRuns implements ports.Store.
func (s *Store) DueRuns(ctx context.Context, now time.Time, horizon time.Duration, limit int) ([]ports.RunKey, error) {
	found, err := s.Store.DueRuns(ctx, now, horizon, all)
	return part(s, limit, ofRun, found, err)
}

// InterruptedRuns implements ports.Store.
func (s *Store) InterruptedRuns(ctx context.Context, since time.Time, limit int) ([]ports.RunKey, error) {
	found, err := s.Store.InterruptedRuns(ctx, since, all)
	return part(s, limit, ofRun, found, err)
}

// Ungranted implements ports.Store.
func (s *Store) Ungranted(ctx context.Context, key core.Key, after core.TenantID, limit int) ([]core.Tenant, error) {
	found, err := s.Store.Ungranted(ctx, key, after, all)
	return part(s, limit, itself, found, err)
}

// AllTenants implements ports.Store.
func (s *Store) AllTenants(ctx context.Context, after core.TenantID, limit int) ([]core.Tenant, error) {
	found, err := s.Store.AllTenants(ctx, after, all)
	return part(s, limit, itself, found, err)
}

// OpenTenants implements ports.Store.
func (s *Store) OpenTenants(ctx context.Context, after core.TenantID, limit int) ([]core.Tenant, error) {
	found, err := s.Store.OpenTenants(ctx, after, all)
	return part(s, limit, itself, found, err)
}

// AuditEvents implements ports.Store.
func (s *Store) AuditEvents(ctx context.Context, page ports.AuditPage) ([]core.AuditEvent, error) {
	limit := page.Limit
	page.Limit = all
	found, err := s.Store.AuditEvents(ctx, page)
	return part(s, limit, func(e core.AuditEvent) core.TenantID { return e.Tenant }, found, err)
}

// DueEndpoints implements ports.Store.
func (s *Store) DueEndpoints(ctx context.Context, now time.Time, after ports.EndpointKey, limit int) ([]ports.EndpointKey, error) {
	found, err := s.Store.DueEndpoints(ctx, now, after, all)
	return part(s, limit, func(k ports.EndpointKey) core.TenantID { return k.Tenant }, found, err)
}

// BulkContinues implements ports.Store.
func (s *Store) BulkContinues() ports.BulkContinues {
	return bulkContinues{s.Store.BulkContinues(), s}
}

type bulkContinues struct {
	ports.BulkContinues
	s *Store
}

func (b bulkContinues) Parts(ctx context.Context, of ports.BulkKey) ([]core.BulkPart, error) {
	if of.Tenant != "" {
		if err := b.s.reach(of.Tenant); err != nil {
			return nil, err
		}
		return b.BulkContinues.Parts(ctx, of)
	}
	found, err := b.BulkContinues.Parts(ctx, of)
	return part(b.s, all, func(p core.BulkPart) core.TenantID { return p.Tenant }, found, err)
}

func (b bulkContinues) Orphans(ctx context.Context, before time.Time, limit int) ([]ports.BulkPartKey, error) {
	found, err := b.BulkContinues.Orphans(ctx, before, all)
	return part(b.s, limit, func(k ports.BulkPartKey) core.TenantID { return k.Tenant }, found, err)
}
