package storetest

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// PartialFactory gives a new empty store that has its tenants in several parts. cut makes the
// part that a tenant is in unreachable, and heal ends that. Of the tenants tenant-0 to tenant-7
// each part has some.
type PartialFactory func(t *testing.T) (s ports.Store, cut func(core.TenantID) (heal func()))

// RunIncomplete tests what ports.Store promises while a part of it cannot be reached. It is
// not in Run: most stores have no parts.
func RunIncomplete(t *testing.T, newStore PartialFactory) {
	t.Helper()
	t.Run("Lists", func(t *testing.T) { testIncompleteLists(t, newStore) })
	t.Run("Pages", func(t *testing.T) { testIncompletePages(t, newStore) })
	t.Run("Tenants", func(t *testing.T) { testIncompleteTenants(t, newStore) })
}

// list is a list over all tenants, as whose rows it gives.
type list func(ctx context.Context, s ports.Store) ([]core.TenantID, error)

func tenantsOf[T any](tenant func(T) core.TenantID, found []T, err error) ([]core.TenantID, error) {
	ids := make([]core.TenantID, len(found))
	for i := range found {
		ids[i] = tenant(found[i])
	}
	return ids, err
}

func ofRun(k ports.RunKey) core.TenantID { return k.Tenant }
func itself(t core.Tenant) core.TenantID { return t.ID }

var lists = map[string]list{
	"DueRuns": func(ctx context.Context, s ports.Store) ([]core.TenantID, error) {
		found, err := s.DueRuns(ctx, at(10_000), horizon, 100)
		return tenantsOf(ofRun, found, err)
	},
	"InterruptedRuns": func(ctx context.Context, s ports.Store) ([]core.TenantID, error) {
		found, err := s.InterruptedRuns(ctx, at(-10_000), 100)
		return tenantsOf(ofRun, found, err)
	},
	"Ungranted": func(ctx context.Context, s ports.Store) ([]core.TenantID, error) {
		found, err := s.Ungranted(ctx, "allowance/none", "", 100)
		return tenantsOf(itself, found, err)
	},
	"AllTenants": func(ctx context.Context, s ports.Store) ([]core.TenantID, error) {
		found, err := s.AllTenants(ctx, "", 100)
		return tenantsOf(itself, found, err)
	},
	"OpenTenants": func(ctx context.Context, s ports.Store) ([]core.TenantID, error) {
		found, err := s.OpenTenants(ctx, "", 100)
		return tenantsOf(itself, found, err)
	},
	"AuditEvents": func(ctx context.Context, s ports.Store) ([]core.TenantID, error) {
		found, err := s.AuditEvents(ctx, ports.AuditPage{Limit: 100})
		return tenantsOf(func(e core.AuditEvent) core.TenantID { return e.Tenant }, found, err)
	},
	"DueEndpoints": func(ctx context.Context, s ports.Store) ([]core.TenantID, error) {
		found, err := s.DueEndpoints(ctx, at(10_000), ports.EndpointKey{}, 100)
		return tenantsOf(func(k ports.EndpointKey) core.TenantID { return k.Tenant }, found, err)
	},
	"BulkContinues.Parts": func(ctx context.Context, s ports.Store) ([]core.TenantID, error) {
		found, err := s.BulkContinues().Parts(ctx, ports.BulkKey{ID: "bulk-1"})
		return tenantsOf(func(p core.BulkPart) core.TenantID { return p.Tenant }, found, err)
	},
	"BulkContinues.Orphans": func(ctx context.Context, s ports.Store) ([]core.TenantID, error) {
		found, err := s.BulkContinues().Orphans(ctx, at(10_000), 100)
		return tenantsOf(func(k ports.BulkPartKey) core.TenantID { return k.Tenant }, found, err)
	},
}

// unordered are lists whose order nobody promises.
var unordered = []string{"BulkContinues.Orphans"}

// severed has eight tenants, and a part is cut off.
type severed struct {
	s    ports.Store
	away []core.TenantID
	left []core.TenantID
	heal func()
}

func (v *severed) without(of []core.TenantID) []core.TenantID {
	return slices.DeleteFunc(slices.Clone(of), func(id core.TenantID) bool { return slices.Contains(v.away, id) })
}

// missing requires that an answer says what it has not.
func (v *severed) missing(t *testing.T, err error, of ...any) {
	t.Helper()
	require.ErrorIs(t, err, ports.ErrIncomplete, of...)
	require.ErrorIs(t, err, ports.ErrUnavailable, of...)
	var incomplete *ports.Incomplete
	require.ErrorAs(t, err, &incomplete, of...)
	require.Equal(t, v.away, incomplete.Tenants, of...)
	require.NotEmpty(t, incomplete.Where, of...)
}

func sever(t *testing.T, newStore PartialFactory) (v *severed, before map[string][]core.TenantID) {
	t.Helper()
	s, cut := newStore(t)
	v = &severed{s: s}
	var all []core.TenantID
	for i := range 8 {
		id := core.TenantID(fmt.Sprintf("tenant-%d", i))
		w := build(t, s, id)
		commit(t, s, id, func(ctx context.Context, tx ports.Tx) error { // to which something is due
			e := w.endpoints[0]
			e.Pause, e.PausedAt = "", time.Time{}
			return tx.WebhookEndpoints().Save(ctx, e)
		})
		all = append(all, id)
	}
	before = map[string][]core.TenantID{}
	for name, list := range lists {
		var err error
		before[name], err = list(bounded(t), s)
		require.NoError(t, err, name)
		require.NotEmpty(t, before[name], name)
	}
	v.heal = cut("tenant-3")
	_, err := s.AllTenants(bounded(t), "", 100)
	var incomplete *ports.Incomplete
	require.ErrorAs(t, err, &incomplete)
	v.away = incomplete.Tenants
	require.Contains(t, v.away, core.TenantID("tenant-3"))
	require.True(t, slices.IsSorted(v.away))
	v.left = v.without(all)
	require.NotEmpty(t, v.left, "all are in one part, so nothing would be shown")
	return v, before
}

func testIncompleteLists(t *testing.T, newStore PartialFactory) {
	t.Parallel()
	v, before := sever(t, newStore)
	alike := func(name string, want, got []core.TenantID) {
		if slices.Contains(unordered, name) {
			require.ElementsMatch(t, want, got, name)
			return
		}
		require.Equal(t, want, got, name)
	}
	for name, list := range lists {
		got, err := list(bounded(t), v.s)
		v.missing(t, err, name)
		alike(name, v.without(before[name]), got)
	}
	v.heal()
	for name, list := range lists {
		got, err := list(bounded(t), v.s)
		require.NoError(t, err, name)
		alike(name, before[name], got)
	}
}

// A walk by pages has what can be had, each row once. One that begins anew when the part is
// back has all; one that goes on has all that follows its place.
func testIncompletePages(t *testing.T, newStore PartialFactory) {
	t.Parallel()
	v, before := sever(t, newStore)
	ctx := bounded(t)
	walk := func(after core.TenantID, pages int) (found []core.TenantID, last error) {
		for range pages {
			page, err := v.s.AllTenants(ctx, after, 2)
			require.LessOrEqual(t, len(page), 2)
			for _, tenant := range page {
				found, after = append(found, tenant.ID), tenant.ID
			}
			if last = err; len(page) < 2 {
				break
			}
		}
		return found, last
	}
	found, err := walk("", 10)
	v.missing(t, err)
	require.Equal(t, v.left, found)
	var events []core.AuditEvent
	for page := (ports.AuditPage{Limit: 3}); ; page.Before = ports.AuditCursorOf(events[len(events)-1]) {
		more, err := v.s.AuditEvents(ctx, page)
		v.missing(t, err)
		events = append(events, more...)
		if len(more) < page.Limit {
			break
		}
	}
	ids, _ := tenantsOf(func(e core.AuditEvent) core.TenantID { return e.Tenant }, events, nil)
	require.Equal(t, v.without(before["AuditEvents"]), ids)

	found, err = walk("", 1)
	v.missing(t, err)
	v.heal()
	rest, err := walk(found[len(found)-1], 10)
	require.NoError(t, err)
	all := before["AllTenants"]
	require.Equal(t, all[slices.Index(all, found[len(found)-1])+1:], rest)
	found, err = walk("", 10)
	require.NoError(t, err)
	require.Equal(t, all, found)
}

// The tenants of the other parts notice nothing; those of this one are unavailable, and
// nobody is told that something of theirs is not there.
func testIncompleteTenants(t *testing.T, newStore PartialFactory) {
	t.Parallel()
	v, _ := sever(t, newStore)
	ctx := bounded(t)
	for _, id := range v.left {
		w := newWorld(id)
		view(t, v.s, id, func(ctx context.Context, tx ports.Tx) error { return drop(tx.Tenants().Get(ctx)) })
		commit(t, v.s, id, func(ctx context.Context, tx ports.Tx) error { return tx.Tenants().Save(ctx, w.tenant) })
		same(t, id)(v.s.TenantOf(ports.LikelyOwner(ctx, id), w.running.ID))
		same(t, []core.BulkPart{w.bulk})(v.s.BulkContinues().Parts(ctx, ports.BulkKey{Tenant: id, ID: "bulk-1"}))
		same(t, w.apiKeys[0])(v.s.APIKey(ctx, id, w.apiKeys[0].ID))
	}
	for _, id := range v.away {
		w := newWorld(id)
		unavailable := func(err error) {
			t.Helper()
			require.ErrorIs(t, err, ports.ErrUnavailable)
			require.NotErrorIs(t, err, ports.ErrNotFound)
		}
		read := func(tx ports.Tx) error { return drop(tx.Tenants().Get(ctx)) }
		unavailable(v.s.View(ctx, id, read))
		unavailable(v.s.InTx(ctx, id, read))
		unavailable(drop(v.s.TenantOf(ports.LikelyOwner(ctx, id), w.running.ID)))
		unavailable(drop(v.s.BulkContinues().Parts(ctx, ports.BulkKey{Tenant: id, ID: "bulk-1"})))
		unavailable(drop(v.s.APIKey(ctx, id, w.apiKeys[0].ID)))
	}
	_, err := v.s.TenantOf(ctx, "no-such-run")
	require.ErrorIs(t, err, ports.ErrIncomplete, "nobody knows that it is not there")
	v.heal()
	for _, id := range v.away {
		commit(t, v.s, id, func(ctx context.Context, tx ports.Tx) error { return drop(tx.Tenants().Get(ctx)) })
	}
	_, err = v.s.TenantOf(ctx, "no-such-run")
	require.ErrorIs(t, err, ports.ErrNotFound)
}

func drop[T any](_ T, err error) error { return err }
