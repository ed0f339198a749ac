package httpapi

import (
	"net/http"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
)

// administrationRoutes are what a platform admin does to a tenant that is there.
func (a *api) administrationRoutes() []route {
	return []route{
		patch("/tenants/:id", onPath(core.ActionManageTenants), a.patchTenant),
		post("/tenants/:id/suspend", onPath(core.ActionManageTenants), a.suspendTenant),
		post("/tenants/:id/reopen", onPath(core.ActionManageTenants), a.reopenTenant),
		post("/tenants/:id/refunds", onPath(core.ActionManageCredits), a.refundCharge),
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

// refundCharge is POST /tenants/{id}/refunds {charge, amount, reason}; without an amount all
// that can be refunded.
func (a *api) refundCharge(w http.ResponseWriter, r *request) error {
	tenant, key, body, err := a.grantRequest(w, r)
	if err != nil {
		return err
	}
	req := app.RefundRequest{Tenant: tenant, Charge: core.Key(body.string("charge")), Reason: body.string("reason"), IdempotencyKey: key}
	if n := body.optionalInt("amount"); n != nil {
		amount := core.Credits(*n)
		req.Amount = &amount
	}
	if err := body.done(); err != nil {
		return err
	}
	entry, err := a.svc.RefundCharge(r.Context(), r.actor, req)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusCreated, toEntry(entry))
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
