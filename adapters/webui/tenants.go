package webui

import (
	"crypto/rand"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/redrive/redrive/core"
)

const tenantsPerPage = 100

// tenantsView is the list of tenants, for platform admins.
type tenantsView struct {
	Rows   []tenantRow
	Pager  Pager
	Fields []Field
	Empty  Empty
	// Missing says what is missing from the list; nil: nothing is.
	Missing *Notice
	Failed  bool // the form below was refused
}

type tenantRow struct{ URL, Runs, Name, ID, Allowance string }

// tenantsPage is GET /ui/tenants.
func (u *ui) tenantsPage(w http.ResponseWriter, r *request) error {
	return u.showTenants(w, r, http.StatusOK, [3]string{"", "", "0"}, nil)
}

func (u *ui) showTenants(w http.ResponseWriter, r *request, status int, typed [3]string, wrong *core.Error) error {
	after := r.URL.Query().Get("after")
	if after != "" && !core.ValidID(after) {
		after = ""
	}
	list, err := u.svc.Tenants(r.Context(), r.actor(), core.TenantID(after), tenantsPerPage+1)
	missing, more, err := u.missingOnPage(r, err)
	if err != nil {
		return err
	}
	v := tenantsView{Missing: missing, Empty: Empty{Icon: "tenants", Title: r.T("tenants.empty.title"), Text: r.T("tenants.empty.text")}, Failed: wrong != nil}
	next, first := "", ""
	if len(list) > tenantsPerPage {
		list = list[:tenantsPerPage]
		next = withQuery(Prefix+"tenants", append([]string{"after", string(list[tenantsPerPage-1].ID)}, more...)...)
	}
	if after != "" {
		first = Prefix + "tenants"
	}
	v.Pager = r.pager(r.T("tenants.shown", len(list)), first, "", next)
	for _, t := range list {
		v.Rows = append(v.Rows, tenantRow{
			URL: addr("tenants", string(t.ID)), Runs: r.of(t.ID, Prefix+"runs"), Name: visible(t.Name), ID: string(t.ID),
			Allowance: r.Credits(t.MonthlyAllowance),
		})
	}
	messages := r.messages(wrong)
	if _, taken := messages["tenant.exists"]; taken {
		messages["id"] = r.T("tenant.exists")
	}
	v.Fields = []Field{
		{Name: "id", Label: r.T("tenant.id"), Hint: r.T("tenant.id.hint"), Value: typed[0], Error: messages["id"], Required: true},
		{Name: "name", Label: r.T("tenant.name"), Value: typed[1], Error: messages["name"], Required: true},
		{Name: "allowance", Label: r.T("tenant.allowance"), Hint: r.T("tenant.allowance.hint"), Type: "number", Min: "0", Value: typed[2], Error: messages["monthlyAllowance"], Required: true},
	}
	return u.render(w, r, status, "tenants.html", page{Title: r.T("tenants.title"), Nav: "tenants", Data: v})
}

// createTenant is POST /ui/tenants.
func (u *ui) createTenant(w http.ResponseWriter, r *request) error {
	f, err := r.form(w)
	if err != nil {
		return err
	}
	typed := [3]string{strings.TrimSpace(f.Get("id")), strings.TrimSpace(f.Get("name")), strings.TrimSpace(f.Get("allowance"))}
	allowance, err := wholeCredits("monthlyAllowance", typed[2])
	var t core.Tenant
	if err == nil {
		t, err = u.svc.CreateTenant(r.Context(), r.actor(), core.TenantID(typed[0]), typed[1], allowance)
	}
	if err != nil {
		refusal, fault := refusalOf(err)
		if fault || refusal.Code != core.CodeInvalidRequest && refusal.Code != core.CodeTenantExists {
			return err
		}
		if refusal.Code == core.CodeTenantExists {
			refusal = &core.Error{Fields: []core.FieldError{{Field: "tenant.exists"}}}
		}
		return u.showTenants(w, r, http.StatusUnprocessableEntity, typed, refusal)
	}
	return r.redirect(w, withQuery(addr("tenants", string(t.ID)), "notice", "tenant_created"))
}

func wholeCredits(field, text string) (core.Credits, error) {
	n, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
	if err != nil {
		return 0, core.InvalidField(field, "must be a whole number of credits")
	}
	return core.Credits(n), nil
}

// tenantView is one tenant with the forms that give it credits.
type tenantView struct {
	Name, ID, Allowance       string
	Total, Monthly, Purchased string
	Month                     string
	Since                     Moment
	Runs, Credits, Templates  string
	Key                       string // idempotency key: sending these forms again has no further effect
	Purchase, Grant           []Field
	PurchaseURL, GrantURL     string
	Notice                    *Notice
	Suspension                suspension
	Change                    []Field
	ChangeURL, Audit          string
}

// tenantPage is GET /ui/tenants/{id}.
func (u *ui) tenantPage(w http.ResponseWriter, r *request) error {
	return u.showTenant(w, r, http.StatusOK, map[string]string{}, nil)
}

func (u *ui) showTenant(w http.ResponseWriter, r *request, status int, typed map[string]string, wrong *core.Error) error {
	id := core.TenantID(r.PathValue("id"))
	if !core.ValidID(id) {
		return core.ErrTenantNotFound
	}
	if err := core.Authorize(r.actor(), core.ActionManageCredits, id); err != nil {
		return err
	}
	t, err := u.svc.Tenant(r.Context(), r.actor(), id)
	if err != nil {
		return err
	}
	b, err := u.svc.Balance(r.Context(), r.actor(), id)
	if err != nil {
		return err
	}
	messages := r.messages(wrong)
	v := tenantView{
		Name: visible(t.Name), ID: string(id), Allowance: r.Credits(t.MonthlyAllowance), Since: r.Time(t.CreatedAt),
		Total: r.N(int64(b.Available())), Monthly: r.N(int64(b.Monthly)), Purchased: r.N(int64(b.Purchased)), Month: r.Month(b.Period),
		Runs: r.of(id, Prefix+"runs"), Credits: r.of(id, Prefix+"credits"), Templates: r.of(id, Prefix+"templates"), Key: rand.Text(),
		PurchaseURL: addr("tenants", string(id), "purchases"), GrantURL: addr("tenants", string(id), "allowances"),
		Purchase: []Field{{Name: "purchase", Label: r.T("tenant.purchase"), Hint: r.T("tenant.purchase.hint"), Type: "number", Min: "1", Value: typed["purchase"], Error: messages["purchase"], Required: true}},
		Grant:    []Field{{Name: "grant", Label: r.T("tenant.grant"), Hint: r.T("tenant.grant.hint", r.Month(b.Period)), Type: "number", Min: "1", Value: typed["grant"], Error: messages["grant"], Required: true}},
	}
	v.Suspension, v.Change = r.suspensionOf(t, typed, messages), r.changeFields(t, typed, messages)
	v.ChangeURL, v.Audit = addr("tenants", string(id)), withQuery(Prefix+"audit", "tenant", string(id))
	switch name := r.URL.Query().Get("notice"); name {
	case "tenant_created", "credits_added", "suspended", "reopened", "tenant_changed":
		v.Notice = &Notice{Tone: ToneGood, Text: r.T("notice." + name)}
	}
	return u.render(w, r, status, "tenant.html", page{Title: v.Name, Nav: "tenants", Tenant: id, Data: v})
}

// grantAllowance is POST /ui/tenants/{id}/allowances: for this month.
func (u *ui) grantAllowance(w http.ResponseWriter, r *request) error {
	return u.addCredits(w, r, "grant", func(id core.TenantID, key core.Key, n core.Credits) error {
		_, err := u.svc.GrantAllowance(r.Context(), r.actor(), id, key, core.PeriodOf(u.now()), n)
		return err
	})
}

// purchaseCredits is POST /ui/tenants/{id}/purchases.
func (u *ui) purchaseCredits(w http.ResponseWriter, r *request) error {
	return u.addCredits(w, r, "purchase", func(id core.TenantID, key core.Key, n core.Credits) error {
		_, err := u.svc.PurchaseCredits(r.Context(), r.actor(), id, key, n)
		return err
	})
}

// addCredits adds credits once for each form that was shown, even if it is sent again.
func (u *ui) addCredits(w http.ResponseWriter, r *request, field string, add func(core.TenantID, core.Key, core.Credits) error) error {
	f, err := r.form(w)
	if err != nil {
		return err
	}
	id := core.TenantID(r.PathValue("id"))
	if !core.ValidID(id) {
		return core.ErrTenantNotFound
	}
	n, err := wholeCredits(field, f.Get(field))
	if err == nil {
		err = add(id, core.Key(f.Get("key")), n)
	}
	if err == nil {
		return r.redirect(w, withQuery(addr("tenants", string(id)), "notice", "credits_added"))
	}
	if e, ok := errors.AsType[*core.Error](err); ok && (e.Code == core.CodeInvalidRequest || e.Code == core.CodeCreditsOutOfRange) {
		message := e.Message
		if len(e.Fields) > 0 {
			message = e.Fields[0].Message
		}
		wrong := &core.Error{Fields: []core.FieldError{{Field: field, Message: message}}}
		return u.showTenant(w, r, http.StatusUnprocessableEntity, map[string]string{field: f.Get(field)}, wrong)
	}
	return err
}
