package storetest

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

func auditEvent(tenant core.TenantID, id core.AuditID, minute int) core.AuditEvent {
	return core.AuditEvent{
		Tenant: tenant, ID: id, At: at(minute), Actor: core.System, Action: core.AuditTenantChanged, Target: string(tenant),
		Facts: core.AuditFacts{"name": "Acme"},
	}
}

func testAuditLog(t *testing.T, newStore Factory, _ Options) {
	t.Run("Pages", func(t *testing.T) {
		t.Parallel()
		s := newStore(t)
		var all []core.AuditEvent // the latest first
		of := map[core.TenantID][]core.AuditEvent{}
		for _, tenant := range []core.TenantID{"acme", "beta"} {
			bare(t, s, tenant)
		}
		for minute := range 4 { // several at the same moment, of both tenants
			for _, tenant := range []core.TenantID{"acme", "beta"} {
				for _, id := range []core.AuditID{"A", "_x", "a"} {
					e := auditEvent(tenant, core.AuditID(fmt.Sprint(id, minute)), minute)
					commit(t, s, tenant, func(ctx context.Context, tx ports.Tx) error { return tx.AuditLog().Insert(ctx, e) })
					all = append([]core.AuditEvent{e}, all...)
					of[tenant] = append([]core.AuditEvent{e}, of[tenant]...)
				}
			}
		}
		walk := func(want []core.AuditEvent, read func(ports.AuditPage) ([]core.AuditEvent, error)) {
			t.Helper()
			for limit := 1; limit <= len(want)+1; limit++ {
				var got []core.AuditEvent
				for before := (ports.AuditCursor{}); ; {
					page, err := read(ports.AuditPage{Before: before, Limit: limit})
					require.NoError(t, err)
					require.LessOrEqual(t, len(page), limit)
					if len(page) == 0 {
						break
					}
					got = append(got, page...)
					before = ports.AuditCursorOf(page[len(page)-1])
				}
				equal(t, want, got, "limit %d", limit)
			}
			some, err := read(ports.AuditPage{From: at(1), To: at(3), Limit: 100})
			require.NoError(t, err)
			for _, e := range some {
				require.False(t, e.At.Before(at(1)) || !e.At.Before(at(3)), e.At)
			}
			require.Len(t, some, len(want)/2)
			none, err := read(ports.AuditPage{})
			require.NoError(t, err)
			require.Empty(t, none)
		}
		ctx := bounded(t)
		walk(all, func(page ports.AuditPage) ([]core.AuditEvent, error) { return s.AuditEvents(ctx, page) })
		for tenant, want := range of {
			walk(want, func(page ports.AuditPage) (list []core.AuditEvent, err error) {
				err = s.View(ctx, tenant, func(tx ports.Tx) (err error) {
					list, err = tx.AuditLog().List(ctx, page)
					return err
				})
				return list, err
			})
		}
	})

	t.Run("OnlyWithTheDeed", func(t *testing.T) {
		t.Parallel()
		s := newStore(t)
		bare(t, s, "acme")
		ctx := bounded(t)
		require.ErrorIs(t, s.InTx(ctx, "acme", func(tx ports.Tx) error {
			require.NoError(t, tx.AuditLog().Insert(ctx, auditEvent("acme", "event", 1)))
			return errRollback
		}), errRollback)
		require.Empty(t, MustRead(t, s, "acme").Audit)
		found, err := s.AuditEvents(ctx, ports.AuditPage{Limit: 10})
		require.NoError(t, err)
		require.Empty(t, found)
	})

	t.Run("OnceEach", func(t *testing.T) {
		t.Parallel()
		s := newStore(t)
		bare(t, s, "acme")
		bare(t, s, "beta")
		first := auditEvent("acme", "event", 1)
		commit(t, s, "acme", func(ctx context.Context, tx ports.Tx) error {
			require.NoError(t, tx.AuditLog().Insert(ctx, first))
			again := first
			again.Target = "another"
			require.ErrorIs(t, tx.AuditLog().Insert(ctx, again), ports.ErrExists)
			return nil
		})
		// An event is never overwritten, not even by another tenant's of the same name.
		commit(t, s, "beta", func(ctx context.Context, tx ports.Tx) error {
			return tx.AuditLog().Insert(ctx, auditEvent("beta", "event", 2))
		})
		commit(t, s, "acme", func(ctx context.Context, tx ports.Tx) error {
			require.ErrorIs(t, tx.AuditLog().Insert(ctx, auditEvent("acme", "event", 3)), ports.ErrExists)
			return nil
		})
		equal(t, []core.AuditEvent{first}, MustRead(t, s, "acme").Audit)
		ctx := bounded(t)
		require.ErrorIs(t, s.InTx(ctx, "ghost", func(tx ports.Tx) error {
			return tx.AuditLog().Insert(ctx, auditEvent("ghost", "event", 1))
		}), ports.ErrNotFound)
	})
}
