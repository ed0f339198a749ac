package httpapi

import (
	"net/http"

	"github.com/redrive/redrive/core"
)

// administrationRoutes are what a platform admin does to a tenant that is there.
func (a *api) administrationRoutes() []route {
	return []route{
		patch("/tenants/:id", onPath(core.ActionManageTenants), a.patchTenant),
		post("/tenants/:id/suspend", onPath(core.ActionManageTenants), a.suspendTenant),
		post("/tenants/:id/reopen", onPath(core.ActionManageTenants), a.reopenTenant),
	}
}

// patchTenant is PATCH /tenants/{id} {name, monthlyAllowance}, each of them optional.
func (a *api) patchTenant(w http.ResponseWriter, r *request) error {
	id, err := r.pathTenant()
	if err != nil {
		return err
	}
	body, err := a.readObject(w, r, maxJSONBytes)
	if err != nil {
		return err
	}
	change := core.TenantChange{Name: body.optionalString("name")}
	if n := body.optionalInt("monthlyAllowance"); n != nil {
		allowance := core.Credits(*n)
		change.MonthlyAllowance = &allowance
	}
	if err := body.done(); err != nil {
		return err
	}
	t, err := a.svc.ChangeTenant(r.Context(), r.actor, id, change)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, toTenant(t))
}

// suspendTenant is POST /tenants/{id}/suspend {reason}.
func (a *api) suspendTenant(w http.ResponseWriter, r *request) error {
	id, err := r.pathTenant()
	if err != nil {
		return err
	}
	body, err := a.readObject(w, r, maxJSONBytes)
	if err != nil {
		return err
	}
	reason := body.string("reason")
	if err := body.done(); err != nil {
		return err
	}
	t, err := a.svc.SuspendTenant(r.Context(), r.actor, id, reason)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, toTenant(t))
}

// reopenTenant is POST /tenants/{id}/reopen.
func (a *api) reopenTenant(w http.ResponseWriter, r *request) error {
	id, err := r.pathTenant()
	if err != nil {
		return err
	}
	if err := noBody(w, r); err != nil {
		return err
	}
	t, err := a.svc.ReopenTenant(r.Context(), r.actor, id)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, toTenant(t))
}
