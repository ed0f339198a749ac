package app

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// MakeAPIKey makes a key and gives its token, which is not kept and can never be read
// again. It also removes the tenant's keys that ended long ago. Under an idempotency key
// (WithIdempotency) a repeat by the same actor makes no other key, and since it cannot be
// answered with the token it is refused as CodeSecretNotRepeated, which names the key: one
// whose token was lost with an answer is to be revoked.
// Refusals: CodeWrongTenant, CodeRoleNotAllowed, CodeInvalidRequest, CodeTenantNotFound,
// CodeTooManyAPIKeys.
func (s *Service) MakeAPIKey(ctx context.Context, actor core.Actor, q core.APIKeyRequest) (key core.APIKey, token string, err error) {
	q.By = actor
	now := s.clock.Now()
	q.ExpiresAt = q.ExpiresAt.UTC().Truncate(time.Microsecond) // as stores keep it
	if err := q.Check(now); err != nil {
		return core.APIKey{}, "", err
	}
	if _, err := s.store.SweepAPIKeys(ctx, q.Tenant, now.Add(-core.KeepAPIKeys)); err != nil {
		return core.APIKey{}, "", err
	}
	id := core.APIKeyID(randomBase62(core.APIKeyIDLength))
	d := deed{tenant: q.Tenant, op: core.OperationMakeAPIKey, request: q}
	made, err := once(ctx, s, d, func(tx ports.Tx) (core.APIKeyID, error) {
		_, now, err := s.lockBalance(ctx, tx, q.Tenant)
		if err != nil {
			return "", err
		}
		have, err := tx.APIKeys().List(ctx)
		if err != nil {
			return "", err
		}
		if key, err = core.NewAPIKey(q, have, now); err != nil {
			return "", err
		}
		key.ID = id
		token = core.APIKeyToken(key.Tenant, id, randomBase62(core.APIKeySecretLength))
		key.Hash = core.APIKeyHash(token)
		if err := tx.APIKeys().Insert(ctx, key); err != nil {
			return "", err
		}
		facts := core.AuditFacts{"name": key.Name, "role": string(key.Role)}
		if !key.ExpiresAt.IsZero() {
			facts["expiresAt"] = key.ExpiresAt.Format(time.RFC3339)
		}
		return id, s.audit(ctx, tx, key.Tenant, actor, now, core.AuditAPIKeyCreated, string(id), facts)
	})
	if err == nil && made != id { // the first request made it; id was of a try that was rolled back, or did not happen
		kept(ctx)
		err = core.SecretNotRepeated(string(made), fmt.Sprintf("the first request under this key made the API key %s, whose token was in its answer alone and is kept nowhere; "+
			"if that answer was lost, revoke the API key and make another", made))
	}
	if err != nil {
		return core.APIKey{}, "", err
	}
	return key, token, nil
}

// changeAPIKeys runs a transaction under the lock of the tenant's credits, which its keys
// are changed under.
func (s *Service) changeAPIKeys(ctx context.Context, tenant core.TenantID, change func(tx ports.Tx, now time.Time) error) error {
	return s.store.InTx(ctx, tenant, func(tx ports.Tx) error {
		_, now, err := s.lockBalance(ctx, tx, tenant)
		if err != nil {
			return err
		}
		return change(tx, now)
	})
}

// randomBase62 gives n random letters, each alike. It panics if the machine has no
// randomness, as crypto/rand does.
func randomBase62(n int) string {
	text := make([]byte, 0, n)
	var random [64]byte
	for {
		_, _ = rand.Read(random[:]) // it gives no error
		for _, b := range random {
			if b &= 63; int(b) < len(core.Base62) {
				if text = append(text, core.Base62[b]); len(text) == n {
					return string(text)
				}
			}
		}
	}
}

// APIKeys lists a tenant's keys, the newest first, for ninety days also those that were
// revoked or have expired: at most core.MaxKeptAPIKeys.
func (s *Service) APIKeys(ctx context.Context, actor core.Actor, tenant core.TenantID) ([]core.APIKey, error) {
	if err := core.Authorize(actor, core.ActionManageAPIKeys, tenant); err != nil {
		return nil, err
	}
	var keys []core.APIKey
	err := s.store.View(ctx, tenant, func(tx ports.Tx) (err error) {
		if _, err := tx.Tenants().Get(ctx); err != nil {
			return notFound(err, tenantNotFound(tenant))
		}
		keys, err = tx.APIKeys().List(ctx)
		return err
	})
	core.SortAPIKeys(keys)
	return keys, err
}

// RenameAPIKey gives a key another name. Refusals: those of MakeAPIKey, and
// CodeAPIKeyNotFound.
func (s *Service) RenameAPIKey(ctx context.Context, actor core.Actor, tenant core.TenantID, id core.APIKeyID, name string) (core.APIKey, error) {
	return s.changeAPIKey(ctx, actor, tenant, id, core.AuditAPIKeyRenamed, func(k core.APIKey, _ time.Time) (core.APIKey, error) {
		return k.Rename(name)
	})
}

// RevokeAPIKey ends a key for good: the next request with it is refused, on every server.
// A repeat gives the key as it is. Refusals: those of RenameAPIKey.
func (s *Service) RevokeAPIKey(ctx context.Context, actor core.Actor, tenant core.TenantID, id core.APIKeyID) (core.APIKey, error) {
	return s.changeAPIKey(ctx, actor, tenant, id, core.AuditAPIKeyRevoked, func(k core.APIKey, now time.Time) (core.APIKey, error) {
		return k.Revoke(now), nil
	})
}

func (s *Service) changeAPIKey(ctx context.Context, actor core.Actor, tenant core.TenantID, id core.APIKeyID, deed core.AuditAction, change func(core.APIKey, time.Time) (core.APIKey, error)) (core.APIKey, error) {
	// Before anything is locked or read; the role of the key is not known yet.
	if err := core.AuthorizeAPIKey(actor, tenant, core.RoleCustomerUser); err != nil {
		return core.APIKey{}, err
	}
	var changed core.APIKey
	err := s.changeAPIKeys(ctx, tenant, func(tx ports.Tx, now time.Time) error {
		k, err := tx.APIKeys().Get(ctx, id)
		if err != nil {
			return notFound(err, &core.Error{Code: core.CodeAPIKeyNotFound, Message: fmt.Sprintf("the tenant has no API key %q", id)})
		}
		if err := core.AuthorizeAPIKey(actor, tenant, k.Role); err != nil {
			return err
		}
		if changed, err = change(k, now); err != nil {
			return err
		}
		if changed == k { // a repeat is no deed
			return nil
		}
		if err := tx.APIKeys().Save(ctx, changed); err != nil {
			return err
		}
		facts := core.AuditFacts{"name": changed.Name, "role": string(k.Role)}
		if changed.Name != k.Name {
			facts["nameBefore"] = k.Name
		}
		return s.audit(ctx, tx, tenant, actor, now, deed, string(id), facts)
	})
	if err != nil {
		return core.APIKey{}, err
	}
	return changed, nil
}

// Why a token of the form of an API key is not let in. That a key was revoked or has
// expired is said only to who has its whole token.
var (
	ErrAPIKeyUnknown = errors.New("there is no such API key")
	ErrAPIKeyRevoked = errors.New("the API key was revoked")
	ErrAPIKeyExpired = errors.New("the API key has expired")
)

// AuthenticateAPIKey gives the actor of a token, with one read by primary key, and none for
// what cannot be a token. About once a minute it notes the use, which nobody waits for who
// cannot write: a fault of that is logged. ErrAPIKeyUnknown, ErrAPIKeyRevoked and
// ErrAPIKeyExpired refuse; any other error is a fault.
func (s *Service) AuthenticateAPIKey(ctx context.Context, token string) (core.Actor, error) {
	tenant, id, ok := core.ParseAPIKey(token)
	if !ok {
		return core.Actor{}, ErrAPIKeyUnknown
	}
	k, err := s.store.APIKey(ctx, tenant, id)
	if errors.Is(err, ports.ErrNotFound) || err == nil && !k.Owns(token) {
		return core.Actor{}, ErrAPIKeyUnknown
	}
	if err != nil {
		return core.Actor{}, err
	}
	now := s.clock.Now()
	if err := whyEnded(k, now); err != nil {
		return core.Actor{}, err
	}
	if k.UseDue(now) {
		err := s.store.TouchAPIKey(ctx, tenant, id, now)
		if err != nil && ctx.Err() == nil && !errors.Is(err, ports.ErrMoved) && !errors.Is(err, ports.ErrNotFound) {
			s.log.Warn("the use of an API key could not be noted", "tenant", tenant, "key", id, "error", err)
		}
	}
	return k.Actor(), nil
}

// APIKeyStillGood checks, for what was begun with an API key and goes on, that the key has
// not ended since; for other actors it does nothing. Its errors are those of
// AuthenticateAPIKey.
func (s *Service) APIKeyStillGood(ctx context.Context, actor core.Actor) error {
	if !actor.IsAPIKey() {
		return nil
	}
	k, err := s.store.APIKey(ctx, actor.Tenant, actor.APIKeyID())
	if errors.Is(err, ports.ErrNotFound) {
		return ErrAPIKeyUnknown
	}
	if err != nil {
		return err
	}
	return whyEnded(k, s.clock.Now())
}

// whyEnded says why a key cannot be used any more.
func whyEnded(k core.APIKey, now time.Time) error {
	switch {
	case !k.RevokedAt.IsZero():
		return ErrAPIKeyRevoked
	case !k.Live(now):
		return ErrAPIKeyExpired
	}
	return nil
}
