package httpapi

import (
	"encoding/json"
	"time"

	"github.com/redrive/redrive/core"
)

// webhookEndpointJSON is an endpoint. Its secret is in the answers of its creation and of a
// rotation alone.
type webhookEndpointJSON struct {
	ID          string    `json:"id"`
	Tenant      string    `json:"tenant"`
	URL         string    `json:"url"`
	Description string    `json:"description"`
	Events      []string  `json:"events"`
	Paused      bool      `json:"paused"`
	PauseReason string    `json:"pauseReason,omitempty"`
	PausedAt    time.Time `json:"pausedAt,omitzero"`
	Secret      string    `json:"secret,omitempty"`
	// PreviousSecretUntil is until when the secret of before signs too.
	PreviousSecretUntil time.Time `json:"previousSecretUntil,omitzero"`
	FailingSince        time.Time `json:"failingSince,omitzero"`
	SucceededAt         time.Time `json:"succeededAt,omitzero"`
	CreatedBy           actorJSON `json:"createdBy"`
	CreatedAt           time.Time `json:"createdAt"`
	UpdatedAt           time.Time `json:"updatedAt"`
}

type webhookEndpointsJSON struct {
	Endpoints []webhookEndpointJSON `json:"endpoints"`
}

type webhookDeliveryJSON struct {
	Event     string           `json:"event"`
	Type      string           `json:"type"`
	Run       string           `json:"run,omitempty"`
	At        time.Time        `json:"at"`
	Status    string           `json:"status"`
	NextTryAt time.Time        `json:"nextTryAt,omitzero"`
	Tries     []webhookTryJSON `json:"tries"`             // the latest, oldest first
	Payload   json.RawMessage  `json:"payload,omitempty"` // not in lists
}

type webhookTryJSON struct {
	At             time.Time `json:"at"`
	DurationMillis int64     `json:"durationMillis"`
	Status         int       `json:"status,omitempty"`
	Error          string    `json:"error,omitempty"`
	Answer         string    `json:"answer,omitempty"`
}

type webhookDeliveriesJSON struct {
	Deliveries []webhookDeliveryJSON `json:"deliveries"`
	NextCursor string                `json:"nextCursor,omitempty"`
}

type lowCreditsJSON struct {
	Tenant    string `json:"tenant"`
	Threshold int64  `json:"threshold"`
}

func toWebhookEndpoint(e core.WebhookEndpoint) webhookEndpointJSON {
	j := webhookEndpointJSON{
		ID: string(e.ID), Tenant: string(e.Tenant), URL: e.URL, Description: e.Description,
		Paused: e.Pause != core.NotPaused, PauseReason: string(e.Pause), PausedAt: e.PausedAt,
		FailingSince: e.FailingSince, SucceededAt: e.SucceededAt,
		CreatedBy: toActor(e.CreatedBy), CreatedAt: e.CreatedAt, UpdatedAt: e.UpdatedAt,
	}
	for _, t := range e.Types {
		j.Events = append(j.Events, string(t))
	}
	if e.OldSecret != "" {
		j.PreviousSecretUntil = e.OldSecretUntil
	}
	return j
}

func toWebhookDelivery(d core.WebhookDelivery, whole bool) webhookDeliveryJSON {
	j := webhookDeliveryJSON{
		Event: string(d.Event.ID), Type: string(d.Event.Type), Run: string(d.Event.Run), At: d.Event.At,
		Status: string(d.Status), NextTryAt: d.DueAt, Tries: make([]webhookTryJSON, len(d.Log)),
	}
	for i, t := range d.Log {
		j.Tries[i] = webhookTryJSON{At: t.At, DurationMillis: t.Took.Milliseconds(), Status: t.Status, Error: t.Error, Answer: t.Answer}
	}
	if whole {
		j.Payload = json.RawMessage(d.Event.Body)
	}
	return j
}
