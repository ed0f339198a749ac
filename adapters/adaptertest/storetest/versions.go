package storetest

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// testTemplateVersions: each number once, newest first, a tenant's own alone, rolled
// back with the transaction.
func testTemplateVersions(t *testing.T, newStore Factory) {
	t.Parallel()
	s := newStore(t)
	tenant, template := bare(t, s, "acme")
	other, _ := bare(t, s, "globex")
	version := func(n int) core.TemplateVersion {
		return core.TemplateVersion{Tenant: tenant.ID, Template: template.ID, Number: n, Instructions: awkward, By: core.System, At: at(n)}
	}
	var all []core.TemplateVersion
	for n := 1; n <= 5; n++ {
		commit(t, s, tenant.ID, func(ctx context.Context, tx ports.Tx) error {
			require.NoError(t, tx.TemplateVersions().Insert(ctx, version(n)))
			same(t, version(n))(tx.TemplateVersions().Get(ctx, template.ID, n))
			changed := version(n)
			changed.Instructions = "changed"
			require.ErrorIs(t, tx.TemplateVersions().Insert(ctx, changed), ports.ErrExists, "a version is never changed")
			return nil
		})
		all = append([]core.TemplateVersion{version(n)}, all...)
	}
	require.ErrorIs(t, s.InTx(bounded(t), tenant.ID, func(tx ports.Tx) error {
		require.NoError(t, tx.TemplateVersions().Insert(bounded(t), version(6)))
		return errRollback
	}), errRollback)
	view(t, s, tenant.ID, func(ctx context.Context, tx ports.Tx) error {
		same(t, all)(tx.TemplateVersions().List(ctx, template.ID, 0, 10))
		same(t, all[:2])(tx.TemplateVersions().List(ctx, template.ID, 0, 2))
		same(t, all[2:4])(tx.TemplateVersions().List(ctx, template.ID, 4, 2))
		empty(t)(tx.TemplateVersions().List(ctx, template.ID, 1, 10))
		empty(t)(tx.TemplateVersions().List(ctx, template.ID, 0, 0))
		empty(t)(tx.TemplateVersions().List(ctx, "nothing", 0, 10))
		for _, n := range []int{0, 6, -1, 1 << 40} {
			_, err := tx.TemplateVersions().Get(ctx, template.ID, n)
			require.ErrorIs(t, err, ports.ErrNotFound)
		}
		return nil
	})
	view(t, s, other.ID, func(ctx context.Context, tx ports.Tx) error {
		empty(t)(tx.TemplateVersions().List(ctx, template.ID, 0, 10))
		return nil
	})
}
