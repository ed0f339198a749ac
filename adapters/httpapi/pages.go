package httpapi

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"html/template"
	"net/http"
)

// pageFiles are the pages for people who read about the API, and what they are made with.
// swagger-ui holds two files of swagger-ui-dist 5.35.0 with its license and those of what
// it contains.
//
//go:embed pages
var pageFiles embed.FS

const (
	// docsPolicy lets nothing come from, or go to, another server. Swagger UI has its icons
	// in data: addresses.
	docsPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
		"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
	textPolicy = "default-src 'none'; style-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

// pageAsset is a file that the pages link to. A hash of its content is in its name, so that
// a browser may keep it for ever.
type pageAsset struct {
	name, kind string
	content    []byte
}

var (
	pageAssets = map[string]pageAsset{
		"swagger-ui-bundle.js": loadPageAsset("swagger-ui/swagger-ui-bundle.js", "swagger-ui-bundle.js", "text/javascript; charset=utf-8"),
		"swagger-ui.css":       loadPageAsset("swagger-ui/swagger-ui.css", "swagger-ui.css", "text/css; charset=utf-8"),
		"start.js":             loadPageAsset("start.js", "start.js", "text/javascript; charset=utf-8"),
		"pages.css":            loadPageAsset("pages.css", "pages.css", "text/css; charset=utf-8"),
	}
	pageTemplates = template.Must(template.New("").
			Funcs(template.FuncMap{"asset": func(name string) string { return "docs/" + pageAssets[name].name }}).
			ParseFS(pageFiles, "pages/*.html"))
)

func loadPageAsset(file, name, kind string) pageAsset {
	content, err := pageFiles.ReadFile("pages/" + file)
	if err != nil {
		panic(err) // they are embedded
	}
	sum := sha256.Sum256(content)
	return pageAsset{name: hex.EncodeToString(sum[:6]) + "-" + name, kind: kind, content: content}
}

func (a *api) pageRoutes() []route {
	return []route{
		page(get("/docs", anyone, a.docs)),
		page(get("/docs/:file", anyone, a.docsAsset)),
		get("/problems", anyone, a.listProblems),
		get("/problems/:code", anyone, a.getProblem),
	}
}

// page marks a route that is for people alone and not in the OpenAPI document.
func page(r route) route {
	r.page = true
	return r
}

// docs is GET /docs: the OpenAPI document to read and to try. Its links are relative, so
// that they are right under any prefix.
func (a *api) docs(w http.ResponseWriter, _ *request) error {
	return writePage(w, "docs.html", docsPolicy, nil)
}

// docsAsset is GET /docs/{file}.
func (a *api) docsAsset(w http.ResponseWriter, r *request) error {
	for _, asset := range pageAssets {
		if asset.name == r.file {
			w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
			write(w, http.StatusOK, asset.kind, asset.content)
			return nil
		}
	}
	return notFoundAt(r.URL.Path)
}

// writePage answers with a page. It is made before anything is written.
func writePage(w http.ResponseWriter, name, policy string, data any) error {
	var body bytes.Buffer
	if err := pageTemplates.ExecuteTemplate(&body, name, data); err != nil {
		return err
	}
	w.Header().Set("Content-Security-Policy", policy)
	write(w, http.StatusOK, "text/html; charset=utf-8", body.Bytes())
	return nil
}
