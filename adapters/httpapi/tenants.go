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
	list, err := a.listing(r, "tenants", "")
	if err != nil {
		return err
	}
	after, err := list.after()
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
	found, err := a.svc.Tenants(r.Context(), r.actor, core.TenantID(after), int(limit)+1)
	missing, err := list.incompletePage(err)
	if err != nil {
		return err
	}
	page := tenantPageJSON{Tenants: make([]tenantJSON, 0, len(found)), Incomplete: missing}
	if len(found) > int(limit) {
		found = found[:limit]
		page.NextAfter = string(found[limit-1].ID)
		page.NextCursor = list.next(w, page.NextAfter)
	}
	for _, t := range found {
		page.Tenants = append(page.Tenants, toTenant(t))
	}
	return writeTagged(w, r, page)
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
	return writeTagged(w, r, toTenant(t))
}
