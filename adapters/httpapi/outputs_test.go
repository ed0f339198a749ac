package httpapi_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/httpapi"
	"github.com/redrive/redrive/core"
)

// sized is a run over files of these sizes, whose outputs are as long.
func (w *world) sized(sizes ...int) string {
	w.t.Helper()
	files := make([]map[string]any, len(sizes))
	for i, n := range sizes {
		files[i] = map[string]any{"name": fmt.Sprintf("f%d", i), "text": strings.Repeat("a", n)}
	}
	return w.done(files)
}

func (w *world) done(files []map[string]any) string {
	w.t.Helper()
	_, err := w.svc.PurchaseCredits(w.t.Context(), core.System, acme, "for-many-files", 1_000_000) // once
	require.NoError(w.t, err)
	created := w.post(w.admin, "/workflow-runs", map[string]any{"template": "summarise", "files": files})
	require.Equal(w.t, http.StatusCreated, created.status, created.text())
	w.work()
	return created.str("id")
}

// An answer carries outputs up to its bound and leaves out long ones; it gives the length
// and the address of each.
func TestOutputsInAnswers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const most = 16 << 10
	id := w.sized(10, most, most+1, 0, 100_000, 5)
	for _, path := range []string{"/workflow-runs/" + id, "/workflow-runs/" + id + "/files"} {
		got := w.get(w.user, path)
		for i, n := range []int{10, most, most + 1, 0, 100_000, 5} {
			file := got.at("files", i).(map[string]any)
			require.InDelta(t, n, file["outputBytes"], 0)
			require.Equal(t, fmt.Sprintf("/workflow-runs/%s/files/%d/output", id, i), file["outputUrl"])
			output, there := file["output"]
			require.Equal(t, n <= most, there, "%d bytes", n)
			if there {
				require.Len(t, output, n)
			}
		}
	}

	// A hundred that are short enough: the first sixteen have room.
	sizes := make([]int, 100)
	for i := range sizes {
		sizes[i] = most
	}
	id = w.sized(sizes...)
	for _, path := range []string{"/workflow-runs/" + id, "/workflow-runs/" + id + "/files?limit=50"} {
		got := w.get(w.user, path)
		require.Less(t, len(got.body), 300<<10)
		for i, f := range got.at("files").([]any) {
			_, there := f.(map[string]any)["output"]
			require.Equal(t, i < 16, there, i)
		}
	}
	page := w.get(w.user, "/workflow-runs/"+id+"/files?limit=10")
	next := w.get(w.user, "/workflow-runs/"+id+"/files?limit=10&cursor="+page.str("nextCursor"))
	require.Equal(t, 10, next.int("files", 0, "index"))
	require.Len(t, next.str("files", 9, "output"), most, "each answer has its own bound")
}

// A page of files with long names ends sooner than its limit, and none is left out.
func TestPagesOfFilesAreBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	files := make([]map[string]any, 1500)
	for i := range files {
		files[i] = map[string]any{"name": fmt.Sprintf("%04d", i) + strings.Repeat("😀", 251), "text": "x"}
	}
	id := w.done(files)
	got := w.get(w.user, "/workflow-runs/"+id+"?files=1000")
	require.Less(t, len(got.body), 2<<20)
	seen := len(got.at("files").([]any))
	require.Less(t, seen, 1000)
	for cursor := got.str("nextFilesCursor"); cursor != ""; {
		page := w.get(w.user, "/workflow-runs/"+id+"/files?limit=1000&cursor="+cursor)
		require.Less(t, len(page.body), 2<<20)
		for _, f := range page.at("files").([]any) {
			require.InDelta(t, seen, f.(map[string]any)["index"], 0)
			seen++
		}
		cursor, _ = page.json()["nextCursor"].(string)
	}
	require.Equal(t, len(files), seen)
}

func TestOutput(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.sized(1<<20, 3)
	path := "/workflow-runs/" + id + "/files/0/output"
	got := w.get(w.user, path)
	require.Equal(t, http.StatusOK, got.status)
	require.Equal(t, strings.Repeat("A", 1<<20), got.text())
	require.Equal(t, "text/plain; charset=utf-8", got.header.Get("Content-Type"))
	require.Equal(t, "1048576", got.header.Get("Content-Length"))
	require.Equal(t, "attachment; filename=f0.txt", got.header.Get("Content-Disposition"))
	require.Equal(t, "nosniff", got.header.Get("X-Content-Type-Options"))
	tag := got.header.Get("ETag")
	require.Regexp(t, `^"[0-9a-f]{32}"$`, tag)

	for _, match := range []string{tag, "W/" + tag, `"x", ` + tag, "*"} {
		same := w.get(w.user, path, header("If-None-Match", match))
		require.Equal(t, http.StatusNotModified, same.status, match)
		require.Empty(t, same.body)
		require.Equal(t, tag, same.header.Get("ETag"))
	}
	require.Equal(t, http.StatusOK, w.get(w.user, "/workflow-runs/"+id+"/files/1/output", header("If-None-Match", tag)).status)
	head, err := w.client.Do(w.request(call{method: http.MethodHead, path: path, token: w.user}))
	require.NoError(t, err)
	require.NoError(t, head.Body.Close())
	require.EqualValues(t, 1<<20, head.ContentLength)

	failed := w.closed("fail-a", "bad-b")
	waiting := w.start("a")
	for path, code := range map[string]string{
		"/workflow-runs/" + id + "/files/2/output":                    "file_not_found",
		"/workflow-runs/" + id + "/files/-1/output":                   "file_not_found",
		"/workflow-runs/" + id + "/files/00/output":                   "file_not_found",
		"/workflow-runs/" + id + "/files/+1/output":                   "file_not_found",
		"/workflow-runs/" + id + "/files/x/output":                    "file_not_found",
		"/workflow-runs/" + id + "/files/99999999999999999999/output": "file_not_found",
		"/workflow-runs/" + waiting + "/files/0/output":               "file_not_found",
		"/workflow-runs/" + failed + "/files/0/output":                "file_not_found",
		"/workflow-runs/" + failed + "/files/1/output":                "file_not_found",
		"/workflow-runs/unknown/files/0/output":                       "run_not_found",
		"/workflow-runs/" + id + "/files/0":                           "not_found",
		"/workflow-runs/" + id + "/files/0/outputs":                   "not_found",
	} {
		got := w.get(w.user, path)
		require.Equal(t, http.StatusNotFound, got.status, path)
		require.Equal(t, code, got.str("code"), path)
	}
	got = w.get(w.stranger, path)
	require.Equal(t, http.StatusForbidden, got.status)
	require.NotContains(t, got.text(), "AAA")
	require.Equal(t, http.StatusUnauthorized, w.get("", path).status)
}

// The name to save an output under is not a path, and has no control characters.
func TestOutputNames(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"report.pdf": "report.pdf.txt", "notes.txt": "notes.txt", "NOTES.TXT": "NOTES.TXT",
		"sub/folder/readme.md": "readme.md.txt", `C:\temp\a.doc`: "a.doc.txt", "../../etc/passwd": "passwd.txt",
		"..": "output.txt", "/": "_.txt", ".bashrc": "bashrc.txt", "a\r\nSet-Cookie: x=1": "aSet-Cookie_ x=1.txt",
		`a"; filename=b.exe`: "a_; filename=b.exe.txt", "evil\u202etxt.exe": "eviltxt.exe.txt", "über.txt": "über.txt",
		strings.Repeat("ä", 200): strings.Repeat("ä", 75) + ".txt", "\u200b": "output.txt", "con": "con.txt", "100%41": "100_41.txt",
	} {
		require.Equal(t, want, httpapi.OutputName(name), "%q", name)
	}
}

// A receipt of many files and attempts comes in pages, which together are complete.
func TestLongReceipts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.closed("a", "fail-b", "fail-c", "fail-d")
	for range 2 {
		require.Equal(t, http.StatusOK, w.post(w.admin, "/workflow-runs/"+id+"/retry-failed", nil).status)
		w.work()
	}
	path := "/workflow-runs/" + id + "/receipt"
	whole := w.get(w.user, path)
	require.NotContains(t, whole.text(), "nextCursor")
	lines := func(a answer) []string {
		var list []string
		for _, attempt := range a.at("attempts").([]any) {
			for _, f := range attempt.(map[string]any)["files"].([]any) {
				line, err := json.Marshal(f)
				require.NoError(t, err)
				list = append(list, fmt.Sprint(attempt.(map[string]any)["attempt"])+string(line))
			}
		}
		return list
	}
	require.Len(t, lines(whole), 10)
	for limit := 1; limit <= 11; limit++ {
		var all []string
		cursor, pages := "", 0
		for {
			page := w.get(w.user, fmt.Sprintf("%s?limit=%d&cursor=%s", path, limit, cursor))
			require.Equal(t, http.StatusOK, page.status)
			require.LessOrEqual(t, len(lines(page)), limit)
			require.Equal(t, whole.at("total"), page.at("total"))
			all = append(all, lines(page)...)
			pages++
			if cursor, _ = page.json()["nextCursor"].(string); cursor == "" {
				break
			}
		}
		require.Equal(t, lines(whole), all)
		require.Equal(t, (10+limit-1)/limit, pages)
	}
	for _, bad := range []string{"?limit=0", "?limit=10001", "?cursor=x", "?cursor=cjEvMQ", "?cursor=Yy0xLzA", "?limit=x"} {
		require.Equal(t, "invalid_request", w.get(w.user, path+bad).str("code"), bad)
	}
}

// A tenant with many long templates gets them in pages.
func TestManyTemplates(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const n = 60
	for i := range n {
		_, err := w.svc.CreateTemplate(context.Background(), core.System, core.Template{
			ID: core.TemplateID(fmt.Sprintf("t%02d", i)), Tenant: acme, Name: "n", Instructions: strings.Repeat("i", 100_000), CreditsPerRun: 1, Mode: core.ModeBatch,
		})
		require.NoError(t, err)
	}
	var ids []string
	after := ""
	for {
		page := w.get(w.user, "/templates?after="+after)
		require.Equal(t, http.StatusOK, page.status)
		require.Less(t, len(page.body), 5<<20)
		for _, tpl := range page.at("templates").([]any) {
			ids = append(ids, tpl.(map[string]any)["id"].(string))
		}
		if after, _ = page.json()["nextAfter"].(string); after == "" {
			break
		}
	}
	require.Len(t, ids, n+1)
	require.IsIncreasing(t, ids)
	require.Len(t, w.get(w.user, "/templates?limit=1").at("templates"), 1)
	require.Equal(t, "invalid_request", w.get(w.user, "/templates?limit=501").str("code"))
	require.Equal(t, "invalid_request", w.get(w.user, "/templates?after=a%20b").str("code"))
}
