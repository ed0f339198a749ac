package httpapi

import (
	"net/http"
	"strconv"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// maxTemplatesPage bounds a page of templates, which ends sooner if their instructions are
// long (app.TemplatesPage).
const maxTemplatesPage = 500

// listTemplates is GET /templates: the soft-deleted ones too, ascending by ID.
func (a *api) listTemplates(w http.ResponseWriter, r *request) error {
	tenant, err := r.queryTenant()
	if err != nil {
		return err
	}
	list, err := a.listing(r, "templates", tenant, "status", "deleted")
	if err != nil {
		return err
	}
	after, err := list.after()
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
	filter := ports.TemplateFilter{After: core.TemplateID(after), Limit: int(limit)}
	if err := r.readFilter([]parameter{
		{"status", func(v string) string {
			filter.Status = core.TemplateStatus(v)
			return mistakeIf(!filter.Status.Valid(), "must be draft or published")
		}},
		{"deleted", func(v string) string { return readBool(v, &filter.Deleted) }},
	}); err != nil {
		return err
	}
	found, err := a.svc.FindTemplates(r.Context(), r.actor, tenant, filter)
	if err != nil {
		return err
	}
	page := templatesJSON{Templates: make([]templateJSON, 0, len(found.Templates))}
	if found.Next != "" {
		page.NextAfter = string(found.Next)
		page.NextCursor = list.next(w, page.NextAfter)
	}
	for _, t := range found.Templates {
		page.Templates = append(page.Templates, toTemplate(t))
	}
	return writeTagged(w, r, page)
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
	return writeTagged(w, r, toTemplate(t))
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
// newest first.
func (a *api) listTemplateVersions(w http.ResponseWriter, r *request) error {
	tenant, id, err := templateOf(r)
	if err != nil {
		return err
	}
	limit, err := r.queryInt("limit", maxVersionsPage, 1, maxVersionsPage)
	if err != nil {
		return err
	}
	list, err := a.listing(r, "versions", tenant)
	if err != nil {
		return err
	}
	place, err := list.place()
	if err != nil {
		return err
	}
	below, err := parseIndex(place)
	if err != nil {
		return err
	}
	t, found, err := a.svc.TemplateVersionsPage(r.Context(), r.actor, tenant, id, below, int(limit)+1)
	if err != nil {
		return err
	}
	page := templateVersionPageJSON{Total: t.Version}
	if len(found) > int(limit) {
		found = found[:limit]
		page.NextCursor = list.next(w, strconv.Itoa(found[limit-1].Number))
	}
	page.Versions = toTemplateVersions(found)
	return writeTagged(w, r, page)
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
