package httpapi

import (
	"net/http"
	"time"

	"github.com/redrive/redrive/core"
)

func (a *api) apiKeyRoutes() []route {
	return []route{
		get("/api-keys", onQuery(core.ActionManageAPIKeys), a.listAPIKeys),
		post("/api-keys", onQuery(core.ActionManageAPIKeys), a.makeAPIKey),
		patch("/api-keys/:id", onQuery(core.ActionManageAPIKeys), a.renameAPIKey),
		remove("/api-keys/:id", onQuery(core.ActionManageAPIKeys), a.revokeAPIKey),
	}
}

// apiKeyJSON is a key without its token.
type apiKeyJSON struct {
	ID         string    `json:"id"`
	Tenant     string    `json:"tenant"`
	Name       string    `json:"name"`
	Role       string    `json:"role"`
	Prefix     string    `json:"prefix"` // the token begins with it
	Status     string    `json:"status"` // active, expired or revoked
	CreatedBy  actorJSON `json:"createdBy"`
	CreatedAt  time.Time `json:"createdAt"`
	ExpiresAt  time.Time `json:"expiresAt,omitzero"`
	RevokedAt  time.Time `json:"revokedAt,omitzero"`
	LastUsedAt time.Time `json:"lastUsedAt,omitzero"`
}

// newAPIKeyJSON is the only answer that has the token.
type newAPIKeyJSON struct {
	apiKeyJSON
	Token string `json:"token"`
}

type apiKeysJSON struct {
	APIKeys []apiKeyJSON `json:"apiKeys"`
}

func (a *api) toAPIKey(k core.APIKey) apiKeyJSON {
	return apiKeyJSON{
		ID: string(k.ID), Tenant: string(k.Tenant), Name: k.Name, Role: string(k.Role), Prefix: k.Visible(), Status: string(k.Status(a.svc.Clock().Now())),
		CreatedBy: actorJSON{Subject: k.CreatedBy.Subject, Role: string(k.CreatedBy.Role)}, CreatedAt: k.CreatedAt,
		ExpiresAt: k.ExpiresAt, RevokedAt: k.RevokedAt, LastUsedAt: k.LastUsedAt,
	}
}

// listAPIKeys is GET /api-keys: all of them, since their number is bounded.
func (a *api) listAPIKeys(w http.ResponseWriter, r *request) error {
	keys, err := a.svc.APIKeys(r.Context(), r.actor, r.owner)
	if err != nil {
		return err
	}
	list := apiKeysJSON{APIKeys: make([]apiKeyJSON, 0, len(keys))}
	for _, k := range keys {
		list.APIKeys = append(list.APIKeys, a.toAPIKey(k))
	}
	return writeJSON(w, http.StatusOK, list)
}

// makeAPIKey is POST /api-keys {name, role, expiresAt}.
func (a *api) makeAPIKey(w http.ResponseWriter, r *request) error {
	body, err := a.readObject(w, r, maxJSONBytes)
	if err != nil {
		return err
	}
	q := core.APIKeyRequest{Tenant: r.owner, Name: body.string("name"), Role: core.Role(body.string("role"))}
	if text := body.optionalString("expiresAt"); text != nil {
		if q.ExpiresAt, err = time.Parse(time.RFC3339, *text); err != nil || q.ExpiresAt.IsZero() {
			body.refuse("expiresAt", "must be a time such as 2027-01-31T00:00:00Z")
		}
	}
	if err := body.done(); err != nil {
		return err
	}
	k, token, err := a.svc.MakeAPIKey(r.Context(), r.actor, q)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusCreated, newAPIKeyJSON{apiKeyJSON: a.toAPIKey(k), Token: token})
}

// apiKeyID is the key that the path names.
func (r *request) apiKeyID() (core.APIKeyID, error) {
	if !core.ValidID(r.id) {
		return "", refused(core.CodeAPIKeyNotFound, "there is no such API key")
	}
	return core.APIKeyID(r.id), nil
}

// renameAPIKey is PATCH /api-keys/{id} {name}.
func (a *api) renameAPIKey(w http.ResponseWriter, r *request) error {
	id, err := r.apiKeyID()
	if err != nil {
		return err
	}
	body, err := a.readObject(w, r, maxJSONBytes)
	if err != nil {
		return err
	}
	name := body.string("name")
	if err := body.done(); err != nil {
		return err
	}
	k, err := a.svc.RenameAPIKey(r.Context(), r.actor, r.owner, id, name)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, a.toAPIKey(k))
}

// revokeAPIKey is DELETE /api-keys/{id}: it is still listed for a time, so it answers with
// the revoked key.
func (a *api) revokeAPIKey(w http.ResponseWriter, r *request) error {
	id, err := r.apiKeyID()
	if err != nil {
		return err
	}
	if err := noBody(w, r); err != nil {
		return err
	}
	k, err := a.svc.RevokeAPIKey(r.Context(), r.actor, r.owner, id)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, a.toAPIKey(k))
}
