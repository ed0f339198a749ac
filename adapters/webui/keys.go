package webui

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/redrive/redrive/core"
)

// keysView is a tenant's API keys with the form that makes one.
type keysView struct {
	URL    string // of the form
	Rows   []keyRow
	Fields []Field
	Roles  []keyChoice
	Lives  []keyChoice
	Token  string // of the key that was just made: it is shown this once
	Key    *keyRow
	Empty  Empty
	Notice *Notice
	Wrong  string
}

type keyRow struct {
	Name, Visible, Role string
	Badge               Badge
	By                  string
	Created             Moment
	Used, Expires       Moment // empty: never
	Revoke              *Confirm
}

// keyChoice is a choice of the form.
type keyChoice struct {
	Value, Text string
	Chosen      bool
}

// keyForm is the user's input.
type keyForm struct {
	name, role string
	days       int // until it expires; 0: never
}

// keyLives are the lives that the form offers, in days; 0 is without an end.
var keyLives = []int{30, 90, 365, 0}

const defaultKeyLife = 90

// keysPage is GET /ui/keys.
func (u *ui) keysPage(w http.ResponseWriter, r *request) error {
	v := keysView{}
	if r.URL.Query().Get("notice") == "key_revoked" {
		v.Notice = &Notice{Tone: ToneGood, Text: r.T("notice.key_revoked")}
	}
	return u.showKeys(w, r, http.StatusOK, v, keyForm{role: string(core.RoleCustomerUser), days: defaultKeyLife}, nil)
}

func (u *ui) showKeys(w http.ResponseWriter, r *request, status int, v keysView, f keyForm, wrong *core.Error) error {
	tenant, err := r.tenant()
	if err != nil {
		return err
	}
	keys, err := u.svc.APIKeys(r.Context(), r.actor(), tenant)
	if err != nil {
		return err
	}
	v.URL = r.of(tenant, Prefix+"keys")
	v.Empty = Empty{Icon: "key", Title: r.T("keys.empty.title"), Text: r.T("keys.empty.text")}
	for _, k := range keys {
		v.Rows = append(v.Rows, u.keyRow(r, tenant, k))
	}
	message := r.messages(wrong)["name"]
	if message != "" {
		message = r.T("key.name.wrong", core.MaxAPIKeyNameLength)
	}
	v.Fields = []Field{{Name: "name", Label: r.T("key.name"), Hint: r.T("key.name.hint"), Value: f.name, Error: message, Required: true}}
	for _, role := range []core.Role{core.RoleCustomerUser, core.RoleCustomerAdmin, core.RolePlatformAdmin} {
		if core.AuthorizeAPIKey(r.actor(), tenant, role) == nil {
			v.Roles = append(v.Roles, keyChoice{Value: string(role), Text: r.T("key.role." + string(role)), Chosen: string(role) == f.role})
		}
	}
	for _, days := range keyLives {
		text := r.T("key.life.never")
		if days > 0 {
			text = r.T("key.life.days", days)
		}
		v.Lives = append(v.Lives, keyChoice{Value: strconv.Itoa(days), Text: text, Chosen: days == f.days})
	}
	return u.render(w, r, status, "keys.html", page{Title: r.T("keys.title"), Nav: "keys", Tenant: tenant, Data: v})
}

func (u *ui) keyRow(r *request, tenant core.TenantID, k core.APIKey) keyRow {
	row := keyRow{
		Name: visible(k.Name), Visible: k.Visible(), Role: r.T("role." + string(k.Role)), By: visible(k.CreatedBy.Subject),
		Created: r.Time(k.CreatedAt), Used: r.Time(k.LastUsedAt), Expires: r.Time(k.ExpiresAt),
	}
	status := k.Status(u.now())
	tone := map[core.APIKeyStatus]Tone{core.APIKeyActive: ToneGood, core.APIKeyExpired: ToneNeutral, core.APIKeyRevoked: ToneBad}[status]
	row.Badge = Badge{Text: r.T("key.status." + string(status)), Tone: tone}
	if status == core.APIKeyActive && core.AuthorizeAPIKey(r.actor(), tenant, k.Role) == nil {
		row.Revoke = &Confirm{
			Open: r.T("key.revoke.open"), Text: r.T("key.revoke.text", row.Name), Do: r.T("key.revoke.do"),
			Action: r.of(tenant, addr("keys", string(k.ID), "revoke")), Tone: ToneBad,
		}
	}
	return row
}

// makeKey is POST /ui/keys. The answer is the page with the token, and no redirect: it may
// not be in an address, and nobody can read it a second time.
func (u *ui) makeKey(w http.ResponseWriter, r *request) error {
	tenant, err := r.tenant()
	if err != nil {
		return err
	}
	form, err := r.form(w)
	if err != nil {
		return err
	}
	f := keyForm{name: strings.TrimSpace(form.Get("name")), role: form.Get("role")}
	q := core.APIKeyRequest{Tenant: tenant, Name: f.name, Role: core.Role(f.role)}
	if f.days, err = strconv.Atoi(form.Get("days")); err != nil || f.days < 0 {
		f.days = defaultKeyLife
	}
	if f.days > 0 {
		q.ExpiresAt = u.now().Add(time.Duration(min(f.days, 3650)) * 24 * time.Hour)
	}
	k, token, err := u.svc.MakeAPIKey(r.Context(), r.actor(), q)
	if err != nil {
		refusal, fault := refusalOf(err)
		if fault || refusal.Code != core.CodeInvalidRequest && refusal.Code != core.CodeTooManyAPIKeys {
			return err
		}
		v := keysView{}
		if refusal.Code == core.CodeTooManyAPIKeys {
			v.Wrong = r.T("problem.too_many_api_keys.text")
		}
		return u.showKeys(w, r, http.StatusUnprocessableEntity, v, f, refusal)
	}
	row := u.keyRow(r, tenant, k)
	return u.showKeys(w, r, http.StatusCreated, keysView{Token: token, Key: &row}, keyForm{role: f.role, days: f.days}, nil)
}

// revokeKey is POST /ui/keys/{id}/revoke.
func (u *ui) revokeKey(w http.ResponseWriter, r *request) error {
	tenant, err := r.tenant()
	if err != nil {
		return err
	}
	id := core.APIKeyID(r.PathValue("id"))
	if !core.ValidID(id) {
		return core.ErrAPIKeyNotFound
	}
	if _, err := u.svc.RevokeAPIKey(r.Context(), r.actor(), tenant, id); err != nil {
		return err
	}
	return r.redirect(w, withQuery(r.of(tenant, Prefix+"keys"), "notice", "key_revoked"))
}
