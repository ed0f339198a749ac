package httpapi

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/ports"
)

const (
	// ticketFor is for how long a ticket may be used.
	ticketFor = time.Minute
	// ticketStream is how long a stream lasts that was opened with a ticket: what the ticket
	// was made with may have expired, or have been revoked, in the meantime.
	ticketStream = 5 * time.Minute
	// maxTickets is how many unused ones a tenant has at most, and the platform admins, and
	// ticketsOfOne how many one caller.
	maxTickets, ticketsOfOne = 1000, 100
	// ticketPrefix tells what it is where one is found.
	ticketPrefix    = "rdt_"
	maxTicketLength = 64
	// ticketChallenge is the WWW-Authenticate header of a refusal: a ticket has no scheme.
	ticketChallenge = `Bearer realm="redrive"`
	// sweptTickets is how many expired ones a new one clears away at most.
	sweptTickets = 100
)

// ticketJSON is a ticket as its owner gets it.
type ticketJSON struct {
	Ticket    string    `json:"ticket"`
	ExpiresAt time.Time `json:"expiresAt"`
}

// eventRoutes are those of live events, besides a run's own.
func (a *api) eventRoutes() []route {
	return []route{
		streaming(get("/events", onQuery(core.ActionRead), a.streamTenant)),
		post("/event-tickets", onPlatform(core.ActionRead), a.createTicket),
	}
}

func streaming(r route) route {
	r.stream = true
	return r
}

// createTicket is POST /event-tickets.
func (a *api) createTicket(w http.ResponseWriter, r *request) error {
	if a.cfg.Tickets == nil {
		return refused(codeNotFound, "this server has no tickets; send your credential with the request for events")
	}
	if err := noBody(w, r); err != nil {
		return err
	}
	now := a.svc.Clock().Now()
	if _, err := a.cfg.Tickets.DeleteExpired(r.Context(), now, sweptTickets); err != nil {
		a.cfg.Log.WarnContext(r.Context(), "expired tickets were not cleared away", "error", err)
	}
	token := ticketPrefix + rand.Text()
	t := ports.Ticket{ID: ports.TicketID(token), Actor: r.actor, CreatedAt: now, ExpiresAt: now.Add(ticketFor)}
	err := a.cfg.Tickets.Insert(r.Context(), t, ports.TicketBounds{OfTenant: maxTickets, OfSubject: ticketsOfOne})
	if errors.Is(err, ports.ErrTooManyTickets) {
		w.Header().Set("Retry-After", retryAfterStreams)
		return refused(codeTooManyStreams, "%d of your tickets, or %d of your tenant, are waiting to be used; use them, or wait a minute", ticketsOfOne, maxTickets)
	}
	if err != nil {
		return err
	}
	w.Header().Set("Cache-Control", "no-store")
	return writeJSON(w, http.StatusCreated, ticketJSON{Ticket: token, ExpiresAt: t.ExpiresAt})
}

// callerOf gives the caller of a request, who may come to a stream with a ticket instead of a
// credential.
func (a *api) callerOf(rt route, r *request) (actor core.Actor, challenge string, err error) {
	if !rt.stream || !r.URL.Query().Has("ticket") || a.cfg.Tickets == nil {
		return a.actorOf(r.Request)
	}
	token, err := r.query("ticket")
	if err != nil {
		return core.Actor{}, "", err
	}
	if r.Header.Get("Authorization") != "" {
		return core.Actor{}, ticketChallenge, refused(codeUnauthenticated, "send a credential or a ticket, and not both")
	}
	actor, err = a.useTicket(r.Context(), token)
	r.ticket = err == nil
	if refusal, ok := errors.AsType[*core.Error](err); ok && refusal.Code == codeUnauthenticated {
		challenge = ticketChallenge
	}
	return actor, challenge, err
}

// useTicket gives whose a ticket is, which is then used up.
func (a *api) useTicket(ctx context.Context, token string) (core.Actor, error) {
	const bad = "the ticket is not valid: it is good once, and for a minute; get a new one from POST /event-tickets"
	if len(token) > maxTicketLength || !strings.HasPrefix(token, ticketPrefix) {
		return core.Actor{}, refused(codeUnauthenticated, bad)
	}
	t, err := a.cfg.Tickets.Take(ctx, ports.TicketID(token))
	switch {
	case errors.Is(err, ports.ErrNotFound):
		return core.Actor{}, refused(codeUnauthenticated, bad)
	case err != nil:
		return core.Actor{}, err
	case !a.svc.Clock().Now().Before(t.ExpiresAt):
		return core.Actor{}, refused(codeUnauthenticated, bad)
	}
	return t.Actor, a.keyOfTicket(ctx, t.Actor)
}

// keyOfTicket refuses a ticket that was made with an API key which has ended since. What
// other credentials have come to is not known here.
func (a *api) keyOfTicket(ctx context.Context, actor core.Actor) error {
	err := a.svc.APIKeyStillGood(ctx, actor)
	for _, ended := range []error{app.ErrAPIKeyUnknown, app.ErrAPIKeyRevoked, app.ErrAPIKeyExpired} {
		if errors.Is(err, ended) {
			return refused(codeUnauthenticated, "the API key that the ticket was made with has ended")
		}
	}
	return err
}
