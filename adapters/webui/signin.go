package webui

import (
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// signInView is the page that asks for a credential.
type signInView struct {
	Next  string
	Field Field
	Ended bool
	Demo  []demoButton

	Provider string // its name; empty: there is none
	Out      bool   // the person has just signed out
	OutAt    string // where they sign out at the provider too
}

type demoButton struct{ Name, Label, About string }

// signInPage is GET /ui/sign-in.
func (u *ui) signInPage(w http.ResponseWriter, r *request) error {
	q := r.URL.Query()
	if r.signedIn() {
		return r.redirect(w, localPath(q.Get("next")))
	}
	return u.showSignIn(w, r, http.StatusOK, q.Get("next"), "", q.Get("why"))
}

func (u *ui) showSignIn(w http.ResponseWriter, r *request, status int, next, wrong, why string) error {
	v := signInView{
		Next: localPath(next), Ended: why == "ended",
		Field: Field{Name: "token", Label: r.T("signin.token"), Hint: r.T("signin.token.hint"), Error: wrong, Required: true},
	}
	if u.cfg.Provider != nil {
		v.Provider = u.cfg.ProviderName
		if v.Out = why == "out"; v.Out {
			v.OutAt = u.cfg.Provider.SignOut(Prefix + "sign-in")
		}
	}
	for _, d := range u.demoUsers(r.Request) {
		v.Demo = append(v.Demo, demoButton{Name: d.Name, Label: r.T("signin.demo." + string(d.Actor.Role)), About: r.T("signin.demo.about." + string(d.Actor.Role))})
	}
	return u.render(w, r, status, "signin.html", page{Title: r.T("signin.title"), Bare: true, Data: v})
}

// signIn is POST /ui/sign-in: a token becomes a session. The token is never shown again,
// not even to its sender.
func (u *ui) signIn(w http.ResponseWriter, r *request) error {
	form, err := r.form(w)
	if err != nil {
		return err
	}
	token := strings.TrimSpace(form.Get("token"))
	token = strings.TrimSpace(strings.TrimPrefix(strings.TrimPrefix(token, "Authorization:"), " "))
	token = strings.TrimSpace(strings.TrimPrefix(token, "Bearer "))
	if token == "" {
		return u.showSignIn(w, r, http.StatusUnprocessableEntity, form.Get("next"), r.T("signin.empty"), "")
	}
	actor, until, err := u.cfg.Auth.Verify(token)
	if err == nil && !until.After(u.now()) {
		err = core.ErrInvalidRequest // valid within the leeway between clocks, but it ends now
	}
	if errors.Is(err, ports.ErrUnavailable) {
		return err // nothing is known of the token
	}
	if err != nil {
		return u.showSignIn(w, r, http.StatusUnprocessableEntity, form.Get("next"), r.T("signin.invalid"), "")
	}
	if err := u.beginSession(w, r, actor, "token", until); err != nil {
		return err
	}
	return r.redirect(w, localPath(form.Get("next")))
}

// signInDemo is POST /ui/sign-in/demo: one click, if the server is a demo.
func (u *ui) signInDemo(w http.ResponseWriter, r *request) error {
	form, err := r.form(w)
	if err != nil {
		return err
	}
	for _, d := range u.demoUsers(r.Request) {
		if d.Name != form.Get("user") {
			continue
		}
		if err := u.beginSession(w, r, d.Actor, viaDemo, u.now().Add(u.cfg.SessionLifetime)); err != nil {
			return err
		}
		return r.redirect(w, localPath(form.Get("next")))
	}
	return errNoPage
}

// signOut is POST /ui/sign-out.
func (u *ui) signOut(w http.ResponseWriter, r *request) error {
	if r.signedIn() {
		if err := u.cfg.Sessions.Delete(r.Context(), r.session.ID); err != nil {
			return err
		}
	}
	u.forgetCookie(w, r)
	if r.session.Via == viaOIDC {
		return r.redirect(w, Prefix+"sign-in?why=out")
	}
	return r.redirect(w, Prefix+"sign-in")
}

// withQuery adds to an address of this page.
func withQuery(path string, pairs ...string) string {
	u, err := url.Parse(path)
	if err != nil {
		return path
	}
	q := u.Query()
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] == "" {
			q.Del(pairs[i])
		} else {
			q.Set(pairs[i], pairs[i+1])
		}
	}
	u.RawQuery = q.Encode()
	return u.String()
}
