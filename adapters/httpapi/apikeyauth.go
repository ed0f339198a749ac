package httpapi

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
)

// WithAPIKeys lets in who comes with an API key, Authorization: Bearer rdk_…, and asks next
// about everybody else. Each request with a key reads it from the store, so that a key that
// was revoked is refused by every server from then on. It is safe for use by many
// goroutines if next is.
func WithAPIKeys(svc *app.Service, next Authenticator) Authenticator {
	return &keysAnd{svc: svc, next: next}
}

type keysAnd struct {
	svc  *app.Service
	next Authenticator
}

// Authenticate implements Authenticator.
func (k *keysAnd) Authenticate(r *http.Request) (core.Actor, error) {
	token, isKey := bearerKey(r.Header)
	if !isKey {
		actor, err := k.next.Authenticate(r)
		if err == nil && actor.IsAPIKey() {
			// What a key did is told from what others did by its subject.
			return core.Actor{}, &Unauthenticated{realm + `, error="invalid_token"`, `a subject may not begin with "key:", as those of API keys do`}
		}
		if err == nil && actor == core.System {
			return core.Actor{}, &Unauthenticated{realm + `, error="invalid_token"`, `a platform admin's subject may not be "system", as that of what Redrive does by itself`}
		}
		return actor, err
	}
	actor, err := k.svc.AuthenticateAPIKey(r.Context(), token)
	why := ""
	switch {
	case err == nil:
		return actor, nil
	case errors.Is(err, app.ErrAPIKeyRevoked):
		why = "revoked"
	case errors.Is(err, app.ErrAPIKeyExpired):
		why = "expired"
	case errors.Is(err, app.ErrAPIKeyUnknown):
		return core.Actor{}, &Unauthenticated{realm + `, error="invalid_token"`, "the API key is not valid; look whether it was copied whole"}
	default:
		return core.Actor{}, fmt.Errorf("API key: %w", err)
	}
	return core.Actor{}, &Unauthenticated{
		fmt.Sprintf(`%s, error="invalid_token", error_description="%s"`, realm, why),
		fmt.Sprintf("the API key is %s; ask an admin of the tenant for another", why),
	}
}

// realm begins each challenge.
const realm = `Bearer realm="redrive"`

// bearerKey gives the token of a request that has one alone, if it has the form of an API
// key's.
func bearerKey(h http.Header) (token string, isKey bool) {
	values := h.Values("Authorization")
	if len(values) != 1 {
		return "", false
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	token = strings.TrimSpace(token)
	return token, strings.EqualFold(scheme, "Bearer") && strings.HasPrefix(token, core.APIKeyPrefix)
}
