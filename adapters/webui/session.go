package webui

import (
	"crypto/rand"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// touchEvery is how often the use of a session is stored, so that not every request
// writes.
const touchEvery = time.Minute

// maxSecretBytes is far above what a session's cookie has.
const maxSecretBytes = 128

// sessionState says why there is no session.
type sessionState int

const (
	sessionNone  sessionState = iota // there was no cookie
	sessionEnded                     // it expired or was revoked
	sessionFound
)

// secure reports whether the browser uses TLS, possibly through a proxy. A client that
// sends a false header only hardens its own cookie.
func secure(req *http.Request) bool {
	return req.TLS != nil || strings.EqualFold(req.Header.Get("X-Forwarded-Proto"), "https")
}

// sessionCookie is the cookie's name. With TLS its prefix makes browsers refuse a cookie
// of this name that another host of the domain has set.
func sessionCookie(req *http.Request) string {
	if secure(req) {
		return "__Host-redrive"
	}
	return "redrive"
}

// findSession looks up the caller's session. A store that cannot be reached is an error,
// and not a sign-out.
func (u *ui) findSession(r *request) (sessionState, error) {
	cookie, err := r.Cookie(sessionCookie(r.Request))
	if err != nil || cookie.Value == "" || len(cookie.Value) > maxSecretBytes {
		return sessionNone, nil //nolint:nilerr // no cookie is no session
	}
	now, id := u.now(), ports.SessionID(cookie.Value)
	s, err := u.cfg.Sessions.Get(r.Context(), id)
	switch {
	case errors.Is(err, ports.ErrNotFound):
		return sessionEnded, nil
	case err != nil:
		return sessionNone, err
	case s.Via == viaDemo && len(u.demoUsers(r.Request)) == 0:
		return sessionEnded, nil // it was begun while this server was a demo
	case !now.Before(s.ExpiresAt), now.Sub(s.SeenAt) > u.cfg.SessionIdle:
		return sessionEnded, u.cfg.Sessions.Delete(r.Context(), id)
	}
	if now.Sub(s.SeenAt) > touchEvery {
		if err := u.cfg.Sessions.Touch(r.Context(), id, now, s.ExpiresAt); err != nil && !errors.Is(err, ports.ErrNotFound) {
			return sessionNone, err
		}
	}
	r.session = s
	return sessionFound, nil
}

// beginSession signs a user in, who was authenticated by via. until is when that
// credential expires.
func (u *ui) beginSession(w http.ResponseWriter, r *request, actor core.Actor, via string, until time.Time) error {
	now := u.now()
	if most := now.Add(u.cfg.SessionLifetime); until.After(most) {
		until = most
	}
	secret := rand.Text()
	s := ports.Session{ID: ports.SessionID(secret), Actor: actor, Via: via, CreatedAt: now, SeenAt: now, ExpiresAt: until}
	if err := u.cfg.Sessions.Insert(r.Context(), s); err != nil {
		return err
	}
	// The browser's previous session ends, so that signing in twice leaves none open.
	if r.signedIn() {
		if err := u.cfg.Sessions.Delete(r.Context(), r.session.ID); err != nil {
			return err
		}
	}
	if _, err := u.cfg.Sessions.DeleteExpired(r.Context(), now, 100); err != nil {
		u.cfg.Log.WarnContext(r.Context(), "expired sessions were not cleared away", "error", err)
	}
	http.SetCookie(w, &http.Cookie{ //nolint:gosec // Secure with TLS; a server on loopback has none
		Name: sessionCookie(r.Request), Value: secret, Path: "/", MaxAge: int(until.Sub(now) / time.Second),
		HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: secure(r.Request),
	})
	return nil
}

func (u *ui) forgetCookie(w http.ResponseWriter, r *request) {
	http.SetCookie(w, &http.Cookie{ //nolint:gosec // Secure with TLS; a server on loopback has none
		Name: sessionCookie(r.Request), Path: "/", MaxAge: -1,
		HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: secure(r.Request),
	})
}

// leadToSignIn redirects to the sign-in, with the address to come back to.
func (u *ui) leadToSignIn(w http.ResponseWriter, r *request, state sessionState) error {
	if r.Header.Get("X-Redrive-Live") != "" || strings.Contains(r.Header.Get("Accept"), "text/event-stream") ||
		strings.Contains(r.Header.Get("Accept"), "application/json") {
		// The script gets the status, and then loads the page, which redirects.
		w.WriteHeader(http.StatusUnauthorized)
		return nil
	}
	// After a link on another site the browser sends no Strict cookie. It does after a
	// reload from here, so that a signed-in user does not notice.
	if r.Method == http.MethodGet && state == sessionNone && r.Header.Get("Sec-Fetch-Site") == "cross-site" {
		return u.render(w, r, http.StatusOK, "again.html", page{Title: r.T("signin.again"), Data: r.URL.RequestURI()})
	}
	q := url.Values{}
	place := r.URL.RequestURI()
	if r.Method != http.MethodGet {
		place = r.Header.Get("Referer")
		if ref, err := url.Parse(place); err == nil {
			place = ref.RequestURI()
		}
	}
	if place = localPath(place); place != Prefix+"runs" {
		q.Set("next", place)
	}
	if state == sessionEnded {
		q.Set("why", "ended")
		// Only here: if the script's request deleted the cookie, the page could not say
		// that the session has ended.
		u.forgetCookie(w, r)
	}
	to := Prefix + "sign-in"
	if len(q) > 0 {
		to += "?" + q.Encode()
	}
	return r.redirect(w, to)
}
