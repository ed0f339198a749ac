package core_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
)

func TestAuthorize(t *testing.T) {
	t.Parallel()
	const unknown = core.Role("auditor")
	const wrong, no, ok = core.CodeWrongTenant, core.CodeRoleNotAllowed, core.Code("")
	// Per action, what each role gets in its own tenant. In another tenant all
	// but the platform admin get wrong_tenant, for any action.
	own := map[core.Action]map[core.Role]core.Code{
		core.ActionRead:              {core.RolePlatformAdmin: ok, core.RoleCustomerAdmin: ok, core.RoleCustomerUser: ok, unknown: no},
		core.ActionInitiate:          {core.RolePlatformAdmin: ok, core.RoleCustomerAdmin: ok, core.RoleCustomerUser: ok, unknown: no},
		core.ActionContinue:          {core.RolePlatformAdmin: ok, core.RoleCustomerAdmin: ok, core.RoleCustomerUser: no, unknown: no},
		core.ActionManageAPIKeys:     {core.RolePlatformAdmin: ok, core.RoleCustomerAdmin: ok, core.RoleCustomerUser: no, unknown: no},
		core.ActionCancel:            {core.RolePlatformAdmin: ok, core.RoleCustomerAdmin: ok, core.RoleCustomerUser: no, unknown: no},
		core.ActionRaiseMaxRetries:   {core.RolePlatformAdmin: ok, core.RoleCustomerAdmin: no, core.RoleCustomerUser: no, unknown: no},
		core.ActionManageTemplates:   {core.RolePlatformAdmin: ok, core.RoleCustomerAdmin: no, core.RoleCustomerUser: no, unknown: no},
		core.ActionManageCredits:     {core.RolePlatformAdmin: ok, core.RoleCustomerAdmin: no, core.RoleCustomerUser: no, unknown: no},
		core.ActionManageTenants:     {core.RolePlatformAdmin: ok, core.RoleCustomerAdmin: no, core.RoleCustomerUser: no, unknown: no},
		core.ActionInspectAnyTenant:  {core.RolePlatformAdmin: ok, core.RoleCustomerAdmin: no, core.RoleCustomerUser: no, unknown: no},
		core.ActionManageWebhooks:    {core.RolePlatformAdmin: ok, core.RoleCustomerAdmin: ok, core.RoleCustomerUser: no, unknown: no},
		core.ActionContinueAnyTenant: {core.RolePlatformAdmin: ok, core.RoleCustomerAdmin: no, core.RoleCustomerUser: no, unknown: no},
		"delete_everything":          {core.RolePlatformAdmin: no, core.RoleCustomerAdmin: no, core.RoleCustomerUser: no, unknown: no},
	}
	check := func(t *testing.T, actor core.Actor, action core.Action, owner core.TenantID, want core.Code) {
		err := core.Authorize(actor, action, owner)
		if want == ok {
			require.NoError(t, err)
			return
		}
		r := refused(t, err, want)
		require.NotContains(t, r.Error(), string(globex), "another tenant is not named")
	}
	for action, roles := range own {
		require.Equal(t, action != "delete_everything", action.Valid(), action)
		for role, want := range roles {
			actor := core.Actor{Subject: "ann", Tenant: acme, Role: role}
			t.Run(string(action)+"/"+string(role)+"/own tenant", func(t *testing.T) {
				t.Parallel()
				check(t, actor, action, acme, want)
			})
			t.Run(string(action)+"/"+string(role)+"/other tenant", func(t *testing.T) {
				t.Parallel()
				elsewhere := wrong
				if role == core.RolePlatformAdmin {
					elsewhere = want
				}
				check(t, actor, action, globex, elsewhere)
			})
		}
	}
}

func TestRoleValid(t *testing.T) {
	t.Parallel()
	for _, r := range []core.Role{"bubble_admin", "customer_admin", "customer_user"} {
		require.True(t, r.Valid(), r)
	}
	for _, r := range []core.Role{"", "admin", "BUBBLE_ADMIN"} {
		require.False(t, r.Valid(), r)
	}
	require.True(t, core.System.Role.Valid())
	require.NoError(t, core.Authorize(core.System, core.ActionManageCredits, acme))
}
