package app

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// Idempotency is what a caller says of repeats, in the context of a use case
// (WithIdempotency), and what it wants to be told. The functions may be nil; they are called
// by the use case, before it returns.
type Idempotency struct {
	// Key makes a repeat of one operation of one tenant return the first result; empty:
	// every call counts. Use cases that take a key as an argument go by that one, and
	// those that only read, by none.
	Key core.Key
	// Replayed says that what is returned is the first answer, not a new one.
	Replayed func()
	// Kept says that the refusal which is returned stays the answer under this key.
	Kept func()
}

type idempotencyKey struct{}

// WithIdempotency gives the context for a use case that may be a repeat.
func WithIdempotency(ctx context.Context, i Idempotency) context.Context {
	return context.WithValue(ctx, idempotencyKey{}, i)
}

func idempotencyOf(ctx context.Context) Idempotency {
	i, _ := ctx.Value(idempotencyKey{}).(Idempotency)
	return i
}

func replayed(ctx context.Context) {
	if tell := idempotencyOf(ctx).Replayed; tell != nil {
		tell()
	}
}

func kept(ctx context.Context) {
	if tell := idempotencyOf(ctx).Kept; tell != nil {
		tell()
	}
}

// deed is an operation that has an effect once per idempotency key.
type deed struct {
	tenant core.TenantID
	op     core.Operation // empty: what may be repeated anyhow, such as a change of a name
	// request is what was asked for, as a value that JSON can hold, with everything that
	// tells it from another request and nothing that a repeat makes anew (IDs, times).
	request any
	// creates says that it makes the tenant, so that there is none before whose key could be
	// claimed; the tenant's own row keeps repeats from having an effect.
	creates bool
	// spends keeps refusals as well: a late repeat of a refused request, which the caller
	// has given up, must not be accepted and charged.
	spends bool
}

// once runs fn in a transaction of the tenant. If the context has an idempotency key
// (WithIdempotency), the result is remembered in the same transaction, as JSON, and a repeat
// returns it without running fn: so nothing secret may be in T. A repeat waits for the first
// request, up to the store's timeout of locks, then it is core.CodeIdempotencyInProgress. The
// same key of the same operation for another request is core.CodeIdempotencyKeyReused.
//
// Whoever calls it has authorized the actor. The key is locked first, before any row. fn may
// be run again, as in ports.Store.InTx.
func once[T any](ctx context.Context, s *Service, d deed, fn func(ports.Tx) (T, error)) (T, error) {
	var result T
	key := idempotencyOf(ctx).Key
	if key == "" || d.op == "" {
		err := s.store.InTx(ctx, d.tenant, func(tx ports.Tx) (err error) {
			result, err = fn(tx)
			return err
		})
		return orNone(result, err)
	}
	if err := core.CheckKey("Idempotency-Key", key); err != nil {
		return orNone(result, err)
	}
	reply, err := d.reply(s, key)
	if err != nil {
		return orNone(result, err)
	}
	var first *core.Reply
	err = s.store.InTx(ctx, d.tenant, func(tx ports.Tx) (err error) {
		if !d.creates {
			if first, err = claim(ctx, tx, reply); err != nil || first != nil {
				return err
			}
		}
		if result, err = fn(tx); err != nil {
			return err // with the key, which is free again
		}
		done := reply
		if done.Result, err = json.Marshal(result); err != nil {
			return fmt.Errorf("app: the result of %s is not kept: %w", d.op, err)
		}
		if d.creates {
			return tx.Replies().Insert(ctx, done)
		}
		return tx.Replies().Save(ctx, done)
	})
	if errors.Is(err, core.ErrTenantExists) && d.creates {
		if first, err = s.firstReply(ctx, reply, err); err != nil {
			return orNone(result, err)
		}
	}
	if refusal, ok := asRefusal(err); ok && d.spends && remembered(refusal.Code) {
		first, err = s.keepRefusal(ctx, reply, refusal)
		if err == nil && first == nil {
			kept(ctx)
			return orNone(result, error(refusal))
		}
	}
	if err != nil || first == nil {
		return orNone(result, err)
	}
	return replay[T](ctx, *first, reply)
}

// reply is what is remembered of a deed, without its outcome.
func (d deed) reply(s *Service, key core.Key) (core.Reply, error) {
	request, err := json.Marshal(d.request)
	if err != nil {
		return core.Reply{}, fmt.Errorf("app: the request of %s has no fingerprint: %w", d.op, err)
	}
	sum := sha256.Sum256(request)
	return core.Reply{Tenant: d.tenant, Operation: d.op, Key: key, Fingerprint: hex.EncodeToString(sum[:]), At: s.clock.Now()}, nil
}

// claim makes a key the transaction's own, or else gives the reply that there is under it.
func claim(ctx context.Context, tx ports.Tx, r core.Reply) (first *core.Reply, err error) {
	if _, err := tx.Tenants().Get(ctx); err != nil {
		return nil, notFound(err, tenantNotFound(r.Tenant))
	}
	err = tx.Replies().Insert(ctx, r)
	switch {
	case errors.Is(err, ports.ErrLockTimeout):
		return nil, core.InProgress()
	case !errors.Is(err, ports.ErrExists):
		return nil, err
	}
	found, err := tx.Replies().Get(ctx, r.Operation, r.Key)
	if errors.Is(err, ports.ErrNotFound) {
		return nil, core.InProgress() // it was forgotten a moment ago: the next repeat is the first
	}
	return &found, err
}

// firstReply gives the reply under a key, or else the error.
func (s *Service) firstReply(ctx context.Context, r core.Reply, otherwise error) (*core.Reply, error) {
	var first core.Reply
	err := s.store.View(ctx, r.Tenant, func(tx ports.Tx) (err error) {
		first, err = tx.Replies().Get(ctx, r.Operation, r.Key)
		return err
	})
	if errors.Is(err, ports.ErrNotFound) {
		err = otherwise
	}
	return &first, err
}

// keepRefusal remembers a refusal, in a transaction of its own: that of the deed is rolled
// back. It gives the first answer if another request under the key was faster.
func (s *Service) keepRefusal(ctx context.Context, r core.Reply, refusal *core.Error) (first *core.Reply, err error) {
	r.Refusal = refusal
	err = s.store.InTx(ctx, r.Tenant, func(tx ports.Tx) (err error) {
		first, err = claim(ctx, tx, r)
		return err
	})
	return first, err
}

// remembered reports whether a refusal is the answer to a request, and not one of a request
// that was never decided: of another key's, or of a tenant that is not there.
func remembered(code core.Code) bool {
	switch code {
	case core.CodeIdempotencyKeyReused, core.CodeIdempotencyInProgress, core.CodeTenantNotFound, core.CodeInvalidRequest:
		return false
	default:
		return true
	}
}

// replay gives the first answer to a repeat.
func replay[T any](ctx context.Context, first, asked core.Reply) (T, error) {
	var result T
	if first.Fingerprint != asked.Fingerprint {
		return result, core.KeyReused()
	}
	replayed(ctx)
	if first.Refusal != nil {
		kept(ctx)
		return result, first.Refusal
	}
	if err := json.Unmarshal(first.Result, &result); err != nil {
		return orNone(result, fmt.Errorf("app: the reply of %s under an idempotency key cannot be read: %w", first.Operation, err))
	}
	return result, nil
}

// orNone gives no result with an error.
func orNone[T any](result T, err error) (T, error) {
	if err != nil {
		var none T
		return none, err
	}
	return result, nil
}

// Bounds of one sweep of idempotency keys.
const (
	forgetAtOnce = 1000
	forgetRounds = 100
)

// ForgetKeys removes the replies, and the refusals of initiations and Continues, that are
// older than Options.IdempotencyTTL, in steps and up to a bound. Accepted initiations and
// Continues, and everything in the ledger, keep their keys for ever, so that the latest
// repeat is not charged. It may run on every server at once.
func (s *Service) ForgetKeys(ctx context.Context) error {
	before := s.clock.Now().Add(-s.opts.IdempotencyTTL)
	for range forgetRounds {
		n, err := s.store.Forget(ctx, before, forgetAtOnce)
		if unanswered(err) || err != nil && n < forgetAtOnce {
			return fmt.Errorf("forget idempotency keys: %w", err)
		}
		if n < forgetAtOnce {
			return nil
		}
	}
	return nil
}
