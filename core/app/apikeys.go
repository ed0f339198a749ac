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
// again. It also removes the tenant's keys that ended long ago. A repeat makes another key:
// one whose token was lost with an answer is listed as never used, and can be revoked.
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
	err = s.changeAPIKeys(ctx, q.Tenant, func(tx ports.Tx, now time.Time) error {
		have, err := tx.APIKeys().List(ctx)
		if err != nil {
			return err
		}
		if key, err = core.NewAPIKey(q, have, now); err != nil {
			return err
		}
		key.ID = core.APIKeyID(randomBase62(core.APIKeyIDLength))
		token = core.APIKeyToken(key.Tenant, key.ID, randomBase62(core.APIKeySecretLength))
		key.Hash = core.APIKeyHash(token)
		return tx.APIKeys().Insert(ctx, key)
	})
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
	return s.changeAPIKey(ctx, actor, tenant, id, func(k core.APIKey, _ time.Time) (core.APIKey, error) { return k.Rename(name) })
}

// RevokeAPIKey ends a key for good: the next request with it is refused, on every server.
// A repeat gives the key as it is. Refusals: those of RenameAPIKey.
func (s *Service) RevokeAPIKey(ctx context.Context, actor core.Actor, tenant core.TenantID, id core.APIKeyID) (core.APIKey, error) {
	return s.changeAPIKey(ctx, actor, tenant, id, func(k core.APIKey, now time.Time) (core.APIKey, error) { return k.Revoke(now), nil })
}

func (s *Service) changeAPIKey(ctx context.Context, actor core.Actor, tenant core.TenantID, id core.APIKeyID, change func(core.APIKey, time.Time) (core.APIKey, error)) (core.APIKey, error) {
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
		return tx.APIKeys().Save(ctx, changed)
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
	switch {
	case !k.RevokedAt.IsZero():
		return core.Actor{}, ErrAPIKeyRevoked
	case !k.Live(now):
		return core.Actor{}, ErrAPIKeyExpired
	case k.UseDue(now):
		err := s.store.TouchAPIKey(ctx, tenant, id, now)
		if err != nil && ctx.Err() == nil && !errors.Is(err, ports.ErrMoved) && !errors.Is(err, ports.ErrNotFound) {
			s.log.Warn("the use of an API key could not be noted", "tenant", tenant, "key", id, "error", err)
		}
	}
	return k.Actor(), nil
}
