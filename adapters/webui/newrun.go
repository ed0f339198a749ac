package webui

import (
	"crypto/rand"
	"net/http"
	"strconv"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
)

// newRunView is the form that starts a run.
type newRunView struct {
	URL       string
	Key       string // idempotency key: sending this form again has no further effect
	Templates []templateChoice
	Retries   string
	MaxTries  int
	Balance   string
	Available int64
	Wrong     map[string]string // by field
	Refused   []refusedFile
	Lost      bool // files were chosen, and a browser does not choose them again by itself
	Empty     *Empty
	Limits    uploadLimits
	Texts     map[string]string // for the script
	Hint      string
}

// templateChoice is a template that a run may use.
type templateChoice struct {
	ID     string `json:"id"`
	Text   string `json:"text"`
	Price  int64  `json:"price"`
	Chosen bool   `json:"-"`
}

func (l language) templateChoice(t core.Template) templateChoice {
	return templateChoice{
		ID: string(t.ID), Text: l.T("new.template.choice", visible(t.Name), l.Credits(t.CreditsPerRun)), Price: int64(t.CreditsPerRun),
	}
}

// uploadLimits are checked by the script before anything is sent, and by the server.
type uploadLimits struct {
	MaxFiles       int   `json:"maxFiles"`
	MaxFileBytes   int64 `json:"maxFileBytes"`
	MaxUploadBytes int64 `json:"maxUploadBytes"`
}

// scriptTexts are the texts that only the script fills in.
var scriptTexts = []string{
	"upload.chosen.one", "upload.chosen.other", "upload.refused.one", "upload.refused.other", "upload.price.one", "upload.price.other", "upload.balance",
	"upload.short", "upload.empty", "upload.large", "upload.many", "upload.total", "upload.accepted", "upload.remove", "upload.more",
	"upload.sending", "upload.working", "upload.broken", "upload.signedout", "upload.start", "upload.nothing", "new.template.missing", "new.files.none",
}

// newRunPage is GET /ui/runs/new.
func (u *ui) newRunPage(w http.ResponseWriter, r *request) error {
	tenant, err := r.tenant()
	if err != nil {
		return err
	}
	in := newRunForm{retries: strconv.Itoa(core.DefaultMaxRetryCount), template: r.URL.Query().Get("template"), key: rand.Text()}
	return u.showNewRun(w, r, http.StatusOK, tenant, in, nil)
}

// showNewRun renders the form with the user's input and its errors.
func (u *ui) showNewRun(w http.ResponseWriter, r *request, status int, tenant core.TenantID, in newRunForm, refusal *core.Error) error {
	if err := core.Authorize(r.actor(), core.ActionInitiate, tenant); err != nil {
		return err
	}
	list, err := u.svc.Templates(r.Context(), r.actor(), tenant)
	if err != nil {
		return err
	}
	balance, err := u.svc.Balance(r.Context(), r.actor(), tenant)
	if err != nil {
		return err
	}
	v := newRunView{
		URL: r.of(tenant, Prefix+"runs/new"), Key: in.key, Retries: in.retries, MaxTries: core.MaxMaxRetryCount,
		Balance: r.Credits(balance.Available()) + r.splitAfter(balance.Split), Available: int64(balance.Available()),
		Wrong: map[string]string{}, Refused: in.refused, Lost: in.count > 0 || len(in.refused) > 0,
		Limits: uploadLimits{MaxFiles: u.svc.Options().MaxFiles, MaxFileBytes: u.cfg.MaxFileBytes, MaxUploadBytes: u.cfg.MaxUploadBytes},
		Texts:  map[string]string{},
	}
	v.Hint = r.T("new.files.hint", v.Limits.MaxFiles, r.Bytes(v.Limits.MaxFileBytes))
	for _, key := range scriptTexts {
		v.Texts[key] = r.T(key)
	}
	v.Texts["new.retries.wrong"] = r.T("new.retries.wrong", core.MaxMaxRetryCount)
	for _, t := range list {
		if t.Deleted() || t.Status != core.TemplatePublished {
			continue
		}
		choice := r.templateChoice(t)
		choice.Chosen = choice.ID == in.template
		v.Templates = append(v.Templates, choice)
	}
	if len(v.Templates) == 0 {
		v.Empty = &Empty{Icon: "template", Title: r.T("new.none.title"), Text: r.T("new.none.text"), URL: r.of(tenant, Prefix+"templates"), Link: r.T("new.none.link")}
	}
	p := page{Title: r.T("new.title"), Nav: "new", Tenant: tenant}
	if refusal != nil {
		r.newRunWrong(in, refusal, v.Wrong)
	}
	p.Data = v
	return u.render(w, r, status, "new.html", p)
}

// newRunWrong assigns a refusal to the fields that it concerns.
func (l language) newRunWrong(in newRunForm, e *core.Error, wrong map[string]string) {
	switch e.Code {
	case core.CodeInsufficientCredits:
		wrong["form"] = l.problem(e).Text
		return
	case core.CodeIdempotencyKeyReused, core.CodeTenantSuspended:
		wrong["form"] = l.problem(e).Title + ". " + l.problem(e).Text
		return
	case core.CodePriceChanged:
		wrong["template"] = l.problem(e).Text
		return
	case core.CodeTemplateDeleted, core.CodeTemplateNotFound, core.CodeTemplateNotPublished:
		wrong["template"] = l.problem(e).Text
		return
	default: // it names the fields, or concerns none in particular
	}
	for _, f := range e.Fields {
		switch f.Field {
		case "template":
			wrong["template"] = l.T("new.template.missing")
		case "maxRetryCount":
			wrong["retries"] = l.T("new.retries.wrong", core.MaxMaxRetryCount)
		case "files":
			wrong["files"] = f.Message
			if in.count == 0 {
				wrong["files"] = l.T("new.files.none")
			}
		default:
			wrong["form"] = f.Message
		}
	}
	if len(wrong) == 0 {
		wrong["form"] = l.problem(e).Text
	}
}

// startRun is POST /ui/runs/new: the form, with the files after the fields. The script
// gets its answer as JSON, a browser without the script gets a page.
func (u *ui) startRun(w http.ResponseWriter, r *request) error {
	tenant, err := r.tenant()
	if err != nil {
		return err
	}
	if err := core.Authorize(r.actor(), core.ActionInitiate, tenant); err != nil {
		return err
	}
	u.cfg.Uploads(r.Request)
	in, err := u.readUpload(w, r, tenant)
	if in.upload != nil {
		defer in.upload.Discard(r.Context())
	}
	if err == nil && len(in.refused) == 0 {
		var run core.Run
		if run, err = u.initiate(r, tenant, in); err == nil {
			to := withQuery(addr("runs", string(run.ID)), "notice", "started")
			if r.wantsJSON() {
				return writeJSON(w, http.StatusCreated, map[string]string{"location": to})
			}
			return r.redirect(w, to)
		}
	}
	refusal := &core.Error{Code: core.CodeInvalidRequest}
	status := http.StatusUnprocessableEntity
	if err != nil {
		var fault bool
		if refusal, fault = refusalOf(err); fault {
			if refusal.Code == core.CodeEnqueueFailed && refusal.Run != "" {
				// The run is there with its files, and its charge was refunded: Continue
				// dispatches it again.
				return u.leadTo(w, r, withQuery(addr("runs", string(refusal.Run)), "notice", "enqueue_failed"))
			}
			return err
		}
		if s, ok := statuses[refusal.Code]; ok {
			status = s
		}
		if refusal.Code == core.CodeRoleNotAllowed || refusal.Code == core.CodeWrongTenant || refusal.Code == core.CodeTenantNotFound {
			return err
		}
	}
	if r.wantsJSON() {
		wrong := map[string]string{}
		if err != nil {
			r.newRunWrong(in, refusal, wrong)
		}
		answer := uploadRefusal{Key: rand.Text(), Message: r.T("new.refused"), Files: in.refused}
		if refusal.Code == core.CodePriceChanged {
			t, err := u.svc.Template(r.Context(), r.actor(), tenant, core.TemplateID(in.template))
			if err != nil {
				return err
			}
			choice := r.templateChoice(t)
			answer.Template = &choice
		}
		for _, field := range []string{"template", "retries", "files", "form"} {
			if wrong[field] != "" {
				answer.Fields = append(answer.Fields, fieldError{Field: field, Message: wrong[field]})
			}
		}
		return writeJSON(w, status, answer)
	}
	if err == nil {
		refusal = nil
	}
	in.key = rand.Text() // the old key would give this refusal again
	return u.showNewRun(w, r, status, tenant, in, refusal)
}

// leadTo redirects the script or the browser to a page.
func (u *ui) leadTo(w http.ResponseWriter, r *request, to string) error {
	if r.wantsJSON() {
		return writeJSON(w, http.StatusOK, map[string]string{"location": to})
	}
	return r.redirect(w, to)
}

// initiate starts the run for at most the price that the form showed.
func (u *ui) initiate(r *request, tenant core.TenantID, in newRunForm) (core.Run, error) {
	req := app.InitiateRequest{
		Tenant: tenant, Template: core.TemplateID(in.template), Upload: in.upload, IdempotencyKey: core.Key(in.key),
	}
	var err error
	if req.MaxPrice, err = in.most(in.count); err != nil {
		return core.Run{}, err
	}
	retries, err := strconv.Atoi(in.retries)
	if err != nil {
		return core.Run{}, core.InvalidField("maxRetryCount", "must be a whole number")
	}
	req.MaxRetryCount = &retries
	return u.svc.Initiate(r.Context(), r.actor(), req)
}
