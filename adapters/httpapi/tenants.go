package httpapi

import (
	"net/http"

	"github.com/redrive/redrive/core"
)

const (
	defaultTenantsPage = 100
	maxTenantsPage     = 500
)

// listTenants is GET /tenants: ascending by ID, for platform admins.
func (a *api) listTenants(w http.ResponseWriter, r *request) error {
	after, err := r.query("after")
	if err != nil {
		return err
	}
	if after != "" && !core.ValidID(after) {
		return core.InvalidField("after", "is not the ID of a tenant")
	}
	limit, err := r.queryInt("limit", defaultTenantsPage, 1, maxTenantsPage)
	if err != nil {
		return err
	}
	list, err := a.svc.Tenants(r.Context(), r.actor, core.TenantID(after), int(limit)+1)
	if err != nil {
		return err
	}
	page := tenantPageJSON{Tenants: make([]tenantJSON, 0, len(list))}
	if len(list) > int(limit) {
		list = list[:limit]
		page.NextAfter = string(list[limit-1].ID)
	}
	for _, t := range list {
		page.Tenants = append(page.Tenants, toTenant(t))
	}
	return writeJSON(w, http.StatusOK, page)
}

// createTenant is POST /tenants.
func (a *api) createTenant(w http.ResponseWriter, r *request) error {
	body, err := a.readObject(w, r, maxJSONBytes)
	if err != nil {
		return err
	}
	id, name := body.string("id"), body.string("name")
	allowance := core.Credits(0)
	if n := body.optionalInt("monthlyAllowance"); n != nil {
		allowance = core.Credits(*n)
	}
	if err := body.done(); err != nil {
		return err
	}
	t, err := a.svc.CreateTenant(r.Context(), r.actor, core.TenantID(id), name, allowance)
	if err != nil {
		return err
	}
	w.Header().Set("Location", a.cfg.Prefix+"/tenants/"+string(t.ID))
	return writeJSON(w, http.StatusCreated, toTenant(t))
}

// getTenant is GET /tenants/{id}.
func (a *api) getTenant(w http.ResponseWriter, r *request) error {
	id, err := r.pathTenant()
	if err != nil {
		return err
	}
	t, err := a.svc.Tenant(r.Context(), r.actor, id)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, toTenant(t))
}
