package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/ports"
)

// testReplies: what an operation answered under a key is found by every repeat, until it is
// forgotten; nothing that was charged ever is.
func testReplies(t *testing.T, newStore Factory, o Options) {
	t.Run("EachOperationHasItsOwnKeys", func(t *testing.T) {
		t.Parallel()
		s := newStore(t)
		w := build(t, s, "acme")
		other := w.reply
		other.Operation, other.Fingerprint = "other", "another"
		commit(t, s, "acme", func(ctx context.Context, tx ports.Tx) error { return tx.Replies().Insert(ctx, other) })
		view(t, s, "acme", func(ctx context.Context, tx ports.Tx) error {
			same(t, w.reply)(tx.Replies().Get(ctx, w.reply.Operation, w.reply.Key))
			same(t, other)(tx.Replies().Get(ctx, other.Operation, other.Key))
			return nil
		})
	})

	t.Run("ASecondInsertWaitsForTheFirst", func(t *testing.T) {
		t.Parallel()
		for _, commits := range []bool{true, false} {
			s := newStore(t)
			w := build(t, s, "acme")
			reply := w.reply
			reply.Key = "contended"
			inserted := make(chan struct{})
			second := make(chan error, 1)
			go func() {
				<-inserted
				second <- s.InTx(bounded(t), "acme", func(tx ports.Tx) error { return tx.Replies().Insert(bounded(t), reply) })
			}()
			err := s.InTx(bounded(t), "acme", func(tx ports.Tx) error {
				if err := tx.Replies().Insert(bounded(t), reply); err != nil {
					return err
				}
				close(inserted)
				select {
				case err := <-second:
					return fmt.Errorf("the second did not wait, it answered %w", err)
				case <-time.After(grace):
				}
				if !commits {
					return errRollback
				}
				return nil
			})
			if commits {
				require.NoError(t, err)
				require.ErrorIs(t, <-second, ports.ErrExists)
				continue
			}
			require.ErrorIs(t, err, errRollback)
			require.NoError(t, <-second)
		}
	})

	t.Run("Forget", func(t *testing.T) { testForget(t, newStore) })

	// Servers get the same request under one key at once: one deed, one answer.
	t.Run("Once", func(t *testing.T) {
		t.Parallel()
		s := newService(t, newStore, "acme")
		create := func(i int, key core.Key, name string) (core.Template, bool, error) {
			again := false
			ctx := app.WithIdempotency(bounded(t), app.Idempotency{Key: key, Replayed: func() { again = true }})
			made, err := s.servers[i%len(s.servers)].CreateTemplate(ctx, core.System, core.Template{
				Tenant: "acme", Name: name, Instructions: awkward, CreditsPerRun: 3, Mode: core.ModeBatch,
			})
			return made, again, err
		}
		before := len(MustRead(t, s.store, "acme").Templates)
		made, again := make([]core.Template, o.Contenders), make([]bool, o.Contenders)
		for i, err := range together(t, o.Contenders, func(i int) (err error) {
			made[i], again[i], err = create(i, "key", "once")
			return err
		}) {
			require.NoError(t, err, "goroutine %d", i)
			equal(t, made[0], made[i])
		}
		first := 0
		for _, a := range again {
			if !a {
				first++
			}
		}
		require.Equal(t, 1, first, "all but one are told that they repeat")
		require.Len(t, MustRead(t, s.store, "acme").Templates, before+1)
		_, _, err := create(0, "key", "something else")
		require.ErrorIs(t, err, core.ErrIdempotencyKeyReused)
		_, _, err = create(0, "another", "once")
		require.NoError(t, err)
		require.Len(t, MustRead(t, s.store, "acme").Templates, before+2)

		// One name for two operations: they have nothing to do with each other.
		ctx := app.WithIdempotency(bounded(t), app.Idempotency{Key: "key"})
		published, err := s.servers[0].PublishTemplate(ctx, core.System, "acme", made[0].ID)
		require.NoError(t, err)
		require.Equal(t, core.TemplatePublished, published.Status)
		_, err = s.servers[0].DeleteTemplate(ctx, core.System, "acme", made[0].ID)
		require.NoError(t, err)
		same(t, published)(s.servers[1].PublishTemplate(ctx, core.System, "acme", made[0].ID))
		_, err = s.servers[1].PublishTemplate(app.WithIdempotency(ctx, app.Idempotency{Key: "later"}), core.System, "acme", made[0].ID)
		require.ErrorIs(t, err, core.ErrTemplateDeleted)
	})

	// What has a secret in its answer is done once too. A secret that is kept nowhere goes to
	// one of them, and the others are told what was made.
	t.Run("SecretsOnce", func(t *testing.T) {
		t.Parallel()
		s := newService(t, newStore, "acme")
		ctx := app.WithIdempotency(bounded(t), app.Idempotency{Key: "key"})
		server := func(i int) *app.Service { return s.servers[i%len(s.servers)] }
		var tokens atomic.Int32
		makeKey := func(i int) (core.APIKey, string, error) {
			return server(i).MakeAPIKey(ctx, core.System, core.APIKeyRequest{Tenant: "acme", Name: "ci", Role: core.RoleCustomerUser})
		}
		for i, err := range together(t, o.Contenders, func(i int) error {
			k, token, err := makeKey(i)
			if err != nil {
				return err
			}
			tokens.Add(1)
			actor, err := s.servers[0].AuthenticateAPIKey(bounded(t), token)
			if err == nil && actor != k.Actor() {
				err = fmt.Errorf("the token is that of %s", actor.Subject)
			}
			return err
		}) {
			if err != nil {
				require.ErrorIs(t, err, core.ErrSecretNotRepeated, "goroutine %d", i)
			}
		}
		require.EqualValues(t, 1, tokens.Load())
		keys := MustRead(t, s.store, "acme").APIKeys
		require.Len(t, keys, 1)
		_, _, err := makeKey(0)
		refusal, ok := errors.AsType[*core.Error](err)
		require.True(t, ok)
		require.Equal(t, string(keys[0].ID), refusal.Made)

		endpoints := make([]core.WebhookEndpoint, o.Contenders)
		for i, err := range together(t, o.Contenders, func(i int) (err error) {
			endpoints[i], err = server(i).CreateWebhookEndpoint(ctx, core.System, "acme", core.WebhookSpec{
				URL: "https://example.com", Types: []core.WebhookEventType{core.EventRunClosed},
			})
			return err
		}) {
			require.NoError(t, err, "goroutine %d", i)
			equal(t, endpoints[0], endpoints[i])
		}
		rotated := make([]core.WebhookEndpoint, o.Contenders)
		for i, err := range together(t, o.Contenders, func(i int) (err error) {
			rotated[i], err = server(i).RotateWebhookSecret(ctx, core.System, "acme", endpoints[0].ID)
			return err
		}) {
			require.NoError(t, err, "goroutine %d", i)
			equal(t, rotated[0], rotated[i])
		}
		require.Equal(t, endpoints[0].Secret, rotated[0].OldSecret, "it was rotated once")
		require.Len(t, MustRead(t, s.store, "acme").Endpoints, 1)

		// No secret is in what is remembered of them.
		view(t, s.store, "acme", func(ctx context.Context, tx ports.Tx) error {
			for _, op := range []core.Operation{core.OperationMakeAPIKey, core.OperationMakeWebhook, core.OperationRotateWebhook} {
				reply, err := tx.Replies().Get(ctx, op, "key")
				if err != nil {
					return err
				}
				for _, secret := range []string{keys[0].Hash, endpoints[0].Secret, rotated[0].Secret} {
					require.NotContains(t, string(reply.Result), secret)
				}
			}
			return nil
		})

		// After its time the key is as good as new.
		s.clock.Advance(25 * time.Hour)
		require.NoError(t, s.servers[0].ForgetKeys(bounded(t)))
		_, token, err := makeKey(0)
		require.NoError(t, err)
		require.NotEmpty(t, token)
	})

	t.Run("TenantOnce", func(t *testing.T) {
		t.Parallel()
		s := newService(t, newStore, "acme")
		create := func(i int, key core.Key, name string) (core.Tenant, error) {
			ctx := app.WithIdempotency(bounded(t), app.Idempotency{Key: key})
			return s.servers[i%len(s.servers)].CreateTenant(ctx, core.System, "fresh", name, 70)
		}
		made := make([]core.Tenant, o.Contenders)
		for _, err := range together(t, o.Contenders, func(i int) (err error) {
			made[i], err = create(i, "key", "Fresh")
			return err
		}) {
			require.NoError(t, err)
		}
		for _, tenant := range made {
			equal(t, made[0], tenant)
		}
		_, err := create(0, "key", "Another")
		require.ErrorIs(t, err, core.ErrIdempotencyKeyReused)
		for _, key := range []core.Key{"another", ""} {
			_, err = create(0, key, "Fresh")
			require.ErrorIs(t, err, core.ErrTenantExists)
		}
		require.Len(t, MustRead(t, s.store, "fresh").Entries, 2, "its months were granted once")
	})
}

// testForget: replies and refusals before a time go, in steps; what has a run stays.
func testForget(t *testing.T, newStore Factory) {
	t.Parallel()
	s := newStore(t)
	worlds := []*world{build(t, s, "acme"), build(t, s, "beta")}
	for _, w := range worlds {
		commit(t, s, w.tenant.ID, func(ctx context.Context, tx ports.Tx) error {
			for i := range 5 {
				reply, refused := w.reply, w.refusal
				reply.Key, reply.At = core.Key(fmt.Sprint("reply-", i)), at(100+i)
				refused.Key, refused.At, refused.Run = core.Key(fmt.Sprint("refused-", i)), at(100+i), core.Run{}
				require.NoError(t, tx.Replies().Insert(ctx, reply))
				require.NoError(t, tx.Answers().Insert(ctx, refused))
			}
			return nil
		})
	}
	left := func(id core.TenantID) (replies, refusals int) {
		view(t, s, id, func(ctx context.Context, tx ports.Tx) error {
			for i := range 5 {
				_, err := tx.Replies().Get(ctx, storetestOperation, core.Key(fmt.Sprint("reply-", i)))
				_, err2 := tx.Answers().Get(ctx, core.Key(fmt.Sprint("refused-", i)))
				for n, err := range map[*int]error{&replies: err, &refusals: err2} {
					if err == nil {
						*n++
					} else if !errors.Is(err, ports.ErrNotFound) {
						return err
					}
				}
			}
			return nil
		})
		return replies, refusals
	}
	// What a bulk continue was made under is never forgotten, and its refusal is.
	made := core.Reply{Tenant: "acme", Operation: core.OperationBulkContinue, Key: "made", Fingerprint: "print", Result: []byte(`{"Bulk":"b"}`), At: at(99)}
	refused := made
	refused.Key, refused.Result, refused.Refusal = "refused", nil, &core.Error{Code: core.CodePriceChanged}
	commit(t, s, "acme", func(ctx context.Context, tx ports.Tx) error {
		require.NoError(t, tx.Replies().Insert(ctx, made))
		return tx.Replies().Insert(ctx, refused)
	})
	defer view(t, s, "acme", func(ctx context.Context, tx ports.Tx) error {
		same(t, made)(tx.Replies().Get(ctx, made.Operation, made.Key))
		_, err := tx.Replies().Get(ctx, refused.Operation, refused.Key)
		require.ErrorIs(t, err, ports.ErrNotFound)
		return nil
	})
	same(t, 0)(s.Forget(bounded(t), at(0), 100))
	same(t, 0)(s.Forget(bounded(t), at(101), 0))
	same(t, 1+2+2*2)(s.Forget(bounded(t), at(101), 100)) // that refusal, the worlds' own, and the first of each; not at that very moment
	for _, w := range worlds {
		replies, refusals := left(w.tenant.ID)
		require.Equal(t, []int{4, 4}, []int{replies, refusals})
		c := MustRead(t, s, w.tenant.ID, w.keys()...)
		require.Empty(t, c.Replies)
		equal(t, w.contents().Answers, c.Answers, "these have a run: they are never forgotten")
		equal(t, w.contents().Entries, c.Entries)
	}
	// Servers do so at once, each a few at a time; each row is counted once.
	removed := make([]int, 4)
	for _, err := range together(t, len(removed), func(i int) error {
		for range 6 {
			n, err := s.Forget(bounded(t), at(104), 1)
			removed[i] += n
			if err != nil {
				return err
			}
		}
		return nil
	}) {
		require.NoError(t, err)
	}
	n, err := s.Forget(bounded(t), at(104), 100)
	require.NoError(t, err)
	for _, r := range removed {
		n += r
	}
	require.Equal(t, 2*2*3, n)
	for _, w := range worlds {
		replies, refusals := left(w.tenant.ID)
		require.Equal(t, []int{1, 1}, []int{replies, refusals})
	}
}
