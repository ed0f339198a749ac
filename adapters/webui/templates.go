package webui

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

const templatesPerPage = 100

// templatesView is the list of a tenant's templates.
type templatesView struct {
	Rows   []templateRow
	Pager  Pager
	New    string // address; empty for users who may not create one
	Empty  Empty
	Notice *Notice
}

type templateRow struct {
	URL, Name, ID string
	Badge         Badge
	Price, Mode   string
	Changed       Moment
	Run           string // address where to start a run with it
}

// templatesPage is GET /ui/templates.
func (u *ui) templatesPage(w http.ResponseWriter, r *request) error {
	tenant, err := r.tenant()
	if err != nil {
		return err
	}
	after := core.TemplateID(r.URL.Query().Get("after"))
	if !core.ValidID(after) {
		after = ""
	}
	found, err := u.svc.FindTemplates(r.Context(), r.actor(), tenant, ports.TemplateFilter{After: after, Limit: templatesPerPage})
	if err != nil {
		return err
	}
	v := templatesView{Empty: Empty{Icon: "template", Title: r.T("templates.empty.title"), Text: r.T("templates.empty.text")}}
	if r.may(core.ActionManageTemplates, tenant) {
		v.New = r.of(tenant, Prefix+"templates/new")
		v.Empty.URL, v.Empty.Link = v.New, r.T("templates.new")
	}
	next, first := "", ""
	if found.Next != "" {
		next = withQuery(r.of(tenant, Prefix+"templates"), "after", string(found.Next))
	}
	if after != "" {
		first = r.of(tenant, Prefix+"templates")
	}
	v.Pager = r.pager(r.T("templates.shown", len(found.Templates)), first, "", next)
	for _, t := range found.Templates {
		row := templateRow{
			URL: r.of(tenant, addr("templates", string(t.ID))), Name: visible(t.Name), ID: string(t.ID), Badge: r.templateBadge(t),
			Price: r.Credits(t.CreditsPerRun), Mode: r.modeWords(t.Mode), Changed: r.Time(t.UpdatedAt),
		}
		if t.Status == core.TemplatePublished && !t.Deleted() {
			row.Run = withQuery(r.of(tenant, Prefix+"runs/new"), "template", string(t.ID))
		}
		v.Rows = append(v.Rows, row)
	}
	return u.render(w, r, http.StatusOK, "templates.html", page{Title: r.T("templates.title"), Nav: "templates", Tenant: tenant, Data: v})
}

func (r *request) may(action core.Action, tenant core.TenantID) bool {
	return core.Authorize(r.actor(), action, tenant) == nil
}

func (l language) templateBadge(t core.Template) Badge {
	switch {
	case t.Deleted():
		return Badge{Text: l.T("template.deleted"), Tone: ToneBad}
	case t.Status == core.TemplatePublished:
		return Badge{Text: l.T("template.published"), Tone: ToneGood}
	}
	return Badge{Text: l.T("template.draft"), Tone: ToneNeutral}
}

// templateView is one template: read-only, or as a form for users who may change it.
type templateView struct {
	templateRow
	URL          string
	Fields       []Field
	Modes        []Tab // of a new one: a choice
	Editable     bool
	IsNew        bool
	Deleted      bool
	Draft        bool
	Instructions string
	Publish      string
	Try          *tryView // nil for users who may not try it
	Versions     []versionRow
	Difference   []diffLine
	Compared     string // which versions
	Delete       *Confirm
	Notice       *Notice
	Wrong        string
}

// templateForm is the user's input.
type templateForm struct{ name, instructions, price, mode string }

func formOfTemplate(t core.Template) templateForm {
	return templateForm{name: t.Name, instructions: t.Instructions, price: strconv.FormatInt(int64(t.CreditsPerRun), 10), mode: string(t.Mode)}
}

func readTemplateForm(f url.Values) templateForm {
	return templateForm{
		name: f.Get("name"), instructions: strings.ReplaceAll(f.Get("instructions"), "\r\n", "\n"),
		price: strings.TrimSpace(f.Get("price")), mode: f.Get("mode"),
	}
}

// credits reads the price, which is text in a form; the rules check the rest.
func (f templateForm) credits() (core.Credits, error) {
	n, err := strconv.ParseInt(f.price, 10, 64)
	if err != nil {
		return 0, core.InvalidField("creditsPerRun", "must be a whole number of credits")
	}
	return core.Credits(n), nil
}

func (l language) templateFields(f templateForm, wrong *core.Error) []Field {
	messages := l.messages(wrong)
	return []Field{
		{Name: "name", Label: l.T("template.name"), Hint: l.T("template.name.hint"), Value: f.name, Error: messages["name"], Required: true},
		{Name: "price", Label: l.T("template.price"), Hint: l.T("template.price.hint"), Value: f.price, Type: "number", Min: "0", Error: messages["creditsPerRun"], Required: true},
		{Name: "instructions", Label: l.T("template.instructions"), Hint: l.T("template.instructions.hint"), Value: f.instructions, Rows: 12, Error: messages["instructions"]},
	}
}

// newTemplatePage is GET /ui/templates/new.
func (u *ui) newTemplatePage(w http.ResponseWriter, r *request) error {
	return u.showNewTemplate(w, r, http.StatusOK, templateForm{price: "1", mode: string(core.ModePerFile)}, nil)
}

func (u *ui) showNewTemplate(w http.ResponseWriter, r *request, status int, f templateForm, wrong *core.Error) error {
	tenant, err := r.tenant()
	if err != nil {
		return err
	}
	if err := core.Authorize(r.actor(), core.ActionManageTemplates, tenant); err != nil {
		return err
	}
	v := templateView{URL: r.of(tenant, Prefix+"templates/new"), Fields: r.templateFields(f, wrong), Editable: true, IsNew: true}
	for _, m := range []core.Mode{core.ModePerFile, core.ModeBatch} {
		v.Modes = append(v.Modes, Tab{Text: r.modeWords(m), URL: string(m), Count: r.T("mode." + string(m) + ".about"), Current: string(m) == f.mode})
	}
	return u.render(w, r, status, "template.html", page{Title: r.T("templates.new"), Nav: "templates", Tenant: tenant, Data: v})
}

// createTemplate is POST /ui/templates/new.
func (u *ui) createTemplate(w http.ResponseWriter, r *request) error {
	tenant, err := r.tenant()
	if err != nil {
		return err
	}
	values, err := r.form(w)
	if err != nil {
		return err
	}
	f := readTemplateForm(values)
	price, err := f.credits()
	var t core.Template
	if err == nil {
		t, err = u.svc.CreateTemplate(r.Context(), r.actor(), core.Template{
			Tenant: tenant, Name: f.name, Instructions: f.instructions, CreditsPerRun: price, Mode: core.Mode(f.mode),
		})
	}
	if err != nil {
		if refusal, fault := refusalOf(err); !fault && refusal.Code == core.CodeInvalidRequest {
			return u.showNewTemplate(w, r, http.StatusUnprocessableEntity, f, refusal)
		}
		return err
	}
	return r.redirect(w, withQuery(r.of(tenant, addr("templates", string(t.ID))), "notice", "template_created"))
}

// templateOf is the template that the path names.
func (u *ui) templateOf(r *request) (core.TenantID, core.Template, error) {
	tenant, err := r.tenant()
	if err != nil {
		return "", core.Template{}, err
	}
	id := r.PathValue("id")
	if !core.ValidID(id) {
		return "", core.Template{}, core.ErrTemplateNotFound
	}
	t, err := u.svc.Template(r.Context(), r.actor(), tenant, core.TemplateID(id))
	return tenant, t, err
}

// templatePage is GET /ui/templates/{id}.
func (u *ui) templatePage(w http.ResponseWriter, r *request) error {
	tenant, t, err := u.templateOf(r)
	if err != nil {
		return err
	}
	return u.showTemplate(w, r, http.StatusOK, tenant, t, formOfTemplate(t), nil, nil)
}

func (u *ui) showTemplate(w http.ResponseWriter, r *request, status int, tenant core.TenantID, t core.Template, f templateForm, wrong *core.Error, try *tryView) error {
	base := addr("templates", string(t.ID))
	v := templateView{
		templateRow: templateRow{Name: visible(t.Name), ID: string(t.ID), Badge: r.templateBadge(t), Price: r.Credits(t.CreditsPerRun), Mode: r.modeWords(t.Mode), Changed: r.Time(t.UpdatedAt)},
		URL:         r.of(tenant, base), Instructions: t.Instructions, Deleted: t.Deleted(), Draft: t.Status == core.TemplateDraft,
	}
	if t.Status == core.TemplatePublished && !t.Deleted() {
		v.Run = withQuery(r.of(tenant, Prefix+"runs/new"), "template", string(t.ID))
	}
	if r.may(core.ActionManageTemplates, tenant) && !t.Deleted() {
		v.Editable, v.Fields = true, r.templateFields(f, wrong)
		if v.Try = try; try == nil {
			v.Try = u.tryView(r, tenant, t.ID, "", nil)
		}
		if v.Draft {
			v.Publish = r.of(tenant, base+"/publish")
		}
		v.Delete = &Confirm{
			Open: r.T("template.delete.open"), Text: r.T("template.delete.text"), Do: r.T("template.delete.do"),
			Action: r.of(tenant, base+"/delete"), Tone: ToneBad,
		}
	}
	if err := u.versions(r, t, &v); err != nil {
		return err
	}
	switch name := r.URL.Query().Get("notice"); name {
	case "template_created", "template_saved", "template_published", "template_deleted":
		v.Notice = &Notice{Tone: ToneGood, Text: r.T("notice." + name)}
	}
	return u.render(w, r, status, "template.html", page{Title: v.Name, Nav: "templates", Tenant: tenant, Data: v})
}

// changeTemplate is POST /ui/templates/{id}.
func (u *ui) changeTemplate(w http.ResponseWriter, r *request) error {
	tenant, t, err := u.templateOf(r)
	if err != nil {
		return err
	}
	values, err := r.form(w)
	if err != nil {
		return err
	}
	f := readTemplateForm(values)
	price, err := f.credits()
	if err == nil {
		_, err = u.svc.ChangeTemplate(r.Context(), r.actor(), tenant, t.ID, core.TemplateChange{
			Name: &f.name, Instructions: &f.instructions, CreditsPerRun: &price,
		})
	}
	if err != nil {
		if refusal, fault := refusalOf(err); !fault && refusal.Code == core.CodeInvalidRequest {
			return u.showTemplate(w, r, http.StatusUnprocessableEntity, tenant, t, f, refusal, nil)
		}
		return err
	}
	return r.redirect(w, withQuery(r.of(tenant, addr("templates", string(t.ID))), "notice", "template_saved"))
}

// publishTemplate is POST /ui/templates/{id}/publish.
func (u *ui) publishTemplate(w http.ResponseWriter, r *request) error {
	return u.changeState(w, r, u.svc.PublishTemplate, "template_published")
}

// deleteTemplate is POST /ui/templates/{id}/delete: a soft delete.
func (u *ui) deleteTemplate(w http.ResponseWriter, r *request) error {
	return u.changeState(w, r, u.svc.DeleteTemplate, "template_deleted")
}

// changeState publishes or deletes the template of the path, and shows it again with
// a notice.
func (u *ui) changeState(
	w http.ResponseWriter, r *request,
	change func(context.Context, core.Actor, core.TenantID, core.TemplateID) (core.Template, error), notice string,
) error {
	tenant, t, err := u.templateOf(r)
	if err != nil {
		return err
	}
	if _, err := change(r.Context(), r.actor(), tenant, t.ID); err != nil {
		return err
	}
	return r.redirect(w, withQuery(r.of(tenant, addr("templates", string(t.ID))), "notice", notice))
}
