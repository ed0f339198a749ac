package webui

import (
	"net/http"
	"strconv"
	"time"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// deliveriesPage is how many deliveries an endpoint's page shows.
const deliveriesPage = 25

// webhookView is one endpoint with what was sent to it.
type webhookView struct {
	Target, URL              string // of the form too
	Badge                    Badge
	Why                      *Notice // if it is paused or fails
	Secret                   string  // that was just made: it is shown this once
	Until                    Moment  // until when the previous secret signs too; zero: there is none
	Notice                   *Notice
	Fields                   []Field
	Events                   []eventChoice
	EventsLabel, EventsWrong string

	PingURL, PauseURL string
	Paused            bool
	Rotate, Remove    Confirm

	Deliveries []deliveryRow
	NoneYet    Empty
	Pager      *Pager
}

type deliveryRow struct {
	Event, ID    string
	Run, RunText string
	At, Next     Moment
	Badge        Badge
	Tries        []tryRow // the latest first
	Again        string   // address to send it again by; empty: not while it is paused
}

type tryRow struct {
	At           Moment
	Said, Answer string
}

// webhookPage is GET /ui/webhooks/{id}.
func (u *ui) webhookPage(w http.ResponseWriter, r *request) error {
	_, id, err := r.webhookID()
	if err != nil {
		return err
	}
	return u.showWebhook(w, r, http.StatusOK, webhookView{Notice: r.webhookNotice()}, id, nil, nil)
}

func (u *ui) showWebhook(w http.ResponseWriter, r *request, status int, v webhookView, id core.WebhookEndpointID, f *webhookForm, wrong *core.Error) error {
	tenant, err := r.tenant()
	if err != nil {
		return err
	}
	e, err := u.svc.WebhookEndpoint(r.Context(), r.actor(), tenant, id)
	if err != nil {
		return err
	}
	at := func(words ...string) string {
		return r.of(tenant, addr(append([]string{"webhooks", string(id)}, words...)...))
	}
	v.Target, v.URL, v.Badge, v.Why = visible(e.URL), at(), r.webhookBadge(e), r.webhookWhy(e)
	if e.OldSecret != "" && u.now().Before(e.OldSecretUntil) {
		v.Until = r.Time(e.OldSecretUntil)
	}
	if f == nil {
		f = &webhookForm{url: e.URL, description: e.Description}
		for _, t := range e.Types {
			f.events = append(f.events, string(t))
		}
	}
	v.EventsLabel = r.T("webhook.events")
	v.Fields, v.Events, v.EventsWrong = r.webhookFields(*f, wrong)
	v.PingURL, v.PauseURL, v.Paused = at("ping"), at("pause"), e.Pause != core.NotPaused
	v.Rotate = Confirm{Open: r.T("webhook.rotate.open"), Text: r.T("webhook.rotate.text"), Do: r.T("webhook.rotate.do"), Action: at("rotate"), Tone: ToneWarn}
	v.Remove = Confirm{Open: r.T("webhook.remove.open"), Text: r.T("webhook.remove.text"), Do: r.T("webhook.remove.do"), Action: at("remove"), Tone: ToneBad}
	if err := u.addDeliveries(r, tenant, e, &v); err != nil {
		return err
	}
	return u.render(w, r, status, "webhook.html", page{Title: r.T("webhook.title"), Nav: "webhooks", Tenant: tenant, Data: v})
}

// webhookWhy says why an endpoint gets nothing, or that it does not take what it gets.
func (l language) webhookWhy(e core.WebhookEndpoint) *Notice {
	switch {
	case e.Pause == core.PausedByHand:
		return &Notice{Tone: ToneInfo, Text: l.T("webhook.why.by_hand")}
	case e.Pause == core.PausedGone:
		return &Notice{Tone: ToneBad, Text: l.T("webhook.why.gone")}
	case e.Pause != core.NotPaused:
		return &Notice{Tone: ToneBad, Text: l.T("webhook.why.failing")}
	case !e.FailingSince.IsZero():
		return &Notice{Tone: ToneWarn, Text: l.T("webhook.why.fails")}
	}
	return nil
}

func (u *ui) addDeliveries(r *request, tenant core.TenantID, e core.WebhookEndpoint, v *webhookView) error {
	filter := ports.DeliveryFilter{Endpoint: e.ID, Limit: deliveriesPage + 1, Before: deliveryPlace(r)}
	list, err := u.svc.WebhookDeliveries(r.Context(), r.actor(), tenant, filter)
	if err != nil {
		return err
	}
	v.NoneYet = Empty{Icon: "bell", Title: r.T("webhook.deliveries.empty.title"), Text: r.T("webhook.deliveries.empty.text")}
	first, next := "", ""
	if filter.Before.ID != "" {
		first = v.URL
	}
	if len(list) > deliveriesPage {
		list = list[:deliveriesPage]
		last := list[deliveriesPage-1].Event
		next = withQuery(v.URL, "before", strconv.FormatInt(last.At.UnixNano(), 10), "event", string(last.ID))
	}
	if first != "" || next != "" {
		p := r.pager("", first, "", next)
		v.Pager = &p
	}
	for _, d := range list {
		row := deliveryRow{
			Event: r.T("webhook.event." + string(d.Event.Type)), ID: string(d.Event.ID), At: r.Time(d.Event.At), Next: r.Time(d.DueAt), Badge: r.deliveryBadge(d),
		}
		if d.Event.Run != "" {
			row.Run, row.RunText = addr("runs", string(d.Event.Run)), string(d.Event.Run)
		}
		if e.Pause == core.NotPaused {
			row.Again = r.of(tenant, addr("webhooks", string(e.ID), "deliveries", string(d.Event.ID)))
		}
		for i := len(d.Log) - 1; i >= 0; i-- {
			row.Tries = append(row.Tries, r.tryRow(d.Log[i]))
		}
		v.Deliveries = append(v.Deliveries, row)
	}
	return nil
}

// deliveryPlace is where the page goes on in the list; what is none is the beginning.
func deliveryPlace(r *request) ports.DeliveryCursor {
	n, err := strconv.ParseInt(r.URL.Query().Get("before"), 10, 64)
	id := core.WebhookEventID(r.URL.Query().Get("event"))
	if err != nil || !core.ValidID(id) {
		return ports.DeliveryCursor{}
	}
	return ports.DeliveryCursor{At: time.Unix(0, n).UTC(), ID: id}
}

func (l language) deliveryBadge(d core.WebhookDelivery) Badge {
	tone := map[core.DeliveryStatus]Tone{core.DeliveryPending: ToneBusy, core.DeliveryDelivered: ToneGood, core.DeliveryGivenUp: ToneBad}[d.Status]
	if d.Status == core.DeliveryPending && d.Tries > 0 {
		tone = ToneWarn
	}
	return Badge{Text: l.T("webhook.delivery." + string(d.Status)), Tone: tone}
}

func (r *request) tryRow(t core.DeliveryTry) tryRow {
	said := t.Error
	if said == "" {
		said = r.T("webhook.try.status", strconv.Itoa(t.Status), r.N(t.Took.Milliseconds()))
	}
	return tryRow{At: r.Time(t.At), Said: visible(said), Answer: visible(t.Answer)}
}
