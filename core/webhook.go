package core

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// WebhookEventID names an event. It is made of what the event tells, so that the same
// thing is never told under two IDs, however often it is written.
type WebhookEventID string

// WebhookEventType is what an event tells. Types are as stable as codes.
type WebhookEventType string

const (
	// EventRunClosed: an attempt of a run ended, in any status but INTERRUPTED.
	EventRunClosed WebhookEventType = "run.closed"
	// EventRunInterrupted: an attempt of a run ended INTERRUPTED.
	EventRunInterrupted WebhookEventType = "run.interrupted"
	// EventRunContinued: a run was continued, so that an attempt began.
	EventRunContinued WebhookEventType = "run.continued"
	// EventCreditsLow: a charge took a tenant's credits below its threshold.
	EventCreditsLow WebhookEventType = "credits.low"
	// EventPing is sent to one endpoint on request; endpoints do not subscribe to it.
	EventPing WebhookEventType = "webhook.ping"
)

// WebhookEventTypes are those that an endpoint may subscribe to, ascending.
func WebhookEventTypes() []WebhookEventType {
	return []WebhookEventType{EventCreditsLow, EventRunClosed, EventRunContinued, EventRunInterrupted}
}

// WebhookVersion is the version of the bodies. Fields may be added to a version; whatever
// else changes is a new one.
const WebhookVersion = 1

// WebhookEvent is something that a tenant's endpoints are told. It is written by the
// transaction that does what it tells.
type WebhookEvent struct {
	ID   WebhookEventID
	Type WebhookEventType
	Run  RunID // that it is about; empty if it is about none
	At   time.Time
	Body string // JSON, the same at every try
}

// ClosingEvent tells that the latest attempt of a run has ended. An attempt ends once, so
// there is one such event of it, of whichever type. undone says that the attempt was
// compensated: then a run that was continued is as it was before.
func ClosingEvent(run Run, undone bool, now time.Time) WebhookEvent {
	kind := EventRunClosed
	if run.Status == RunInterrupted {
		kind = EventRunInterrupted
	}
	data := runDataOf(run)
	data.Compensated = undone
	return newEvent(kind, eventID(run.Tenant, "closing", string(run.ID), int64(run.Attempt)), run.ID, now, data)
}

// ContinuedEvent tells that a Continue began an attempt.
func ContinuedEvent(run Run, a Attempt) WebhookEvent {
	data := runDataOf(run)
	charged := a.Charge.Amount.Total()
	files := len(a.Files)
	data.CreditsCharged, data.FilesRetried = &charged, &files
	return newEvent(EventRunContinued, eventID(run.Tenant, "continued", string(run.ID), int64(a.Number)), run.ID, a.RequestedAt, data)
}

// LowCredits is at how many credits a tenant wants to be warned, and whether it was.
type LowCredits struct {
	Threshold Credits // below which credits are low; 0 never warns
	Told      bool    // since they were last at the threshold or above, as far as is known
}

// After decides whether a charge is told: it is if it crosses the threshold, and also if
// the credits were below it already and that was not told, because a month ended or the
// threshold was raised. So each crossing is told once, and not each charge.
func (l LowCredits) After(before, after Balance) (is LowCredits, tell bool) {
	low := after.Available() < l.Threshold
	tell = low && (!l.Told || before.Available() >= l.Threshold)
	return LowCredits{Threshold: l.Threshold, Told: low}, tell
}

// LowCreditsEvent tells what a charge left.
func LowCreditsEvent(low LowCredits, charge Entry, left Balance) WebhookEvent {
	return newEvent(EventCreditsLow, eventID(charge.Tenant, "low", string(charge.Key), 0), charge.Run, charge.At, lowData{
		Tenant: charge.Tenant, Run: charge.Run, Threshold: low.Threshold, Available: left.Available(),
		Monthly: left.Monthly, Purchased: left.Purchased, Period: left.Period.String(),
	})
}

// PingEvent is for one endpoint alone.
func PingEvent(id WebhookEventID, e WebhookEndpoint, now time.Time) WebhookEvent {
	return newEvent(EventPing, id, "", now, pingData{Tenant: e.Tenant, Endpoint: e.ID})
}

// eventID has no character that stands for something in a header or a signature.
func eventID(tenant TenantID, of, what string, n int64) WebhookEventID {
	sum := sha256.Sum256([]byte(string(tenant) + "\x00" + of + "\x00" + what + "\x00" + strconv.FormatInt(n, 10)))
	return WebhookEventID("evt_" + hex.EncodeToString(sum[:16]))
}

// eventBody is the JSON of every event.
type eventBody struct {
	ID        WebhookEventID   `json:"id"`
	Type      WebhookEventType `json:"type"`
	Version   int              `json:"version"`
	Timestamp string           `json:"timestamp"`
	Data      any              `json:"data"`
}

type runData struct {
	Tenant          TenantID      `json:"tenantId"`
	Run             RunID         `json:"runId"`
	Template        TemplateID    `json:"templateId"`
	Attempt         AttemptNumber `json:"attempt"`
	Epoch           Epoch         `json:"epoch"`
	Status          RunStatus     `json:"status"`
	Reason          CloseReason   `json:"reason,omitempty"`
	Fault           string        `json:"fault,omitempty"`
	Compensated     bool          `json:"compensated,omitempty"`
	Files           fileData      `json:"files"`
	FilesRetried    *int          `json:"filesRetried,omitempty"`
	CreditsCharged  *Credits      `json:"creditsCharged,omitempty"`
	CreditsConsumed Credits       `json:"creditsConsumed"`
	CreatedAt       string        `json:"createdAt"`
	ClosedAt        string        `json:"closedAt,omitempty"`
}

type fileData struct {
	Total      int `json:"total"`
	Completed  int `json:"completed"`
	Failed     int `json:"failed"`
	Error      int `json:"error"`
	Unfinished int `json:"unfinished"`
}

type lowData struct {
	Tenant    TenantID `json:"tenantId"`
	Run       RunID    `json:"runId"`
	Threshold Credits  `json:"threshold"`
	Available Credits  `json:"available"`
	Monthly   Credits  `json:"monthly"`
	Purchased Credits  `json:"purchased"`
	Period    string   `json:"period"`
}

type pingData struct {
	Tenant   TenantID          `json:"tenantId"`
	Endpoint WebhookEndpointID `json:"endpointId"`
}

func runDataOf(run Run) runData {
	d := runData{
		Tenant: run.Tenant, Run: run.ID, Template: run.Template, Attempt: run.Attempt, Epoch: run.Epoch,
		Status: run.Status, Reason: run.Reason, Fault: run.Failure.Code,
		Files: fileData{
			Total: run.Tally.Total(), Completed: run.Tally.Completed, Failed: run.Tally.Failed,
			Error: run.Tally.Error, Unfinished: run.Tally.Unfinished,
		},
		CreditsConsumed: run.CreditsConsumed, CreatedAt: timestamp(run.CreatedAt),
	}
	if !run.ClosedAt.IsZero() {
		d.ClosedAt = timestamp(run.ClosedAt)
	}
	return d
}

func timestamp(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

func newEvent(kind WebhookEventType, id WebhookEventID, run RunID, at time.Time, data any) WebhookEvent {
	body, err := json.Marshal(eventBody{ID: id, Type: kind, Version: WebhookVersion, Timestamp: timestamp(at), Data: data})
	if err != nil { // texts and numbers always marshal
		panic(err)
	}
	return WebhookEvent{ID: id, Type: kind, Run: run, At: at, Body: string(body)}
}

// WebhookEndpointID names an endpoint of a tenant.
type WebhookEndpointID string

// EndpointPause says why an endpoint is paused.
type EndpointPause string

const (
	NotPaused    EndpointPause = ""        // it is enabled
	PausedByHand EndpointPause = "by_hand" // by an admin; what happens meanwhile is kept for it
	PausedFails  EndpointPause = "failing" // it failed for too long
	PausedGone   EndpointPause = "gone"    // it answered 410
)

// Bounds of endpoints.
const (
	MaxWebhookEndpoints      = 20 // of a tenant
	MaxWebhookPings          = 10 // of an endpoint that are pending
	MaxWebhookURLLength      = 2048
	MaxWebhookDescription    = 500
	webhookSecretOverlap     = 24 * time.Hour
	minWebhookSecretBytes    = 24
	webhookSecretPrefix      = "whsec_"
	maxWebhookSecretsAtATime = 2
)

// WebhookEndpoint is where a tenant wants to be told of events.
type WebhookEndpoint struct {
	ID          WebhookEndpointID
	Tenant      TenantID
	URL         string
	Description string
	Types       []WebhookEventType // ascending, at least one
	Pause       EndpointPause
	PausedAt    time.Time // zero if it is enabled
	Secret      string    // whsec_…; whoever has it can sign as we do
	// OldSecret is the previous one, which signs too until OldSecretUntil.
	OldSecret      string
	OldSecretUntil time.Time
	FailingSince   time.Time // the first failure since the last success; zero if there is none
	SucceededAt    time.Time // the last success
	CreatedBy      Actor
	CreatedAt      time.Time
	UpdatedAt      time.Time
}

// Collects reports whether events are kept for the endpoint: not if it was paused because
// it does not answer, so that one that is gone costs nothing for ever.
func (e WebhookEndpoint) Collects() bool { return e.Pause == NotPaused || e.Pause == PausedByHand }

// Secrets gives what signs at a time, the newest first.
func (e WebhookEndpoint) Secrets(now time.Time) []string {
	secrets := make([]string, 1, maxWebhookSecretsAtATime)
	secrets[0] = e.Secret
	if e.OldSecret != "" && now.Before(e.OldSecretUntil) {
		secrets = append(secrets, e.OldSecret)
	}
	return secrets
}

// WebhookSpec is what a caller says of an endpoint.
type WebhookSpec struct {
	URL         string
	Description string
	Types       []WebhookEventType
}

// NewWebhookEndpoint checks the fields and gives the endpoint to be stored. Whether its
// URL may be reached is for the sender to say.
func NewWebhookEndpoint(id WebhookEndpointID, tenant TenantID, spec WebhookSpec, secret string, by Actor, now time.Time) (WebhookEndpoint, error) {
	e := WebhookEndpoint{ID: id, Tenant: tenant, Secret: secret, CreatedBy: by, CreatedAt: now, UpdatedAt: now}
	return e.Change(spec, now)
}

// Change gives the endpoint with other fields.
func (e WebhookEndpoint) Change(spec WebhookSpec, now time.Time) (WebhookEndpoint, error) {
	var wrong []FieldError
	if spec.URL == "" || len(spec.URL) > MaxWebhookURLLength {
		wrong = append(wrong, FieldError{"url", fmt.Sprintf("must have 1 to %d characters", MaxWebhookURLLength)})
	} else {
		wrong = append(wrong, checkText("url", spec.URL)...)
	}
	if utf8.RuneCountInString(spec.Description) > MaxWebhookDescription {
		wrong = append(wrong, FieldError{"description", fmt.Sprintf("must have at most %d characters", MaxWebhookDescription)})
	} else {
		wrong = append(wrong, checkText("description", spec.Description)...)
	}
	types := slices.Compact(slices.Sorted(slices.Values(spec.Types)))
	for _, t := range types {
		if !slices.Contains(WebhookEventTypes(), t) {
			wrong = append(wrong, FieldError{"events", fmt.Sprintf("%.40q is no type of event; there are %s", t, typeNames())})
			break
		}
	}
	if len(types) == 0 {
		wrong = append(wrong, FieldError{"events", "must name at least one of " + typeNames()})
	}
	if err := Invalid(wrong...); err != nil {
		return WebhookEndpoint{}, err
	}
	e.URL, e.Description, e.Types, e.UpdatedAt = spec.URL, spec.Description, types, now
	return e, nil
}

func typeNames() string {
	var names []string
	for _, t := range WebhookEventTypes() {
		names = append(names, string(t))
	}
	return strings.Join(names, ", ")
}

// SetPaused pauses an endpoint by hand, or enables it, with a clean record.
func (e WebhookEndpoint) SetPaused(paused bool, now time.Time) WebhookEndpoint {
	switch {
	case paused && e.Pause == NotPaused:
		e.Pause, e.PausedAt, e.UpdatedAt = PausedByHand, now, now
	case !paused && e.Pause != NotPaused:
		e.Pause, e.PausedAt, e.FailingSince, e.UpdatedAt = NotPaused, time.Time{}, time.Time{}, now
	}
	return e
}

// Rotate gives the endpoint a new secret. The previous one signs as well for a day, so
// that the receiver can change over.
func (e WebhookEndpoint) Rotate(secret string, now time.Time) WebhookEndpoint {
	e.OldSecret, e.OldSecretUntil = e.Secret, now.Add(webhookSecretOverlap)
	e.Secret, e.UpdatedAt = secret, now
	return e
}
