package webui

import (
	"context"
	"encoding/base64"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/redrive/redrive/core"
)

// Provider is an identity provider that people sign in with. It keeps no state: what a
// sign-in under way needs, the browser keeps.
type Provider interface {
	// Begin gives the address at the provider that the browser goes to, and a secret that
	// the browser keeps until it comes back.
	Begin(ctx context.Context) (address, secret string, err error)
	// Finish gives who has signed in, from that secret and the query with which the browser
	// came back. A *core.Error says why nobody has. A secret that Begin did not give a short
	// time ago costs nothing.
	Finish(ctx context.Context, secret string, answer url.Values) (core.Actor, error)
	// SignOut gives the address at the provider where people sign out there too and come
	// back to this path; empty if there is none.
	SignOut(back string) string
}

const (
	// ProviderCallback is the path that a provider sends the browser back to.
	ProviderCallback = Prefix + "sign-in/oidc/callback"

	// pendingFor is how long a person may take to sign in at the provider.
	pendingFor = 10 * time.Minute
	viaOIDC    = "oidc"
	viaDemo    = "demo"
)

// pendingCookie is the name of the cookie of a sign-in under way.
func pendingCookie(req *http.Request) string { return sessionCookie(req) + "-sign-in" }

// setPending stores or, with an empty value, removes the cookie of a sign-in under way. It is
// Lax, since the browser comes back from another site.
func setPending(w http.ResponseWriter, r *request, value string) {
	age := int(pendingFor / time.Second)
	if value == "" {
		age = -1
	}
	http.SetCookie(w, &http.Cookie{ //nolint:gosec // Secure with TLS; a server on loopback has none
		Name: pendingCookie(r.Request), Value: value, Path: "/", MaxAge: age,
		HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: secure(r.Request),
	})
}

// goToProvider is GET /ui/sign-in/oidc. It is a link and no form, because the
// Content-Security-Policy lets no form lead to another site; it changes nothing here.
func (u *ui) goToProvider(w http.ResponseWriter, r *request) error {
	if u.cfg.Provider == nil {
		return errNoPage
	}
	next := localPath(r.URL.Query().Get("next"))
	if r.signedIn() {
		return r.redirect(w, next)
	}
	address, secret, err := u.cfg.Provider.Begin(r.Context())
	if err != nil {
		return err
	}
	setPending(w, r, secret+"~"+base64.RawURLEncoding.EncodeToString([]byte(next)))
	return r.redirect(w, address)
}

// backFromProvider is GET /ui/sign-in/oidc/callback. The page that it answers with loads the
// next one by itself: a redirect would still count as coming from the provider's site, and
// the browser would leave out the cookie of the session.
func (u *ui) backFromProvider(w http.ResponseWriter, r *request) error {
	if u.cfg.Provider == nil {
		return errNoPage
	}
	pending := ""
	if cookie, err := r.Cookie(pendingCookie(r.Request)); err == nil {
		pending = cookie.Value
	}
	setPending(w, r, "") // it is good for one answer
	secret, encoded, _ := strings.Cut(pending, "~")
	actor, err := u.finishAtProvider(w, r, secret)
	if err != nil {
		return err
	}
	next, err := base64.RawURLEncoding.DecodeString(encoded)
	if err != nil {
		next = nil // the person is signed in, only not where they were
	}
	if err := u.beginSession(w, r, actor, viaOIDC, u.now().Add(u.cfg.SessionLifetime)); err != nil {
		return err
	}
	return u.render(w, r, http.StatusOK, "again.html", page{Title: r.T("signin.again"), Data: localPath(string(next))})
}

// finishAtProvider asks the provider who has signed in. Anybody can have it asked, so what
// comes to nothing counts as a credential that is not valid.
func (u *ui) finishAtProvider(w http.ResponseWriter, r *request, secret string) (core.Actor, error) {
	if u.cfg.Limits == nil {
		return u.cfg.Provider.Finish(r.Context(), secret, r.URL.Query())
	}
	done, err := u.cfg.Limits.Exchange(w.Header(), r.Request)
	if err != nil {
		return core.Actor{}, err
	}
	defer done()
	actor, err := u.cfg.Provider.Finish(r.Context(), secret, r.URL.Query())
	if _, fault := refusalOf(err); err == nil || fault {
		return actor, err
	}
	if limit := u.cfg.Limits.Refused(w.Header(), r.Request); limit != nil {
		return core.Actor{}, limit
	}
	return core.Actor{}, err
}

// local reports whether a request was sent to this machine by its own name or address, and
// through no proxy. A demo lets in nobody else: a site whose name is made to point here
// (DNS rebinding), or a proxy in front, would open it to the world.
func local(req *http.Request) bool {
	for _, header := range []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-Ip"} {
		if req.Header.Get(header) != "" {
			return false
		}
	}
	host := req.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil && ip.Unmap().IsLoopback()
}

// demoUsers are those that a visitor may sign in as with one click.
func (u *ui) demoUsers(req *http.Request) []DemoUser {
	if !local(req) {
		return nil
	}
	return u.cfg.Demo
}
