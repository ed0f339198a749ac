package app_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/ports"
)

// The audit log has who made, renamed and revoked a key, and never its token.
func TestAPIKeysAreAudited(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	key, token, err := w.svc.MakeAPIKey(w.ctx, admin, core.APIKeyRequest{Tenant: acme, Name: "import", Role: core.RoleCustomerUser, ExpiresAt: began.AddDate(0, 1, 0)})
	require.NoError(t, err)
	for range 2 { // a repeat is no deed
		_, err = w.svc.RenameAPIKey(w.ctx, admin, acme, key.ID, "export")
		require.NoError(t, err)
	}
	for range 2 {
		_, err = w.svc.RevokeAPIKey(w.ctx, platform, acme, key.ID)
		require.NoError(t, err)
	}
	_, err = w.svc.RevokeAPIKey(w.ctx, user, acme, key.ID)
	require.ErrorIs(t, err, core.ErrRoleNotAllowed)

	log, err := w.svc.AuditLog(w.ctx, admin, app.AuditRequest{Tenant: acme, Page: ports.AuditPage{Limit: 10}, Filter: core.AuditFilter{Target: string(key.ID)}})
	require.NoError(t, err)
	require.Len(t, log.Events, 3)
	revoked, renamed, created := log.Events[0], log.Events[1], log.Events[2]
	require.Equal(t, core.AuditAPIKeyCreated, created.Action)
	require.Equal(t, admin, created.Actor)
	require.Equal(t, core.AuditFacts{"name": "import", "role": "customer_user", "expiresAt": "2026-12-10T09:00:00Z"}, created.Facts)
	require.Equal(t, core.AuditAPIKeyRenamed, renamed.Action)
	require.Equal(t, core.AuditFacts{"name": "export", "nameBefore": "import", "role": "customer_user"}, renamed.Facts)
	require.Equal(t, core.AuditAPIKeyRevoked, revoked.Action)
	require.Equal(t, platform, revoked.Actor)
	for _, e := range log.Events {
		for _, fact := range e.Facts {
			require.NotContains(t, fact, token)
			require.NotContains(t, fact, key.Hash)
		}
	}
}
