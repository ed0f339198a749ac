package httpapi

import (
	"math"
	"net/http"
	"strconv"

	"github.com/redrive/redrive/core"
)

// Bounds of a page of templates, each of which may have 100,000 bytes of instructions.
const (
	maxTemplatesPage  = 500
	maxTemplatesBytes = 4 << 20
)

// listTemplates is GET /templates: the soft-deleted ones too, ascending by ID.
func (a *api) listTemplates(w http.ResponseWriter, r *request) error {
	tenant, err := r.queryTenant()
	if err != nil {
		return err
	}
	after, err := r.query("after")
	if err != nil {
		return err
	}
	if after != "" && !core.ValidID(after) {
		return core.InvalidField("after", "is not the ID of a template")
	}
	limit, err := r.queryInt("limit", maxTemplatesPage, 1, maxTemplatesPage)
	if err != nil {
		return err
	}
	list, err := a.svc.Templates(r.Context(), r.actor, tenant)
	if err != nil {
		return err
	}
	page, left := templatesJSON{Templates: []templateJSON{}}, maxTemplatesBytes
	for _, t := range list {
		if string(t.ID) <= after {
			continue
		}
		left -= len(t.Name) + len(t.Instructions)
		if n := len(page.Templates); n == int(limit) || left < 0 && n > 0 {
			page.NextAfter = page.Templates[n-1].ID
			break
		}
		page.Templates = append(page.Templates, toTemplate(t))
	}
	return writeJSON(w, http.StatusOK, page)
}

// createTemplate is POST /templates: a draft.
func (a *api) createTemplate(w http.ResponseWriter, r *request) error {
	tenant, err := r.queryTenant()
	if err != nil {
		return err
	}
	body, err := a.readObject(w, r, maxJSONBytes)
	if err != nil {
		return err
	}
	t := core.Template{Tenant: tenant, Name: body.string("name"), Instructions: body.string("instructions")}
	t.CreditsPerRun, t.Mode = core.Credits(body.int("creditsPerRun")), core.Mode(body.string("mode"))
	if id := body.optionalString("id"); id != nil {
		if t.ID = core.TemplateID(*id); t.ID == "" {
			body.refuse("id", "must not be empty; leave it out to have one made")
		}
	}
	if err := body.done(); err != nil {
		return err
	}
	if t, err = a.svc.CreateTemplate(r.Context(), r.actor, t); err != nil {
		return err
	}
	w.Header().Set("Location", a.cfg.Prefix+"/templates/"+string(t.ID))
	return writeJSON(w, http.StatusCreated, toTemplate(t))
}

// templateOf gives the tenant and the template that a request is about.
func templateOf(r *request) (core.TenantID, core.TemplateID, error) {
	tenant, err := r.queryTenant()
	if err != nil {
		return "", "", err
	}
	id, err := r.templateID()
	return tenant, id, err
}

// getTemplate is GET /templates/{id}.
func (a *api) getTemplate(w http.ResponseWriter, r *request) error {
	tenant, id, err := templateOf(r)
	if err != nil {
		return err
	}
	t, err := a.svc.Template(r.Context(), r.actor, tenant, id)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, toTemplate(t))
}

// patchTemplate is PATCH /templates/{id}: name, instructions, price.
func (a *api) patchTemplate(w http.ResponseWriter, r *request) error {
	tenant, id, err := templateOf(r)
	if err != nil {
		return err
	}
	body, err := a.readObject(w, r, maxJSONBytes)
	if err != nil {
		return err
	}
	change := core.TemplateChange{Name: body.optionalString("name"), Instructions: body.optionalString("instructions")}
	if price := body.optionalInt("creditsPerRun"); price != nil {
		credits := core.Credits(*price)
		change.CreditsPerRun = &credits
	}
	if err := body.done(); err != nil {
		return err
	}
	t, err := a.svc.ChangeTemplate(r.Context(), r.actor, tenant, id, change)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, toTemplate(t))
}

// maxVersionsPage bounds a page of versions, each of which may have 100,000 bytes.
const maxVersionsPage = 20

// listTemplateVersions is GET /templates/{id}/versions: what the instructions were,
// newest first. The cursor is the number of a version.
func (a *api) listTemplateVersions(w http.ResponseWriter, r *request) error {
	tenant, id, err := templateOf(r)
	if err != nil {
		return err
	}
	limit, err := r.queryInt("limit", maxVersionsPage, 1, maxVersionsPage)
	if err != nil {
		return err
	}
	below, err := r.queryInt("cursor", 0, 1, math.MaxInt32)
	if err != nil {
		return err
	}
	list, err := a.svc.TemplateVersions(r.Context(), r.actor, tenant, id, int(below), int(limit)+1)
	if err != nil {
		return err
	}
	page := templateVersionPageJSON{}
	if len(list) > int(limit) {
		list = list[:limit]
		page.NextCursor = strconv.Itoa(list[limit-1].Number)
	}
	page.Versions = toTemplateVersions(list)
	return writeJSON(w, http.StatusOK, page)
}

// publishTemplate is POST /templates/{id}/publish.
func (a *api) publishTemplate(w http.ResponseWriter, r *request) error {
	tenant, id, err := templateOf(r)
	if err != nil {
		return err
	}
	if err := noBody(w, r); err != nil {
		return err
	}
	t, err := a.svc.PublishTemplate(r.Context(), r.actor, tenant, id)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, toTemplate(t))
}

// deleteTemplate is DELETE /templates/{id}: a soft delete, so it answers with the
// deleted template.
func (a *api) deleteTemplate(w http.ResponseWriter, r *request) error {
	tenant, id, err := templateOf(r)
	if err != nil {
		return err
	}
	if err := noBody(w, r); err != nil {
		return err
	}
	t, err := a.svc.DeleteTemplate(r.Context(), r.actor, tenant, id)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, toTemplate(t))
}
