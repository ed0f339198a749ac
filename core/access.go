package core

import (
	"fmt"
	"strings"
)

// Role is what a caller may do.
type Role string

const (
	RolePlatformAdmin Role = "bubble_admin"   // operates the platform; acts for every tenant
	RoleCustomerAdmin Role = "customer_admin" // administers one tenant
	RoleCustomerUser  Role = "customer_user"  // works in one tenant
)

// Valid reports whether the role is one of the three.
func (r Role) Valid() bool {
	return r == RolePlatformAdmin || r == RoleCustomerAdmin || r == RoleCustomerUser
}

// Actor is the caller of a use case; ledger entries and attempts record it.
type Actor struct {
	Subject string
	Tenant  TenantID
	Role    Role
}

// System is the actor of what Redrive does by itself: refunds of failed dispatches and
// the monthly refill; and of the operator's commands.
var System = Actor{Subject: "system", Role: RolePlatformAdmin}

// Action is a kind of operation that needs a permission.
type Action string

const (
	ActionRead             Action = "read"
	ActionInitiate         Action = "initiate"
	ActionContinue         Action = "continue"
	ActionCancel           Action = "cancel"
	ActionRaiseMaxRetries  Action = "raise_max_retry_count"
	ActionManageTemplates  Action = "manage_templates"
	ActionManageCredits    Action = "manage_credits"
	ActionManageTenants    Action = "manage_tenants"
	ActionInspectAnyTenant Action = "inspect_any_tenant"
	ActionManageAPIKeys    Action = "manage_api_keys"
	ActionReadAuditLog     Action = "read_audit_log"
	ActionManageWebhooks   Action = "manage_webhooks"
	// ActionContinueAnyTenant is a bulk continue over the runs of several tenants.
	ActionContinueAnyTenant Action = "continue_any_tenant"
)

// allowed says which roles may do what. Prices and credits are the platform's:
// a tenant that set its own price or granted itself credits would run for free.
func allowed(role Role, action Action) bool {
	switch action {
	case ActionRead, ActionInitiate:
		return role.Valid()
	case ActionContinue, ActionCancel, ActionManageAPIKeys, ActionReadAuditLog, ActionManageWebhooks:
		return role == RolePlatformAdmin || role == RoleCustomerAdmin
	case ActionRaiseMaxRetries, ActionManageTemplates, ActionManageCredits, ActionManageTenants, ActionInspectAnyTenant, ActionContinueAnyTenant:
		return role == RolePlatformAdmin
	default:
		return false
	}
}

// Valid reports whether the action is one of those above: a platform admin may do each
// of them, and nobody any other.
func (a Action) Valid() bool { return allowed(RolePlatformAdmin, a) }

// whoMay names the least role that an action needs.
func whoMay(action Action) string {
	if allowed(RoleCustomerAdmin, action) {
		return "a customer_admin of the tenant"
	}
	return "a bubble_admin, who operates the platform"
}

// Authorize decides whether the actor may do the action on something of the owner's.
// The tenant is checked before the role, in the order of spec 3.1: CodeWrongTenant for
// another tenant's (a platform admin acts for every tenant), then CodeRoleNotAllowed.
func Authorize(actor Actor, action Action, owner TenantID) error {
	if actor.Role != RolePlatformAdmin && actor.Tenant != owner {
		return &Error{Code: CodeWrongTenant, Message: "this belongs to another tenant"}
	}
	if !allowed(actor.Role, action) {
		return &Error{
			Code:    CodeRoleNotAllowed,
			Message: fmt.Sprintf("%s is not for role %q; ask %s", strings.ReplaceAll(string(action), "_", " "), actor.Role, whoMay(action)),
		}
	}
	return nil
}
