package app

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// webhookSecretBytes is how many random bytes a secret is made of.
const webhookSecretBytes = 32

// CreateWebhookEndpoint adds an endpoint, enabled and with a new secret. Under an idempotency
// key (WithIdempotency) a repeat by the same actor gets that endpoint as it is now, with its
// secret; CodeSecretNotRepeated, once it was removed or has another secret.
// Refusals: CodeWrongTenant, CodeRoleNotAllowed, CodeWebhooksDisabled, CodeInvalidRequest,
// CodeTenantNotFound, CodeTooManyWebhookEndpoints.
func (s *Service) CreateWebhookEndpoint(ctx context.Context, actor core.Actor, tenant core.TenantID, spec core.WebhookSpec) (core.WebhookEndpoint, error) {
	if err := core.Authorize(actor, core.ActionManageWebhooks, tenant); err != nil {
		return core.WebhookEndpoint{}, err
	}
	if s.sender == nil {
		return core.WebhookEndpoint{}, &core.Error{Code: core.CodeWebhooksDisabled, Message: "this server sends no webhooks; ask its operator"}
	}
	id, err := newID[core.WebhookEndpointID](s.ids)
	if err != nil {
		return core.WebhookEndpoint{}, err
	}
	secret, err := s.newWebhookSecret()
	if err != nil {
		return core.WebhookEndpoint{}, err
	}
	endpoint, err := core.NewWebhookEndpoint(id, tenant, spec, secret, actor, s.clock.Now())
	if err == nil {
		err = s.checkTarget(spec.URL)
	}
	if err != nil {
		return core.WebhookEndpoint{}, err
	}
	d := deed{tenant: tenant, op: core.OperationMakeWebhook, request: struct {
		By   core.Actor
		Spec core.WebhookSpec
	}{actor, core.WebhookSpec{URL: endpoint.URL, Description: endpoint.Description, Types: endpoint.Types}}}
	e, err := s.withSecret(ctx, d, endpoint, func(tx ports.Tx) (core.WebhookEndpoint, error) {
		// Under the tenant's lock, so that of two at once the second counts the first.
		if _, _, err := s.lockBalance(ctx, tx, tenant); err != nil {
			return endpoint, err
		}
		there, err := tx.WebhookEndpoints().List(ctx)
		if err != nil {
			return endpoint, err
		}
		if len(there) >= core.MaxWebhookEndpoints {
			return endpoint, &core.Error{
				Code:    core.CodeTooManyWebhookEndpoints,
				Message: fmt.Sprintf("a tenant has at most %d endpoints; remove one that is not needed", core.MaxWebhookEndpoints),
			}
		}
		if err := tx.WebhookEndpoints().Insert(ctx, endpoint); err != nil {
			return endpoint, err
		}
		return endpoint, s.audit(ctx, tx, tenant, actor, endpoint.CreatedAt, core.AuditWebhookCreated, string(id), endpointFacts(endpoint))
	})
	if err == nil && e.ID == id {
		s.log.Info("webhook endpoint made", "tenant", tenant, "endpoint", id, "by", actor.Subject)
	}
	return e, err
}

// RotateWebhookSecret gives an endpoint a new secret; the previous one signs beside it for
// 24 hours. Repeats under an idempotency key are those of CreateWebhookEndpoint.
func (s *Service) RotateWebhookSecret(ctx context.Context, actor core.Actor, tenant core.TenantID, id core.WebhookEndpointID) (core.WebhookEndpoint, error) {
	if err := core.Authorize(actor, core.ActionManageWebhooks, tenant); err != nil {
		return core.WebhookEndpoint{}, err
	}
	secret, err := s.newWebhookSecret()
	if err != nil {
		return core.WebhookEndpoint{}, err
	}
	d := deed{tenant: tenant, op: core.OperationRotateWebhook, request: struct {
		By       core.Actor
		Endpoint core.WebhookEndpointID
	}{actor, id}}
	return s.withSecret(ctx, d, core.WebhookEndpoint{Tenant: tenant, ID: id, Secret: secret}, func(tx ports.Tx) (core.WebhookEndpoint, error) {
		return s.saveEndpoint(ctx, tx, actor, tenant, id, core.AuditWebhookRotated, func(e core.WebhookEndpoint, now time.Time) (core.WebhookEndpoint, error) {
			return e.Rotate(secret, now), nil
		})
	})
}

func (s *Service) newWebhookSecret() (string, error) {
	random := make([]byte, webhookSecretBytes)
	if _, err := io.ReadFull(s.random, random); err != nil {
		return "", fmt.Errorf("random bytes for a webhook secret: %w", err)
	}
	return core.WebhookSecret(random)
}

// secretReply is what is remembered of an answer with a secret: which one it was. The secret
// itself is kept in the endpoint alone, for as long as it signs.
type secretReply struct {
	Endpoint core.WebhookEndpointID
	Secret   string // the hash of 256 random bits, so that nothing can be guessed from it
}

func secretReplyOf(e core.WebhookEndpoint) secretReply {
	sum := sha256.Sum256([]byte(e.Secret))
	return secretReply{Endpoint: e.ID, Secret: hex.EncodeToString(sum[:])}
}

// withSecret runs fn as once does, which writes an endpoint with a new secret, that of mine.
// The deed's request names the actor: another caller who knows the idempotency key may manage
// webhooks too, and still is not shown what was shown to one.
func (s *Service) withSecret(ctx context.Context, d deed, mine core.WebhookEndpoint, fn func(ports.Tx) (core.WebhookEndpoint, error)) (core.WebhookEndpoint, error) {
	var written core.WebhookEndpoint
	reply, err := once(ctx, s, d, func(tx ports.Tx) (_ secretReply, err error) {
		if written, err = fn(tx); err != nil {
			return secretReply{}, err
		}
		return secretReplyOf(written), nil
	})
	if err != nil {
		return core.WebhookEndpoint{}, err
	}
	if reply == secretReplyOf(mine) {
		return written, nil
	}
	var e core.WebhookEndpoint
	err = s.store.View(ctx, d.tenant, func(tx ports.Tx) (err error) {
		e, err = tx.WebhookEndpoints().Get(ctx, reply.Endpoint)
		return err
	})
	if err != nil && !errors.Is(err, ports.ErrNotFound) {
		return core.WebhookEndpoint{}, err
	}
	if err != nil || secretReplyOf(e) != reply {
		kept(ctx)
		return core.WebhookEndpoint{}, core.SecretNotRepeated(string(reply.Endpoint), fmt.Sprintf("the secret that the first request under this key gave the endpoint %s is not there any more: "+
			"the endpoint was removed, or given another secret since; rotate its secret, or make another endpoint", reply.Endpoint))
	}
	return e, nil
}
