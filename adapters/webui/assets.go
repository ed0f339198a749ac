package webui

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"mime"
	"net/http"
	"path"
	"strconv"
)

//go:embed assets
var assetFiles embed.FS

// asset is a file that pages link to. Its address has a hash of its content, so that a
// browser may cache it for ever and still never uses an old one.
type asset struct {
	url     string
	kind    string
	content []byte
}

var assets = loadAssets()

func loadAssets() map[string]asset {
	entries, err := assetFiles.ReadDir("assets")
	if err != nil {
		panic(err) // they are embedded
	}
	list := make(map[string]asset, len(entries))
	for _, e := range entries {
		content, err := assetFiles.ReadFile("assets/" + e.Name())
		if err != nil {
			panic(err)
		}
		sum := sha256.Sum256(content)
		kind := mime.TypeByExtension(path.Ext(e.Name()))
		if path.Ext(e.Name()) == ".js" {
			kind = "text/javascript; charset=utf-8" // some machines say otherwise
		}
		list[e.Name()] = asset{
			url: Prefix + "assets/" + hex.EncodeToString(sum[:6]) + "/" + e.Name(), kind: kind, content: content,
		}
	}
	return list
}

// assetURL is the address of an asset. It panics for an unknown name, so the first
// rendering of a page with a wrong name fails.
func assetURL(name string) string {
	a, ok := assets[name]
	if !ok {
		panic("webui: no asset " + name)
	}
	return a.url
}

// serveAsset answers with an asset. One with another hash is of another release.
func serveAsset(w http.ResponseWriter, req *http.Request) {
	a, ok := assets[req.PathValue("name")]
	if !ok || a.url != req.URL.Path {
		http.NotFound(w, req)
		return
	}
	h := w.Header()
	h.Set("Content-Type", a.kind)
	h.Set("Content-Length", strconv.Itoa(len(a.content)))
	h.Set("Cache-Control", "public, max-age=31536000, immutable")
	_, _ = w.Write(a.content) // an error means that the client disconnected
}
