package webui_test

import (
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/memory"
	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// brokenFiles opens contents in a way that a test says.
type brokenFiles struct {
	*memory.Files
	open atomic.Pointer[func(io.ReadCloser) (io.ReadCloser, error)]
}

// Open implements ports.Files.
func (f *brokenFiles) Open(ctx context.Context, tenant core.TenantID, ref core.FileRef) (io.ReadCloser, error) {
	content, err := f.Files.Open(ctx, tenant, ref)
	if open := f.open.Load(); open != nil && err == nil {
		return (*open)(content)
	}
	return content, err
}

// An input is downloaded unchanged, and no browser shows it as a page of this server.
func TestInputIsDownloaded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	names := []string{"a-timeout.txt", `sub/"><img src=x>.html`, "invoice\u202efdp.exe", strings.Repeat("x", 251) + ".txt"}
	id := w.closed(names...)
	run := "/ui/runs/" + string(id)
	v := w.signedIn(ulf)
	page := v.get(run).text
	for i, name := range names {
		input := run + "/files/" + string(rune('0'+i)) + "/input"
		require.Contains(t, page, `href="`+input+`" download`)
		require.Contains(t, v.get(strings.TrimSuffix(input, "/input")).text, `href="`+input+`" download`)
		p := v.get(input)
		require.Equal(t, http.StatusOK, p.status)
		require.Equal(t, "Text of "+name, p.text)
		require.Equal(t, "application/octet-stream", p.header.Get("Content-Type"))
		require.Equal(t, "nosniff", p.header.Get("X-Content-Type-Options"))
		require.Equal(t, "default-src 'none'; sandbox; frame-ancestors 'none'", p.header.Get("Content-Security-Policy"))
		kind, params, err := mime.ParseMediaType(p.header.Get("Content-Disposition"))
		require.NoError(t, err)
		require.Equal(t, "attachment", kind)
		require.Equal(t, "0000"+string(rune('1'+i))+"-", params["filename"][:6])
		require.NotRegexp(t, `[/\\<>":|?*]|\x{202e}`, params["filename"])
		require.LessOrEqual(t, len(params["filename"]), 140)
	}
	require.Equal(t, http.StatusForbidden, w.signedIn(sam).get(run+"/files/0/input").status, "another tenant's")
	require.Contains(t, w.visitor().get(run+"/files/0/input").path, "/ui/sign-in")
	for _, index := range []string{"9", "-1", "x"} {
		require.Equal(t, http.StatusNotFound, v.get(run+"/files/"+index+"/input").status)
	}
	require.Equal(t, http.StatusNotFound, v.get("/ui/runs/none/files/0/input").status)
}

// A lost content is a page that says so, and a damaged one is a broken download.
func TestInputThatIsNotThere(t *testing.T) {
	t.Parallel()
	files := &brokenFiles{Files: memory.NewFiles()}
	w := newWorld(t, func(o *options) { o.files = files })
	id := w.closed("a.txt")
	v := w.signedIn(ann)
	input := "/ui/runs/" + string(id) + "/files/0/input"

	gone := func(io.ReadCloser) (io.ReadCloser, error) { return nil, ports.ErrNotFound }
	files.open.Store(&gone)
	p := v.get(input)
	require.Equal(t, http.StatusGone, p.status)
	require.Contains(t, p.text, "The stored file is gone")

	unreadable := func(c io.ReadCloser) (io.ReadCloser, error) { return brokenReader{c, 0}, nil }
	files.open.Store(&unreadable)
	p = v.get(input)
	require.Equal(t, http.StatusInternalServerError, p.status)
	require.Empty(t, p.header.Get("Content-Disposition"), "the page is no download")
	require.NotContains(t, p.header.Get("Content-Security-Policy"), "sandbox")
	require.Contains(t, p.header.Get("Content-Type"), "text/html")

	damaged := func(c io.ReadCloser) (io.ReadCloser, error) { return brokenReader{c, 1 << 20}, nil }
	files.open.Store(&damaged)
	res, err := v.client.Get(w.server.URL + input)
	if err == nil {
		defer func() { require.NoError(t, res.Body.Close()) }()
		_, err = io.ReadAll(res.Body)
	}
	require.Error(t, err, "a damaged file was taken for a whole one")
}

// brokenReader fails after its content.
type brokenReader struct {
	io.ReadCloser
	bytes int
}

// Read implements io.Reader.
func (r brokenReader) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p[:min(len(p), r.bytes)])
	if n == 0 || errors.Is(err, io.EOF) {
		err = errors.New("the content is not what was stored")
	}
	return n, err
}

// Downloads of files and of the ledger have the places of the API's: while others read as
// slowly as they like, a page says that there is none.
func TestDownloadsHavePlaces(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *options) { o.app.MaxTenantFileDownloads = 1 })
	id := w.closed("a.txt")
	v := w.signedIn(ulf)
	file := "/ui/runs/" + string(id) + "/files/0"
	downloads := []string{file + "/input", file + "/output", "/ui/credits/ledger.csv"}
	_, leave, err := w.svc.DownloadOutput(t.Context(), ann, id, 0)
	require.NoError(t, err)
	for _, path := range downloads {
		p := v.get(path)
		require.Equal(t, http.StatusTooManyRequests, p.status, path)
		require.Contains(t, p.text, "Too much is being downloaded at once")
		require.Empty(t, p.header.Get("Content-Disposition"))
	}
	require.Equal(t, http.StatusOK, v.get(file).status, "a page is no download")
	leave()
	for range 2 {
		for _, path := range downloads {
			require.Equal(t, http.StatusOK, v.get(path).status, path)
		}
	}
}
