package webui

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
)

// webhooksView is a tenant's webhook endpoints with the forms that make one and set the
// threshold of low credits.
type webhooksView struct {
	URL, LowURL              string // of the forms
	Rows                     []webhookRow
	Fields                   []Field
	Events                   []eventChoice
	Low                      []Field
	Empty                    Empty
	Notice                   *Notice
	Wrong                    string
	EventsLabel, EventsWrong string
}

// webhookRow is one endpoint.
type webhookRow struct {
	Target, Description, Events, URL string
	Badge                            Badge
	Succeeded                        Moment // empty: never
}

// eventChoice is a check box for a type of events.
type eventChoice struct {
	Value, Text string
	Chosen      bool
}

// webhookForm is the user's input.
type webhookForm struct {
	url, description string
	events           []string
}

// webhooksPage is GET /ui/webhooks.
func (u *ui) webhooksPage(w http.ResponseWriter, r *request) error {
	v := webhooksView{Notice: r.webhookNotice()}
	return u.showWebhooks(w, r, http.StatusOK, v, webhookForm{events: []string{string(core.EventRunClosed), string(core.EventRunInterrupted)}}, nil)
}

// webhookNotice is what the page says of the action that led to it.
func (r *request) webhookNotice() *Notice {
	switch r.URL.Query().Get("notice") {
	case "removed":
		return &Notice{Tone: ToneGood, Text: r.T("webhook.notice.removed")}
	case "low":
		return &Notice{Tone: ToneGood, Text: r.T("webhook.notice.low")}
	case "saved":
		return &Notice{Tone: ToneGood, Text: r.T("webhook.notice.saved")}
	case "sent":
		return &Notice{Tone: ToneInfo, Text: r.T("webhook.notice.sent")}
	}
	return nil
}

func (u *ui) showWebhooks(w http.ResponseWriter, r *request, status int, v webhooksView, f webhookForm, wrong *core.Error) error {
	tenant, err := r.tenant()
	if err != nil {
		return err
	}
	list, err := u.svc.WebhookEndpoints(r.Context(), r.actor(), tenant)
	if err != nil {
		return err
	}
	low, err := u.svc.LowCredits(r.Context(), r.actor(), tenant)
	if err != nil {
		return err
	}
	v.URL, v.LowURL = r.of(tenant, Prefix+"webhooks"), r.of(tenant, Prefix+"low-credits")
	v.Empty = Empty{Icon: "bell", Title: r.T("webhooks.empty.title"), Text: r.T("webhooks.empty.text")}
	for _, e := range list {
		v.Rows = append(v.Rows, webhookRow{
			Target: visible(e.URL), Description: visible(e.Description), Events: r.eventNames(e.Types), URL: r.of(tenant, addr("webhooks", string(e.ID))),
			Badge: r.webhookBadge(e), Succeeded: r.Time(e.SucceededAt),
		})
	}
	v.EventsLabel = r.T("webhook.events")
	v.Fields, v.Events, v.EventsWrong = r.webhookFields(f, wrong)
	v.Low = []Field{{
		Name: "threshold", Label: r.T("webhooks.low"), Hint: r.T("webhooks.low.hint"), Type: "number", Min: "0", Required: true,
		Value: strconv.FormatInt(int64(low.Threshold), 10),
	}}
	return u.render(w, r, status, "webhooks.html", page{Title: r.T("webhooks.title"), Nav: "webhooks", Tenant: tenant, Data: v})
}

// webhookFields are the inputs of an endpoint, with what is wrong with them.
func (r *request) webhookFields(f webhookForm, wrong *core.Error) (fields []Field, events []eventChoice, eventsWrong string) {
	var target, description string
	if wrong != nil {
		for _, e := range wrong.Fields {
			switch e.Field {
			case "url":
				target = r.T("webhook.url.wrong")
			case "description":
				description = r.T("webhook.description.wrong", core.MaxWebhookDescription)
			case "events":
				eventsWrong = r.T("webhook.events.wrong")
			}
		}
	}
	fields = []Field{
		{Name: "url", Label: r.T("webhook.url"), Hint: r.T("webhook.url.hint"), Type: "url", Value: f.url, Error: target, Required: true},
		{Name: "description", Label: r.T("webhook.description"), Value: f.description, Error: description},
	}
	for _, t := range core.WebhookEventTypes() {
		events = append(events, eventChoice{Value: string(t), Text: r.T("webhook.event." + string(t)), Chosen: slices.Contains(f.events, string(t))})
	}
	return fields, events, eventsWrong
}

func (l language) eventNames(types []core.WebhookEventType) string {
	names := make([]string, len(types))
	for i, t := range types {
		names[i] = l.T("webhook.event." + string(t))
	}
	return strings.Join(names, ", ")
}

func (l language) webhookBadge(e core.WebhookEndpoint) Badge {
	switch {
	case e.Pause == core.PausedByHand:
		return Badge{Text: l.T("webhook.status.by_hand"), Tone: ToneNeutral}
	case e.Pause != core.NotPaused:
		return Badge{Text: l.T("webhook.status." + string(e.Pause)), Tone: ToneBad}
	case !e.FailingSince.IsZero():
		return Badge{Text: l.T("webhook.status.fails"), Tone: ToneWarn}
	default:
		return Badge{Text: l.T("webhook.status.enabled"), Tone: ToneGood}
	}
}

// webhookInput reads the form of an endpoint.
func (r *request) webhookInput(w http.ResponseWriter) (webhookForm, core.WebhookSpec, error) {
	form, err := r.form(w)
	if err != nil {
		return webhookForm{}, core.WebhookSpec{}, err
	}
	f := webhookForm{url: strings.TrimSpace(form.Get("url")), description: strings.TrimSpace(form.Get("description")), events: form["events"]}
	spec := core.WebhookSpec{URL: f.url, Description: f.description, Types: []core.WebhookEventType{}}
	for _, t := range f.events {
		spec.Types = append(spec.Types, core.WebhookEventType(t))
	}
	return f, spec, nil
}

// makeWebhook is POST /ui/webhooks. The answer is the endpoint's page with its secret, and
// no redirect, as for API keys.
func (u *ui) makeWebhook(w http.ResponseWriter, r *request) error {
	tenant, err := r.tenant()
	if err != nil {
		return err
	}
	f, spec, err := r.webhookInput(w)
	if err != nil {
		return err
	}
	e, err := u.svc.CreateWebhookEndpoint(r.Context(), r.actor(), tenant, spec)
	if err != nil {
		refusal, fault := refusalOf(err)
		if fault {
			return err
		}
		v := webhooksView{}
		switch refusal.Code {
		case core.CodeInvalidRequest:
		case core.CodeTooManyWebhookEndpoints, core.CodeWebhooksDisabled:
			v.Wrong = r.T("problem." + string(refusal.Code) + ".text")
		default:
			return err
		}
		return u.showWebhooks(w, r, http.StatusUnprocessableEntity, v, f, refusal)
	}
	return u.showWebhook(w, r, http.StatusCreated, webhookView{Secret: e.Secret}, e.ID, nil, nil)
}

// setLowCredits is POST /ui/low-credits.
func (u *ui) setLowCredits(w http.ResponseWriter, r *request) error {
	tenant, err := r.tenant()
	if err != nil {
		return err
	}
	form, err := r.form(w)
	if err != nil {
		return err
	}
	threshold, err := strconv.ParseInt(form.Get("threshold"), 10, 64)
	if err != nil {
		return core.InvalidField("threshold", "must be a whole number")
	}
	if _, err := u.svc.SetLowCredits(r.Context(), r.actor(), tenant, core.Credits(threshold)); err != nil {
		return err
	}
	return r.redirect(w, withQuery(r.of(tenant, Prefix+"webhooks"), "notice", "low"))
}

// webhookID is the endpoint that the path names, with its tenant.
func (r *request) webhookID() (core.TenantID, core.WebhookEndpointID, error) {
	tenant, err := r.tenant()
	if err != nil {
		return "", "", err
	}
	id := core.WebhookEndpointID(r.PathValue("id"))
	if !core.ValidID(id) {
		return "", "", core.ErrWebhookEndpointNotFound
	}
	return tenant, id, nil
}

// changeWebhook is POST /ui/webhooks/{id}.
func (u *ui) changeWebhook(w http.ResponseWriter, r *request) error {
	tenant, id, err := r.webhookID()
	if err != nil {
		return err
	}
	f, spec, err := r.webhookInput(w)
	if err != nil {
		return err
	}
	change := app.WebhookChange{URL: &spec.URL, Description: &spec.Description, Types: spec.Types}
	if _, err := u.svc.UpdateWebhookEndpoint(r.Context(), r.actor(), tenant, id, change); err != nil {
		refusal, fault := refusalOf(err)
		if fault || refusal.Code != core.CodeInvalidRequest {
			return err
		}
		return u.showWebhook(w, r, http.StatusUnprocessableEntity, webhookView{}, id, &f, refusal)
	}
	return u.backToWebhook(w, r, tenant, id, "saved")
}

func (u *ui) backToWebhook(w http.ResponseWriter, r *request, tenant core.TenantID, id core.WebhookEndpointID, notice string) error {
	return r.redirect(w, withQuery(r.of(tenant, addr("webhooks", string(id))), "notice", notice))
}

// pauseWebhook is POST /ui/webhooks/{id}/pause, with paused true or false.
func (u *ui) pauseWebhook(w http.ResponseWriter, r *request) error {
	tenant, id, err := r.webhookID()
	if err != nil {
		return err
	}
	form, err := r.form(w)
	if err != nil {
		return err
	}
	paused := form.Get("paused") == "true"
	if _, err := u.svc.UpdateWebhookEndpoint(r.Context(), r.actor(), tenant, id, app.WebhookChange{Paused: &paused}); err != nil {
		return err
	}
	return u.backToWebhook(w, r, tenant, id, "saved")
}

// pingWebhook is POST /ui/webhooks/{id}/ping.
func (u *ui) pingWebhook(w http.ResponseWriter, r *request) error {
	tenant, id, err := r.webhookID()
	if err != nil {
		return err
	}
	if _, err := u.svc.PingWebhookEndpoint(r.Context(), r.actor(), tenant, id); err != nil {
		return err
	}
	return u.backToWebhook(w, r, tenant, id, "sent")
}

// rotateWebhook is POST /ui/webhooks/{id}/rotate. The answer has the secret, and is no
// redirect.
func (u *ui) rotateWebhook(w http.ResponseWriter, r *request) error {
	tenant, id, err := r.webhookID()
	if err != nil {
		return err
	}
	e, err := u.svc.RotateWebhookSecret(r.Context(), r.actor(), tenant, id)
	if err != nil {
		return err
	}
	return u.showWebhook(w, r, http.StatusOK, webhookView{Secret: e.Secret}, id, nil, nil)
}

// removeWebhook is POST /ui/webhooks/{id}/remove.
func (u *ui) removeWebhook(w http.ResponseWriter, r *request) error {
	tenant, id, err := r.webhookID()
	if err != nil {
		return err
	}
	if err := u.svc.DeleteWebhookEndpoint(r.Context(), r.actor(), tenant, id); err != nil {
		return err
	}
	return r.redirect(w, withQuery(r.of(tenant, Prefix+"webhooks"), "notice", "removed"))
}

// redeliverWebhook is POST /ui/webhooks/{id}/deliveries/{event}.
func (u *ui) redeliverWebhook(w http.ResponseWriter, r *request) error {
	tenant, id, err := r.webhookID()
	if err != nil {
		return err
	}
	event := core.WebhookEventID(r.PathValue("event"))
	if !core.ValidID(event) {
		return core.ErrWebhookDeliveryNotFound
	}
	if _, err := u.svc.Redeliver(r.Context(), r.actor(), tenant, id, event); err != nil {
		return err
	}
	return u.backToWebhook(w, r, tenant, id, "sent")
}
