package webui

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/redrive/redrive/core"
)

// signInView is the page that asks for a credential.
type signInView struct {
	Next  string
	Field Field
	Ended bool
	Demo  []demoButton
}

type demoButton struct{ Name, Label, About string }

// signInPage is GET /ui/sign-in.
func (u *ui) signInPage(w http.ResponseWriter, r *request) error {
	q := r.URL.Query()
	if r.signedIn() {
		return r.redirect(w, localPath(q.Get("next")))
	}
	return u.showSignIn(w, r, http.StatusOK, q.Get("next"), "", q.Get("why") == "ended")
}

func (u *ui) showSignIn(w http.ResponseWriter, r *request, status int, next, wrong string, ended bool) error {
	v := signInView{
		Next: localPath(next), Ended: ended,
		Field: Field{Name: "token", Label: r.T("signin.token"), Hint: r.T("signin.token.hint"), Error: wrong, Required: true},
	}
	for _, d := range u.cfg.Demo {
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
		return u.showSignIn(w, r, http.StatusUnprocessableEntity, form.Get("next"), r.T("signin.empty"), false)
	}
	actor, until, err := u.cfg.Auth.Verify(token)
	if err == nil && !until.After(u.now()) {
		err = core.ErrInvalidRequest // valid within the leeway between clocks, but it ends now
	}
	if err != nil {
		if u.cfg.Limits != nil {
			if err := u.cfg.Limits.Refused(w.Header(), r.Request); err != nil {
				return err
			}
		}
		return u.showSignIn(w, r, http.StatusUnprocessableEntity, form.Get("next"), r.T("signin.invalid"), false)
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
	for _, d := range u.cfg.Demo {
		if d.Name != form.Get("user") {
			continue
		}
		if err := u.beginSession(w, r, d.Actor, "demo", u.now().Add(u.cfg.SessionLifetime)); err != nil {
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
