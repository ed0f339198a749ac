package httpapi_test

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// upload starts a run of one template by a form of these files.
func (w *world) upload(parts ...formPart) string {
	w.t.Helper()
	created := w.form(w.admin, "/workflow-runs?template=summarise", parts)
	require.Equal(w.t, http.StatusCreated, created.status, created.text())
	return created.str("id")
}

// head gives the headers of a GET.
func (w *world) head(path string) http.Header {
	w.t.Helper()
	resp, err := w.client.Do(w.request(call{method: http.MethodHead, path: path, token: w.user}))
	require.NoError(w.t, err)
	require.NoError(w.t, resp.Body.Close())
	require.Equal(w.t, http.StatusOK, resp.StatusCode)
	return resp.Header
}

const pngHeader = "\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"

// What was uploaded comes back unchanged, and a browser shows of it only what is known to
// be harmless, whatever its name says.
func TestContent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	long := strings.Repeat("ä\n", 100_000)
	files := []struct{ name, content, contentType, disposition string }{
		{"invoice.txt", "Invoice 17", "text/plain; charset=utf-8", "inline; filename=invoice.txt"},
		{"sub/long.md", long, "text/plain; charset=utf-8", "inline; filename=long.md"},
		{"a.png", pngHeader, "image/png", "inline; filename=a.png"},
		{"photo.jpg", "\xff\xd8\xff\xe0", "image/jpeg", "inline; filename=photo.jpg"},
		{"x.gif", "GIF89a", "image/gif", "inline; filename=x.gif"},
		{"x.webp", "RIFF\x00\x00\x00\x00WEBPVP", "image/webp", "inline; filename=x.webp"},
		{"page.txt", "<!DOCTYPE html><script>alert(1)</script>", "application/octet-stream", "attachment; filename=page.txt"},
		{"page.png", "<html><script>alert(1)</script>", "application/octet-stream", "attachment; filename=page.png"},
		{"image.svg", `<?xml version="1.0"?><svg onload="alert(1)"/>`, "application/octet-stream", "attachment; filename=image.svg"},
		{"image2.svg", `<svg onload="alert(1)"/>`, "text/plain; charset=utf-8", "inline; filename=image2.svg"}, // shown as text
		{"report.pdf", "%PDF-1.7", "application/octet-stream", "attachment; filename=report.pdf"},
		{"a.zip", "PK\x03\x04", "application/octet-stream", "attachment; filename=a.zip"},
		{"x.bin", "\x00\x01\x02", "application/octet-stream", "attachment; filename=x.bin"},
		{"straße \"1\".txt", "x", "text/plain; charset=utf-8", `inline; filename="stra_e _1_.txt"; filename*=UTF-8''stra%C3%9Fe%20_1_.txt`},
	}
	parts := make([]formPart, len(files))
	for i, f := range files {
		parts[i] = formPart{"files", f.name, f.content}
	}
	id := w.upload(parts...)
	for i, f := range files {
		path := fmt.Sprintf("/workflow-runs/%s/files/%d/content", id, i)
		got := w.get(w.user, path)
		require.Equal(t, http.StatusOK, got.status, f.name)
		require.Equal(t, f.content, got.text(), f.name)
		require.Equal(t, f.contentType, got.header.Get("Content-Type"), f.name)
		require.Equal(t, f.disposition, got.header.Get("Content-Disposition"), f.name)
		require.Contains(t, got.header.Get("Content-Security-Policy"), "sandbox", f.name)
		same := w.get(w.user, path, header("If-None-Match", got.header.Get("ETag")))
		require.Equal(t, http.StatusNotModified, same.status)
		require.Empty(t, same.body)
		require.Equal(t, f.contentType, w.head(path).Get("Content-Type"), f.name)
	}
	for _, index := range []string{"14", "-1", "00", "x"} {
		got := w.get(w.user, "/workflow-runs/"+id+"/files/"+index+"/content")
		require.Equal(t, "file_not_found", got.str("code"))
	}
	require.Equal(t, "run_not_found", w.get(w.user, "/workflow-runs/none/files/0/content").str("code"))
	path := "/workflow-runs/" + id + "/files/0/content"
	require.Equal(t, "wrong_tenant", w.get(w.stranger, path).str("code"))
	require.Equal(t, "unauthenticated", w.get("", path).str("code"))
}

// A content that is lost is a 404 that says so; one that cannot be read is a 500; one that
// is damaged breaks the answer off, so that no client takes it for the file.
func TestContentThatIsNotThere(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.upload(formPart{"files", "a.txt", strings.Repeat("a", 100_000)})
	path := "/workflow-runs/" + id + "/files/0/content"

	w.files.opened(func(io.ReadCloser) (io.ReadCloser, error) { return nil, ports.ErrNotFound })
	got := w.get(w.user, path)
	require.Equal(t, http.StatusNotFound, got.status)
	require.Contains(t, got.str("detail"), "gone")

	w.files.opened(func(c io.ReadCloser) (io.ReadCloser, error) { return failingAfter(c, 0), nil })
	got = w.get(w.user, path)
	require.Equal(t, http.StatusInternalServerError, got.status)
	require.Empty(t, got.header.Get("Content-Disposition"))
	require.Empty(t, got.header.Get("ETag"))

	w.files.opened(func(c io.ReadCloser) (io.ReadCloser, error) { return failingAfter(c, 99_999), nil })
	resp, err := w.client.Do(w.request(call{method: http.MethodGet, path: path, token: w.user}))
	require.NoError(t, err)
	_, err = io.ReadAll(resp.Body)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	require.NoError(t, resp.Body.Close())
	require.Contains(t, w.logs.String(), "the content is not what was stored")
}

// failing is a content that fails after some bytes.
type failing struct {
	io.Closer
	content io.Reader
}

func failingAfter(c io.ReadCloser, bytes int64) io.ReadCloser {
	return failing{c, io.MultiReader(io.LimitReader(c, bytes), broken{})}
}

// Read implements io.Reader.
func (f failing) Read(p []byte) (int, error) { return f.content.Read(p) }

type broken struct{}

// Read implements io.Reader.
func (broken) Read([]byte) (int, error) { return 0, errors.New("the content is not what was stored") }

// outputsOf gets all outputs of a run.
func (w *world) outputsOf(id, format string) answer {
	w.t.Helper()
	got := w.get(w.user, "/workflow-runs/"+id+"/outputs?format="+format)
	require.Equal(w.t, http.StatusOK, got.status, got.text())
	require.Equal(w.t, "attachment; filename=redrive-"+id+"."+format, got.header.Get("Content-Disposition"))
	require.Contains(w.t, got.header.Get("Content-Security-Policy"), "sandbox")
	return got
}

// unzipped gives an archive's files by name, and their names in order.
func unzipped(t *testing.T, body []byte) (files map[string]string, names []string) {
	t.Helper()
	archive, err := zip.NewReader(bytes.NewReader(body), int64(len(body)))
	require.NoError(t, err)
	files = map[string]string{}
	for _, f := range archive.File {
		in, err := f.Open()
		require.NoError(t, err)
		content, err := io.ReadAll(in)
		require.NoError(t, err)
		files[f.Name] = string(content)
		names = append(names, f.Name)
	}
	return files, names
}

type manifest struct {
	Run, Template, Status string
	Complete              bool
	Files                 []struct {
		Index       int
		Name        string
		Status      string
		Entry       string
		OutputBytes int
		Failure     *struct{ Code string }
	}
}

type outputLine struct {
	Index       int
	Name        string
	Size        int
	Status      string
	OutputBytes *int
	Output      *string
	Failure     *struct{ Code, Message string }
}

func lines(t *testing.T, text string) (list []outputLine) {
	t.Helper()
	for line := range strings.Lines(text) {
		var l outputLine
		require.NoError(t, json.Unmarshal([]byte(line), &l), line)
		list = append(list, l)
	}
	return list
}

func TestOutputsOfARun(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	long := "x" + strings.Repeat("ü\x01\"\n", 20_000) // 100,001 bytes, pieces end within characters
	w.script.set("fail-b", core.OutcomeTransient)
	id := w.upload(
		formPart{"files", "a.txt", "=cmd|' /c calc'!a1"}, formPart{"files", "fail-b", "b"},
		formPart{"files", "=sub/a.txt", "<b>&\u2028"}, formPart{"files", "long", long},
	)

	t.Run("WhileItRuns", func(t *testing.T) {
		got := w.outputsOf(id, "jsonl")
		require.Equal(t, "RUNNING", got.header.Get("Redrive-Run-Status"))
		list := lines(t, got.text())
		require.Len(t, list, 4)
		require.Equal(t, "pending", list[3].Status)
		require.Nil(t, list[3].Output)
		files, names := unzipped(t, w.outputsOf(id, "zip").body)
		require.Equal(t, []string{"manifest.json"}, names)
		var m manifest
		require.NoError(t, json.Unmarshal([]byte(files["manifest.json"]), &m))
		require.False(t, m.Complete)
		require.Equal(t, "RUNNING", m.Status)
		require.Len(t, m.Files, 4)
	})
	w.work()

	t.Run("JSONLines", func(t *testing.T) {
		got := w.outputsOf(id, "jsonl")
		require.Equal(t, "application/jsonl", got.header.Get("Content-Type"))
		require.Equal(t, "COMPLETED_WITH_ERRORS", got.header.Get("Redrive-Run-Status"))
		list := lines(t, got.text())
		require.Len(t, list, 4)
		require.Equal(t, "=CMD|' /C CALC'!A1", *list[0].Output)
		require.Equal(t, "failed", list[1].Status)
		require.Equal(t, "scripted", list[1].Failure.Code)
		require.Nil(t, list[1].Output)
		require.Equal(t, "<B>&\u2028", *list[2].Output)
		require.Equal(t, strings.ToUpper(long), *list[3].Output)
		require.Equal(t, 100_001, *list[3].OutputBytes)
	})
	t.Run("ZIP", func(t *testing.T) {
		got := w.outputsOf(id, "zip")
		require.Equal(t, "application/zip", got.header.Get("Content-Type"))
		files, names := unzipped(t, got.body)
		require.Equal(t, []string{"00001-a.txt", "00003-a.txt", "00004-long.txt", "manifest.json"}, names)
		require.Equal(t, strings.ToUpper(long), files["00004-long.txt"])
		var m manifest
		require.NoError(t, json.Unmarshal([]byte(files["manifest.json"]), &m))
		require.True(t, m.Complete)
		require.Equal(t, id, m.Run)
		require.Equal(t, "summarise", m.Template)
		require.Len(t, m.Files, 4)
		require.Equal(t, "00004-long.txt", m.Files[3].Entry)
		require.Equal(t, 100_001, m.Files[3].OutputBytes)
		require.Empty(t, m.Files[1].Entry)
		require.Equal(t, "scripted", m.Files[1].Failure.Code)
	})
	t.Run("CSV", func(t *testing.T) {
		got := w.outputsOf(id, "csv")
		require.Equal(t, "text/csv; charset=utf-8", got.header.Get("Content-Type"))
		rows, err := csv.NewReader(bytes.NewReader(got.body)).ReadAll()
		require.NoError(t, err)
		require.Len(t, rows, 5)
		require.Equal(t, []string{"index", "name", "bytes", "status", "retries_used", "free_retries", "max_retries", "failure_code", "failure", "output"}, rows[0])
		require.Equal(t, []string{"0", "a.txt", "18", "completed", "0", "0", "3", "", "", "'=CMD|' /C CALC'!A1"}, rows[1])
		require.Equal(t, []string{"1", "fail-b", "1", "failed", "0", "0", "3", "scripted", "the script says so", ""}, rows[2])
		require.Equal(t, "'=sub/a.txt", rows[3][1])
	})
	t.Run("ByAccept", func(t *testing.T) {
		for accept, want := range map[string]string{
			"*/*": "application/jsonl", "text/*": "text/csv; charset=utf-8", "application/zip": "application/zip",
			"application/x-ndjson": "application/jsonl", "text/csv;q=0.9, application/zip;q=0.5": "text/csv; charset=utf-8",
			"application/zip, */*;q=0.1": "application/zip", "application/jsonl;q=0, */*": "text/csv; charset=utf-8",
			"nonsense, text/csv": "text/csv; charset=utf-8", "text/csv;q=2, application/zip;q=0.2": "application/zip",
		} {
			got := w.get(w.user, "/workflow-runs/"+id+"/outputs", header("Accept", accept))
			require.Equal(t, want, got.header.Get("Content-Type"), accept)
			require.Equal(t, "Accept", got.header.Get("Vary"))
		}
		for _, accept := range []string{"image/png", "application/zip;q=0", "*/*;q=0", ""} {
			got := w.get(w.user, "/workflow-runs/"+id+"/outputs", header("Accept", accept))
			require.Equal(t, http.StatusNotAcceptable, got.status, accept)
			require.Equal(t, "not_acceptable", got.str("code"))
		}
		got := w.get(w.user, "/workflow-runs/"+id+"/outputs?format=csv", header("Accept", "application/zip"))
		require.Equal(t, "text/csv; charset=utf-8", got.header.Get("Content-Type"))
	})
	t.Run("Refusals", func(t *testing.T) {
		path := "/workflow-runs/" + id + "/outputs"
		for _, bad := range []string{"?format=xlsx", "?format=ZIP", "?format=zip&format=csv"} {
			require.Equal(t, "invalid_request", w.get(w.user, path+bad).str("code"), bad)
		}
		require.Equal(t, "run_not_found", w.get(w.user, "/workflow-runs/none/outputs").str("code"))
		require.Equal(t, "wrong_tenant", w.get(w.stranger, path).str("code"))
		require.Equal(t, "unauthenticated", w.get("", path).str("code"))
		require.Equal(t, "COMPLETED_WITH_ERRORS", w.head(path).Get("Redrive-Run-Status"))
	})
}

// A fault while outputs are being sent breaks the answer off, and the places of downloads
// are free again afterwards.
func TestOutputsBreakOff(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *options) { o.app.MaxTenantDownloads = 1 })
	sizes := make([]int, 200)
	for i := range sizes {
		sizes[i] = 10_000
	}
	id := w.sized(sizes...)
	for _, format := range []string{"zip", "jsonl", "csv"} {
		path := "/workflow-runs/" + id + "/outputs?format=" + format
		w.store.failViews(1, ports.ErrUnavailable) // the run, and no more
		got := w.get(w.user, path)
		require.Equal(t, "unavailable", got.str("code"))
		require.Empty(t, got.header.Get("Content-Disposition"))
		require.Empty(t, got.header.Get("Redrive-Run-Status"))

		w.store.failViews(3, ports.ErrUnavailable) // the run and two pages
		resp, err := w.client.Do(w.request(call{method: http.MethodGet, path: path, token: w.user}))
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, resp.StatusCode)
		_, err = io.ReadAll(resp.Body)
		require.Error(t, err, format)
		require.NoError(t, resp.Body.Close())
	}
	w.store.failViews(0, nil)
	require.Len(t, lines(t, w.outputsOf(id, "jsonl").text()), 200)

	held, err := w.svc.Outputs(context.Background(), core.System, core.RunID(id))
	require.NoError(t, err)
	got := w.get(w.user, "/workflow-runs/"+id+"/outputs")
	require.Equal(t, http.StatusTooManyRequests, got.status)
	require.Equal(t, "too_many_downloads", got.str("code"))
	require.NotEmpty(t, got.header.Get("Retry-After"))
	held.Close()
	held.Close()
	require.Equal(t, http.StatusOK, w.get(w.user, "/workflow-runs/"+id+"/outputs").status)
}
