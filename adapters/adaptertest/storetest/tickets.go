package storetest

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

func ticket(token string, actor core.Actor) ports.Ticket {
	return ports.Ticket{ID: ports.TicketID(token), Actor: actor, CreatedAt: at(1), ExpiresAt: at(60)}
}

func testTickets(t *testing.T, newStore Factory, o Options) {
	if o.NoTickets {
		require.NotImplements(t, (*ports.TicketStore)(nil), newStore(t), "it keeps tickets: leave NoTickets out")
		return
	}
	most := ports.TicketBounds{OfTenant: 1000, OfSubject: 1000}
	three, one := ports.TicketBounds{OfTenant: 3, OfSubject: 10}, ports.TicketBounds{OfTenant: 1, OfSubject: 10}
	ada := core.Actor{Subject: "ada " + awkward, Tenant: "acme", Role: core.RoleCustomerAdmin}
	open := func(t *testing.T) ports.Tickets {
		t.Helper()
		s, ok := newStore(t).(ports.TicketStore)
		require.True(t, ok, "the store is no ports.TicketStore, or its wrapper hides that it is one; Options.NoTickets if that is meant")
		return s.Tickets()
	}

	t.Run("GoodOnce", func(t *testing.T) {
		t.Parallel()
		s, ctx := open(t), bounded(t)
		for i, actor := range []core.Actor{
			ada,
			{Subject: "u", Tenant: "no such tenant is needed", Role: core.RoleCustomerUser},
			{Subject: "root", Role: core.RolePlatformAdmin},
			{Subject: strings.Repeat("ü", 127), Tenant: core.TenantID(strings.Repeat("x", 64)), Role: core.RolePlatformAdmin},
		} {
			x := ticket(fmt.Sprint("token", i), actor)
			require.NoError(t, s.Insert(ctx, x, most))
			other := x
			other.Actor = core.Actor{Subject: "thief", Role: core.RolePlatformAdmin}
			require.ErrorIs(t, s.Insert(ctx, other, most), ports.ErrExists)
			same(t, x)(s.Take(ctx, x.ID))
			_, err := s.Take(ctx, x.ID)
			require.ErrorIs(t, err, ports.ErrNotFound)
		}
		for _, id := range []string{"", ports.TicketID("unknown"), strings.ToUpper(ports.TicketID("token0")), "\x00", "\xff"} {
			_, err := s.Take(ctx, id)
			require.ErrorIs(t, err, ports.ErrNotFound)
		}
		require.NotEqual(t, ports.SessionID("x"), ports.TicketID("x"), "a ticket is no session")
	})

	t.Run("OfSeveralOneGetsIt", func(t *testing.T) {
		t.Parallel()
		s, ctx := open(t), bounded(t)
		for round := range o.Rounds {
			x := ticket(fmt.Sprint(round), ada)
			require.NoError(t, s.Insert(ctx, x, most))
			var got atomic.Int64
			var wg sync.WaitGroup
			begin := make(chan struct{})
			for range 8 {
				wg.Go(func() {
					<-begin
					switch found, err := s.Take(ctx, x.ID); {
					case err == nil && found.Actor == ada:
						got.Add(1)
					case !errors.Is(err, ports.ErrNotFound):
						t.Errorf("%v, %v", found, err)
					}
				})
			}
			close(begin)
			wg.Wait()
			require.EqualValues(t, 1, got.Load())
		}
	})

	t.Run("Bounded", func(t *testing.T) {
		t.Parallel()
		s, ctx := open(t), bounded(t)
		operator := core.Actor{Subject: "root", Role: core.RolePlatformAdmin}
		for i := range 3 {
			require.NoError(t, s.Insert(ctx, ticket(fmt.Sprint(i), ada), three))
		}
		require.ErrorIs(t, s.Insert(ctx, ticket("3", ada), three), ports.ErrTooManyTickets)
		bob := core.Actor{Subject: "bob", Tenant: "acme", Role: core.RoleCustomerUser}
		require.ErrorIs(t, s.Insert(ctx, ticket("3", bob), three), ports.ErrTooManyTickets, "it is the tenant's bound")
		require.ErrorIs(t, s.Insert(ctx, ticket("0", ada), three), ports.ErrExists)
		require.NoError(t, s.Insert(ctx, ticket("operator", operator), one), "others have their own")
		require.ErrorIs(t, s.Insert(ctx, ticket("operator 2", operator), one), ports.ErrTooManyTickets)
		_, err := s.Take(ctx, ports.TicketID("0"))
		require.NoError(t, err)
		require.NoError(t, s.Insert(ctx, ticket("3", ada), three))
		later := ticket("later", ada)
		later.CreatedAt, later.ExpiresAt = at(60), at(120)
		require.NoError(t, s.Insert(ctx, later, three), "what has expired counts no more, though it is there yet")
	})

	t.Run("BoundedForASubject", func(t *testing.T) {
		t.Parallel()
		s, ctx := open(t), bounded(t)
		two := ports.TicketBounds{OfTenant: 10, OfSubject: 2}
		for i := range 2 {
			require.NoError(t, s.Insert(ctx, ticket(fmt.Sprint(i), ada), two))
		}
		require.ErrorIs(t, s.Insert(ctx, ticket("2", ada), two), ports.ErrTooManyTickets)
		require.ErrorIs(t, s.Insert(ctx, ticket("0", ada), two), ports.ErrExists)
		namesake, bob := ada, ada
		namesake.Tenant, bob.Subject = "globex", "bob"
		require.NoError(t, s.Insert(ctx, ticket("namesake", namesake), two), "another tenant's subject of the same name is another one")
		require.NoError(t, s.Insert(ctx, ticket("bob", bob), two), "one subject does not take the others' tickets")
		later := ticket("later", ada)
		later.CreatedAt, later.ExpiresAt = at(60), at(120)
		require.NoError(t, s.Insert(ctx, later, two), "what has expired counts no more, though it is there yet")
		for _, used := range []string{"0", "later"} {
			_, err := s.Take(ctx, ports.TicketID(used))
			require.NoError(t, err)
		}
		require.NoError(t, s.Insert(ctx, ticket("2", ada), two), "nor does what was used")
	})

	t.Run("Expired", func(t *testing.T) {
		t.Parallel()
		s, ctx := open(t), bounded(t)
		for i := range 5 {
			x := ticket(fmt.Sprint(i), ada)
			x.ExpiresAt = at(10 + i)
			require.NoError(t, s.Insert(ctx, x, most))
		}
		for _, c := range []struct{ before, limit, want int }{{10, 9, 0}, {13, 0, 0}, {13, -1, 0}, {13, 2, 2}, {13, 9, 1}, {13, 9, 0}} {
			n, err := s.DeleteExpired(ctx, at(c.before), c.limit)
			require.NoError(t, err)
			require.Equal(t, c.want, n, "%v", c)
		}
		_, err := s.Take(ctx, ports.TicketID("2"))
		require.ErrorIs(t, err, ports.ErrNotFound)
		x, err := s.Take(ctx, ports.TicketID("3"))
		require.NoError(t, err, "also one that has expired: that is for the caller to say")
		require.Equal(t, at(13), x.ExpiresAt)
	})

	t.Run("Refused", func(t *testing.T) {
		t.Parallel()
		s, ctx := open(t), bounded(t)
		for name, change := range map[string]func(*ports.Ticket){
			"NoID": func(x *ports.Ticket) { x.ID = "" }, "Word": func(x *ports.Ticket) { x.ID = "word" },
			"Long": func(x *ports.Ticket) { x.ID = strings.Repeat("a", 129) }, "NUL": func(x *ports.Ticket) { x.Actor.Subject = "a\x00" },
			"NoRole": func(x *ports.Ticket) { x.Actor.Role = "king" }, "NoSubject": func(x *ports.Ticket) { x.Actor.Subject = "" },
			"NoTenant": func(x *ports.Ticket) { x.Actor.Tenant = "" }, "Expired": func(x *ports.Ticket) { x.ExpiresAt = x.CreatedAt },
		} {
			x := ticket("t", ada)
			change(&x)
			require.Error(t, s.Insert(ctx, x, most), name)
		}
		_, err := s.Take(ctx, ports.TicketID("t"))
		require.ErrorIs(t, err, ports.ErrNotFound)
	})
}
