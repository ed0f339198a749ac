package webui

import (
	"bytes"
	"embed"
	"encoding/json"
	"html/template"
	"io/fs"
	"net/http"
	"net/url"
	"path"
	"strconv"

	"github.com/redrive/redrive/core"
)

//go:embed html/*.html
var htmlFiles embed.FS

// pages are the templates by file name, each with the layout and the components.
var pages = loadPages()

func loadPages() map[string]*template.Template {
	common := template.New("").Funcs(template.FuncMap{
		"asset": assetURL, "visible": visible,
		"json": func(v any) (string, error) {
			b, err := json.Marshal(v)
			return string(b), err
		},
	})
	template.Must(common.ParseFS(htmlFiles, "html/layout.html", "html/components.html", "html/icons.html"))
	names, err := fs.Glob(htmlFiles, "html/*.html")
	if err != nil {
		panic(err)
	}
	list := map[string]*template.Template{}
	for _, name := range names {
		list[path.Base(name)] = template.Must(template.Must(common.Clone()).ParseFS(htmlFiles, name))
	}
	return list
}

// page is what a handler sets for a page in addition to its data.
type page struct {
	Title string
	Nav   string // the entry of the navigation that it belongs to
	Bare  bool   // without navigation
	Broad bool   // of full width although it is Bare
	// Tenant is the tenant whose data is shown; empty for none.
	Tenant core.TenantID
	// Live is the address of the run's events. State is a word that changes when the
	// script has to fetch more than the live parts of the page.
	Live, State string
	// Poll is the interval in seconds at which the page is fetched if there are no events;
	// 0: never.
	Poll int
	Data any
}

// view is the data of an HTML template.
type view struct {
	look
	page
	Here      string // this page's address
	SignedIn  bool
	User      string
	Role      string
	Admin     bool // may act for every tenant
	Entries   []navEntry
	Languages []language
	Refresh   int // after how many seconds a page without script loads itself again; 0: never
}

type navEntry struct {
	Text, URL, Icon string
	Current         bool
}

func (u *ui) view(r *request, p page) view {
	v := view{
		look: r.look, page: p, Here: r.URL.RequestURI(), SignedIn: r.signedIn(),
		User: r.actor().Subject, Languages: languages, Refresh: p.Poll,
	}
	if !v.SignedIn {
		return v
	}
	v.Role = r.T("role." + string(r.actor().Role))
	v.Admin = r.actor().Role == core.RolePlatformAdmin
	if r.Method != http.MethodGet {
		v.Here = Prefix + "runs" // the answer to a POST has no address of its own
	}
	add := func(key, icon, path string) {
		v.Entries = append(v.Entries, navEntry{Text: r.T("nav." + key), Icon: icon, URL: path, Current: p.Nav == key})
	}
	if v.Admin {
		add("tenants", "tenants", Prefix+"tenants")
		add("operations", "pulse", Prefix+"operations")
	}
	tenant := p.Tenant
	if tenant == "" {
		tenant = r.actor().Tenant
	}
	if tenant != "" {
		add("runs", "runs", r.of(tenant, Prefix+"runs"))
		add("new", "plus", r.of(tenant, Prefix+"runs/new"))
		add("credits", "coins", r.of(tenant, Prefix+"credits"))
		add("templates", "template", r.of(tenant, Prefix+"templates"))
		if r.may(core.ActionManageAPIKeys, tenant) {
			add("keys", "key", r.of(tenant, Prefix+"keys"))
		}
		if r.may(core.ActionManageWebhooks, tenant) {
			add("webhooks", "bell", r.of(tenant, Prefix+"webhooks"))
		}
	}
	return v
}

// of gives the address of a page about a tenant; for a platform admin it has to name the
// tenant.
func (r *request) of(tenant core.TenantID, path string) string {
	if tenant == r.actor().Tenant || tenant == "" {
		return path
	}
	return withQuery(path, "tenant", string(tenant))
}

// render writes a page. The page is rendered completely before anything is written, so
// that the answer is a complete page or an error.
func (u *ui) render(w http.ResponseWriter, r *request, status int, name string, p page) error {
	var b bytes.Buffer
	if err := pages[name].ExecuteTemplate(&b, "layout", u.view(r, p)); err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Language", r.Tag)
	h.Set("Vary", "Cookie, Accept-Language")
	h.Set("Content-Length", strconv.Itoa(b.Len()))
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes()) // an error means that the client disconnected
	return nil
}

// writeJSON answers the script.
func writeJSON(w http.ResponseWriter, status int, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(b) // an error means that the client disconnected
	return nil
}

// wantsJSON reports whether the request is the script's, and not the browser's for a page.
func (r *request) wantsJSON() bool { return r.Header.Get("Accept") == "application/json" }

// addr joins escaped path segments to an address of this page.
func addr(words ...string) string {
	p := Prefix[:len(Prefix)-1]
	for _, w := range words {
		p += "/" + url.PathEscape(w)
	}
	return p
}
