package storetest

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// testTenantIsolation: none of the methods of a transaction reads or writes
// anything of another tenant (I10). Each is called in a transaction of another
// tenant for what "victim" has.
func testTenantIsolation(t *testing.T, newStore Factory, _ Options) {
	// The stranger may be unknown to the store, or have a world of its own in
	// which template and keys are named like the victim's.
	for _, known := range []bool{false, true} {
		setup := func(t *testing.T) (s ports.Store, victim *world, unchanged func(allowed bool)) {
			s = newStore(t)
			victim = build(t, s, "victim")
			stranger := newWorld("stranger")
			if known {
				build(t, s, "stranger")
			}
			read := func(id core.TenantID) Contents {
				return MustRead(t, s, id, append(victim.keys(), stranger.keys()...)...)
			}
			own := read("stranger")
			return s, victim, func(mayInsert bool) {
				t.Helper()
				equal(t, victim.contents(), read("victim"), "the victim's")
				after := read("stranger")
				if mayInsert {
					requireOwnedBy(t, "stranger", after)
					return
				}
				equal(t, own, after, "the stranger's")
			}
		}

		for _, r := range readings {
			t.Run(fmt.Sprintf("%s/stranger known=%v", r.name, known), func(t *testing.T) {
				t.Parallel()
				s, victim, unchanged := setup(t)
				check := func(in func(context.Context, core.TenantID, func(ports.Tx) error) error) {
					ctx := bounded(t)
					var found any
					err := in(ctx, "stranger", func(tx ports.Tx) (err error) {
						found, err = r.call(ctx, tx, victim)
						return err
					})
					require.NotContains(t, fmt.Sprintf("%+v", found), "victim")
					switch {
					case err != nil:
						require.ErrorIs(t, err, ports.ErrNotFound)
						require.False(t, known && r.own, "it has these itself")
					case known && r.own:
						require.NotEmpty(t, found)
					case !known:
						require.Empty(t, found)
					}
				}
				check(s.InTx)
				if !r.locks {
					check(s.View)
				}
				unchanged(false)
			})
		}

		for _, write := range append([]writing{{name: "Tenants.Insert", insert: true, call: func(ctx context.Context, tx ports.Tx, w *world) error {
			return tx.Tenants().Insert(ctx, w.tenant)
		}}}, writings...) {
			t.Run(fmt.Sprintf("%s/stranger known=%v", write.name, known), func(t *testing.T) {
				t.Parallel()
				s, victim, unchanged := setup(t)
				ctx := bounded(t)
				err := s.InTx(ctx, "stranger", func(tx ports.Tx) error { return write.call(ctx, tx, victim) })
				switch {
				case write.name == "Tenants.Insert":
					// It names another tenant than the transaction's: a mistake of the
					// caller that must not get through.
					require.Error(t, err)
					unchanged(false)
				case write.quiet:
					require.NoError(t, err)
					unchanged(known)
				case write.insert && !write.child && known:
					// A row of its own, in its own name: neither refused nor a
					// way into the victim's.
					unchanged(err == nil)
				case write.insert:
					require.Error(t, err, "it belongs to what the stranger does not have")
					unchanged(false)
				case known && sharesNames(write.name):
					// The stranger has a row of that name: it may have changed its own.
					unchanged(err == nil)
				default:
					require.ErrorIs(t, err, ports.ErrNotFound)
					unchanged(false)
				}
			})
		}
	}

	// What two tenants name alike are two things.
	t.Run("SameNamesSideBySide", func(t *testing.T) {
		t.Parallel()
		s := newStore(t)
		worlds := []*world{build(t, s, "acme"), build(t, s, "beta")}
		for i, w := range worlds {
			equal(t, w.contents(), MustRead(t, s, w.tenant.ID, w.keys()...))
			for _, write := range writings {
				commit(t, s, w.tenant.ID, func(ctx context.Context, tx ports.Tx) error { return write.call(ctx, tx, w) })
			}
			requireOwnedBy(t, w.tenant.ID, MustRead(t, s, w.tenant.ID, w.keys()...))
			if i == 0 {
				equal(t, worlds[1].contents(), MustRead(t, s, "beta", worlds[1].keys()...))
			}
		}
	})

	// The same run ID under two tenants never comes about. If it does, the
	// second is refused or kept apart, and the first is as it was.
	t.Run("SameRunID", func(t *testing.T) {
		t.Parallel()
		s := newStore(t)
		victim := build(t, s, "victim")
		build(t, s, "stranger")
		ctx := bounded(t)
		run := newWorld("stranger").running
		run.ID = victim.running.ID
		err := s.InTx(ctx, "stranger", func(tx ports.Tx) error { return tx.Runs().Insert(ctx, run, newWorld("stranger").files) })
		if err != nil {
			require.ErrorIs(t, err, ports.ErrExists)
		}
		equal(t, victim.contents(), MustRead(t, s, "victim", victim.keys()...))
		requireOwnedBy(t, "stranger", MustRead(t, s, "stranger"))
	})
}

// sharesNames reports whether the row that the method changes is named by
// something that two tenants may have alike.
func sharesNames(method string) bool {
	switch method {
	case "Tenants.Save", "Templates.Save", "Answers.Save", "APIKeys.Save", "Replies.Save", "BulkParts.Save", "BulkParts.Delete", "WebhookEvents.SaveLowCredits":
		return true
	default:
		return false
	}
}

// requireOwnedBy checks that every row says whose it is.
func requireOwnedBy(t *testing.T, tenant core.TenantID, c Contents) {
	t.Helper()
	equal(t, tenant, c.Tenant.ID)
	for _, x := range c.Templates {
		equal(t, tenant, x.Tenant)
	}
	for _, x := range c.APIKeys {
		equal(t, tenant, x.Tenant)
	}
	for _, x := range c.Runs {
		equal(t, tenant, x.Tenant)
		for _, y := range c.Attempts[x.ID] {
			equal(t, tenant, y.Tenant)
		}
		for _, y := range c.Amendments[x.ID] {
			equal(t, tenant, y.Tenant)
		}
	}
	for _, x := range c.Entries {
		equal(t, tenant, x.Tenant)
	}
	for _, x := range c.Audit {
		equal(t, tenant, x.Tenant)
	}
	for _, x := range c.Answers {
		equal(t, tenant, x.Tenant)
	}
	for _, x := range c.Replies {
		equal(t, tenant, x.Tenant)
	}
	for _, x := range c.Endpoints {
		equal(t, tenant, x.Tenant)
	}
	for _, x := range c.Deliveries {
		equal(t, tenant, x.Tenant)
	}
}
