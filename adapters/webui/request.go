package webui

import (
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// request is an HTTP request with its session and the look of the answer.
type request struct {
	*http.Request
	ui      *ui
	raw     *recorder
	session ports.Session // zero unless signed in
	look
}

func (r *request) signedIn() bool    { return r.session.ID != "" }
func (r *request) actor() core.Actor { return r.session.Actor }

// serve makes a handler of the mux. It finds the session, redirects to the sign-in if
// there must be one, and turns an error into a page.
func (u *ui) serve(h handler, mustBeSignedIn bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r := &request{Request: req, ui: u, look: lookOf(req)}
		if rec, ok := w.(*recorder); ok {
			r.raw = rec
		} else {
			r.raw = &recorder{ResponseWriter: w}
		}
		if err := u.answer(w, r, h, mustBeSignedIn); err != nil {
			u.fail(w, r, err)
		}
	})
}

func (u *ui) answer(w http.ResponseWriter, r *request, h handler, mustBeSignedIn bool) error {
	state, err := u.findSession(r)
	if err != nil {
		return err
	}
	r.raw.subject, r.raw.tenant = r.actor().Subject, string(r.actor().Tenant)
	if r.signedIn() {
		u.cfg.SignedIn(r.Request)
		if u.cfg.Limits != nil {
			if err := u.cfg.Limits.Admit(w.Header(), r.actor()); err != nil {
				return err
			}
		}
	}
	if mustBeSignedIn && !r.signedIn() {
		return u.leadToSignIn(w, r, state)
	}
	return h(w, r)
}

// form reads the body of a POST that is no upload.
func (r *request) form(w http.ResponseWriter) (url.Values, error) {
	most := int64(maxAnonymousBytes)
	if r.signedIn() {
		most = maxFormBytes
	}
	r.Body = http.MaxBytesReader(w, r.Body, most)
	if err := r.ParseForm(); err != nil {
		return nil, core.InvalidField("body", "is not a form")
	}
	return r.PostForm, nil
}

// redirect sends the browser to another page of this server with a GET.
func (r *request) redirect(w http.ResponseWriter, to string) error {
	http.Redirect(w, r.Request, to, http.StatusSeeOther)
	return nil
}

// runID is the run that the path names.
func (r *request) runID() (core.RunID, error) {
	id := r.PathValue("id")
	if !core.ValidID(id) {
		return "", core.ErrRunNotFound
	}
	return core.RunID(id), nil
}

// tenant is the tenant that a page without a run is about: the actor's own, or for a
// platform admin the one that the query names.
func (r *request) tenant() (core.TenantID, error) {
	named := r.URL.Query().Get("tenant")
	if named == "" {
		named = string(r.actor().Tenant)
	}
	if named == "" {
		return "", errChooseTenant
	}
	if !core.ValidID(named) {
		return "", core.ErrTenantNotFound
	}
	return core.TenantID(named), nil
}

// errChooseTenant: a platform admin has not named a tenant.
var errChooseTenant = errors.New("no tenant chosen")

// queryInt is a whole number of the query from low to high, or else the default.
func (r *request) queryInt(name string, otherwise, low, high int) int {
	n, err := strconv.Atoi(r.URL.Query().Get(name))
	if err != nil || n < low || n > high {
		return otherwise
	}
	return n
}

// localPath gives the address to go back to if it is under Prefix, else that of the runs:
// a link from elsewhere must not redirect to another site.
func localPath(to string) string {
	u, err := url.Parse(to)
	if err != nil || u.IsAbs() || u.Host != "" || u.User != nil || !strings.HasPrefix(u.Path, Prefix) ||
		strings.Contains(u.Path, "\\") || strings.Contains(u.Path, "//") || strings.Contains(u.Path, "/../") ||
		strings.HasPrefix(u.Path, Prefix+"sign-in") || len(to) > 2048 {
		return Prefix + "runs"
	}
	return (&url.URL{Path: u.Path, RawQuery: u.RawQuery}).String()
}
