package storetest

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

func session(token string, actor core.Actor) ports.Session {
	return ports.Session{
		ID: ports.SessionID(token), Actor: actor, Via: "token", CreatedAt: at(1), SeenAt: at(2), ExpiresAt: at(60),
	}
}

func testSessions(t *testing.T, newStore Factory, o Options) {
	if o.NoSessions {
		require.NotImplements(t, (*ports.SessionStore)(nil), newStore(t), "it keeps sessions: leave NoSessions out")
		return
	}
	ada := core.Actor{Subject: "ada " + awkward, Tenant: "acme", Role: core.RoleCustomerAdmin}
	open := func(t *testing.T) (ports.SessionStore, ports.Sessions) {
		t.Helper()
		s, ok := newStore(t).(ports.SessionStore)
		require.True(t, ok, "the store is no ports.SessionStore, or its wrapper hides that it is one; Options.NoSessions if that is meant")
		return s, s.Sessions()
	}

	t.Run("RoundTrip", func(t *testing.T) {
		t.Parallel()
		_, s := open(t)
		ctx := bounded(t)
		for i, actor := range []core.Actor{
			ada,
			{Subject: "u", Tenant: "no such tenant is needed", Role: core.RoleCustomerUser},
			{Subject: "root", Role: core.RolePlatformAdmin},
			{Subject: strings.Repeat("ü", 127), Tenant: core.TenantID(strings.Repeat("x", 64)), Role: core.RolePlatformAdmin},
		} {
			x := session(fmt.Sprint("token", i), actor)
			require.NoError(t, s.Insert(ctx, x))
			same(t, x)(s.Get(ctx, x.ID))
			require.ErrorIs(t, s.Insert(ctx, x), ports.ErrExists)
			other := x
			other.Actor = core.Actor{Subject: "thief", Role: core.RolePlatformAdmin}
			require.ErrorIs(t, s.Insert(ctx, other), ports.ErrExists)
			same(t, x)(s.Get(ctx, x.ID))
		}
		for _, id := range []string{"", ports.SessionID("unknown"), strings.ToUpper(ports.SessionID("token0")), "\x00", "\xff"} {
			_, err := s.Get(ctx, id)
			require.ErrorIs(t, err, ports.ErrNotFound)
			require.ErrorIs(t, s.Touch(ctx, id, at(3), at(70)), ports.ErrNotFound)
			require.NoError(t, s.Delete(ctx, id))
		}
	})

	t.Run("RefusesWhatIsNoSession", func(t *testing.T) {
		t.Parallel()
		_, s := open(t)
		ctx := bounded(t)
		for name, change := range map[string]func(*ports.Session){
			"an ID that is no hash":   func(x *ports.Session) { x.ID = "token" },
			"a long ID":               func(x *ports.Session) { x.ID = strings.Repeat("x", 129) },
			"no role":                 func(x *ports.Session) { x.Actor.Role = "" },
			"another role":            func(x *ports.Session) { x.Actor.Role = "root" },
			"no subject":              func(x *ports.Session) { x.Actor.Subject = "" },
			"a long subject":          func(x *ports.Session) { x.Actor.Subject = strings.Repeat("ü", 128) },
			"NUL":                     func(x *ports.Session) { x.Actor.Subject = "a\x00b" },
			"broken text":             func(x *ports.Session) { x.Via = "\xff" },
			"a customer of no tenant": func(x *ports.Session) { x.Actor.Tenant = "" },
			"a long tenant":           func(x *ports.Session) { x.Actor.Tenant = core.TenantID(strings.Repeat("x", 65)) },
			"no way":                  func(x *ports.Session) { x.Via = "" },
			"a long way":              func(x *ports.Session) { x.Via = strings.Repeat("x", 33) },
			"never made":              func(x *ports.Session) { x.CreatedAt = time.Time{} },
			"seen before":             func(x *ports.Session) { x.SeenAt = at(0) },
			"ended before":            func(x *ports.Session) { x.ExpiresAt = x.CreatedAt },
		} {
			x := session("token", ada)
			change(&x)
			require.Error(t, s.Insert(ctx, x), name)
			require.Error(t, x.Validate(), name)
			_, err := s.Get(ctx, x.ID)
			require.ErrorIs(t, err, ports.ErrNotFound, name)
		}
	})

	t.Run("TouchNeverGoesBack", func(t *testing.T) {
		t.Parallel()
		_, s := open(t)
		ctx := bounded(t)
		x := session("token", ada)
		require.NoError(t, s.Insert(ctx, x))
		for _, c := range []struct{ seen, expires, wantSeen, wantExpires int }{
			{10, 80, 10, 80}, {9, 79, 10, 80}, {11, 70, 11, 80}, {5, 90, 11, 90},
		} {
			require.NoError(t, s.Touch(ctx, x.ID, at(c.seen), at(c.expires)))
			x.SeenAt, x.ExpiresAt = at(c.wantSeen), at(c.wantExpires)
			same(t, x)(s.Get(ctx, x.ID))
		}
		// Many tabs at once: the latest of each time stays.
		for _, err := range together(t, 20, func(i int) error { return s.Touch(ctx, x.ID, at(20+i), at(119-i)) }) {
			require.NoError(t, err)
		}
		x.SeenAt, x.ExpiresAt = at(39), at(119)
		same(t, x)(s.Get(ctx, x.ID))
	})

	t.Run("DeletedStaysDeleted", func(t *testing.T) {
		t.Parallel()
		_, s := open(t)
		ctx := bounded(t)
		x := session("token", ada)
		require.NoError(t, s.Insert(ctx, x))
		errs := together(t, 8, func(i int) error {
			if i == 0 {
				return s.Delete(ctx, x.ID)
			}
			return s.Touch(ctx, x.ID, at(20+i), at(200))
		})
		require.NoError(t, errs[0])
		for _, err := range errs[1:] {
			if err != nil {
				require.ErrorIs(t, err, ports.ErrNotFound)
			}
		}
		_, err := s.Get(ctx, x.ID)
		require.ErrorIs(t, err, ports.ErrNotFound)
		require.ErrorIs(t, s.Touch(ctx, x.ID, at(20), at(200)), ports.ErrNotFound)
	})

	t.Run("InsertedOnce", func(t *testing.T) {
		t.Parallel()
		_, s := open(t)
		ctx := bounded(t)
		won := 0
		for _, err := range together(t, 10, func(int) error { return s.Insert(ctx, session("token", ada)) }) {
			if err == nil {
				won++
				continue
			}
			require.ErrorIs(t, err, ports.ErrExists)
		}
		require.Equal(t, 1, won)
	})

	t.Run("SweepsWhatHasExpired", func(t *testing.T) {
		t.Parallel()
		_, s := open(t)
		ctx := bounded(t)
		for i := range 10 {
			x := session(fmt.Sprint(i), ada)
			x.ExpiresAt = at(60 + i)
			require.NoError(t, s.Insert(ctx, x))
		}
		same(t, 0)(s.DeleteExpired(ctx, at(60), 100)) // not at that very moment
		same(t, 0)(s.DeleteExpired(ctx, at(66), 0))
		same(t, 4)(s.DeleteExpired(ctx, at(66), 4))
		same(t, 2)(s.DeleteExpired(ctx, at(66), 4))
		same(t, 0)(s.DeleteExpired(ctx, at(66), 4))
		for i := range 10 {
			_, err := s.Get(ctx, ports.SessionID(fmt.Sprint(i)))
			require.Equal(t, i >= 6, err == nil)
		}
		// Several servers sweep at once; each session is counted once.
		total := make([]int, 4)
		for i, err := range together(t, len(total), func(i int) (err error) {
			total[i], err = s.DeleteExpired(ctx, at(1000), 100)
			return err
		}) {
			require.NoError(t, err, i)
		}
		require.Equal(t, 4, total[0]+total[1]+total[2]+total[3])
	})

	t.Run("EndsThoseOfOnePerson", func(t *testing.T) {
		t.Parallel()
		store, s := open(t)
		ctx := bounded(t)
		actors := []core.Actor{
			ada, ada,
			{Subject: ada.Subject, Tenant: "beta", Role: core.RoleCustomerAdmin},
			{Subject: "bob", Tenant: "acme", Role: core.RoleCustomerAdmin},
			{Subject: ada.Subject, Role: core.RolePlatformAdmin},
		}
		for i, actor := range actors {
			require.NoError(t, s.Insert(ctx, session(fmt.Sprint(i), actor)))
		}
		for _, tenant := range []core.TenantID{"ghost", "\x00", "\xff"} {
			same(t, 0)(store.EndSessions(ctx, tenant, ada.Subject))
		}
		same(t, 0)(store.EndSessions(ctx, "acme", "\x00"))
		same(t, 2)(store.EndSessions(ctx, "acme", ada.Subject))
		for i := range actors {
			_, err := s.Get(ctx, ports.SessionID(fmt.Sprint(i)))
			require.Equal(t, i >= 2, err == nil)
		}
		same(t, 1)(store.EndSessions(ctx, "", ada.Subject))
	})

	t.Run("EndedContext", func(t *testing.T) {
		t.Parallel()
		store, s := open(t)
		x := session("token", ada)
		require.NoError(t, s.Insert(bounded(t), x))
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		require.Error(t, s.Insert(ctx, session("other", ada)))
		_, err := s.Get(ctx, x.ID)
		require.Error(t, err)
		require.Error(t, s.Touch(ctx, x.ID, at(20), at(200)))
		require.Error(t, s.Delete(ctx, x.ID))
		_, err = s.DeleteExpired(ctx, at(1000), 100)
		require.Error(t, err)
		_, err = store.EndSessions(ctx, "acme", ada.Subject)
		require.Error(t, err)
		same(t, x)(s.Get(bounded(t), x.ID))
	})
}
