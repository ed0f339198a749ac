package webui_test

import (
	"archive/zip"
	"bytes"
	"encoding/csv"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/cmd/server/fakellm"
)

// Text of tenants and models is displayed and never interpreted as HTML.
func TestHostileNamesAndOutputs(t *testing.T) { onEachStore(t, hostileNamesAndOutputs) }

func hostileNamesAndOutputs(t *testing.T, on store) {
	const script = `<script>document.title = "stolen"</script>`
	output := script + "\u202egnp.exe" + strings.Repeat("A", 4096) + `"'><img src=x onerror=alert(1)>`
	w := newWorld(t, on, func(o *options) {
		o.script = func(in fakellm.Request) fakellm.Action {
			if strings.Contains(in.File, "refuse") {
				return fakellm.Refuse(script)
			}
			return fakellm.Answer(output)
		}
	})
	names := []string{
		script + ".txt", `"><img src=x onerror=alert(1)>.txt`, "invoice\u202efdp.exe", "etc/passwd", "=HYPERLINK(\"http://evil.example\").txt",
		strings.Repeat("x", 251) + ".txt", "תשלום.txt", "refuse " + script,
	}
	id := w.closed(names...)
	b := w.browser(t)
	b.signIn("admin")
	for _, path := range []string{"", "/receipt", "/files/0", "/files/7"} {
		b.Open("/ui/runs/" + string(id) + path)
		b.Until(`document.readyState === "complete"`)
		require.NotEqual(t, "stolen", eval[string](b, `document.title`))
		require.Zero(t, eval[int](b, `document.querySelectorAll("main script, main img").length`))
		b.accessible(path, looks[0])
	}
	b.Open("/ui/runs/" + string(id))
	require.Contains(t, b.Text("#files"), "<script>document.title")
	require.Contains(t, b.Text("#files"), "invoice[U+202E]fdp.exe", "a name cannot change the direction of the text around it")
	b.Open("/ui/runs/" + string(id) + "/files/0")
	require.Contains(t, b.Text("pre"), script)

	v := w.signedIn(ann)
	p := v.get("/ui/runs/" + string(id) + "/files/0/output")
	require.Equal(t, output, p.text)
	require.Contains(t, p.header.Get("Content-Disposition"), "attachment")
	require.Contains(t, p.header.Get("Content-Type"), "text/plain")
	require.Contains(t, p.header.Get("Content-Security-Policy"), "sandbox")

	p = v.get("/ui/runs/" + string(id) + "/outputs.zip")
	archive, err := zip.NewReader(bytes.NewReader([]byte(p.text)), int64(len(p.text)))
	require.NoError(t, err)
	require.Len(t, archive.File, 8)
	require.Equal(t, "manifest.json", archive.File[7].Name)
	for i, f := range archive.File[:7] {
		require.Equal(t, fmt.Sprintf("%05d-", i+1), f.Name[:6])
		require.NotContains(t, f.Name, "/")
		require.NotContains(t, f.Name, "\u202e")
		require.LessOrEqual(t, len(f.Name), 140)
	}
	p = v.get("/ui/runs/" + string(id) + "/outputs.jsonl")
	require.Equal(t, 8, strings.Count(p.text, "\n"))
	require.Contains(t, p.header.Get("Content-Disposition"), "attachment")
	require.Contains(t, v.get("/ui/runs/"+string(id)).text, `href="/ui/runs/`+string(id)+`/outputs.jsonl" download`)
	p = v.get("/ui/runs/" + string(id) + "/files.csv")
	rows, err := csv.NewReader(strings.NewReader(p.text)).ReadAll()
	require.NoError(t, err)
	require.Len(t, rows, 9)
	require.Equal(t, `'=HYPERLINK("http://evil.example").txt`, rows[5][1], "no spreadsheet takes it for a formula")
}

// A run of ten thousand files stays usable: pages of a hundred, by status, by name.
func TestTenThousandFiles(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *options) { o.workers = -1 })
	w.purchase(acme, "many", 20_000)
	id := w.run(manyNames(10_000)...)
	v := w.signedIn(ann)
	run := "/ui/runs/" + string(id)
	p := v.get(run)
	require.Equal(t, 100, strings.Count(p.text, `class="row-link"`))
	require.Contains(t, p.text, "1–100 of 10,000")
	require.Less(t, len(p.text), 150_000)
	require.Contains(t, v.get(run+"?from=9900").text, "9,901–10,000 of 10,000")
	require.Contains(t, v.get(run+"?files=waiting&from=5000").text, "page-5001.txt")
	require.Contains(t, v.get(run+"?files=failed").text, "No files with this status.")
	p = v.get(run + "?name=PAGE-77")
	require.Contains(t, p.text, "page-7799.txt")
	require.NotContains(t, p.text, "page-0001.txt")
	require.Contains(t, v.get(run+"/receipt?from=9950").text, "page-9951.txt")
	require.Equal(t, 10_001, strings.Count(v.get(run+"/files.csv").text, "\n"))
}

func TestUploadIsRefusedWithoutLosingAnything(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *options) { o.page.MaxFileBytes = 20 })
	v := w.signedIn(ann)
	before := w.balance(acme)
	send := func(fields map[string]string, files map[string]string) shown {
		p := v.upload(fields, files)
		require.Equal(t, before, w.balance(acme))
		return p
	}
	t.Run("Files", func(t *testing.T) {
		p := send(map[string]string{"key": "a", "template": "summarise", "retries": "7"},
			map[string]string{"large.txt": strings.Repeat("x", 21), "empty.txt": "", "fine.txt": "fine"})
		require.Equal(t, http.StatusUnprocessableEntity, p.status)
		require.Contains(t, p.text, "large.txt</bdi> <span class=\"error\">Larger than 20 bytes")
		require.Contains(t, p.text, "empty.txt</bdi> <span class=\"error\">Empty")
		require.NotContains(t, p.text, "fine.txt")
		require.Contains(t, p.text, `value="7"`)
		require.Regexp(t, `value="summarise"[^>]* selected`, p.text)
		require.Contains(t, p.text, "Choose the files again")
	})
	t.Run("Names", func(t *testing.T) {
		p := send(map[string]string{"key": "n", "template": "summarise", "retries": "3"}, map[string]string{"../../etc/passwd": "x", "fine.txt": "x"})
		require.Equal(t, http.StatusUnprocessableEntity, p.status)
		require.Contains(t, p.text, "../../etc/passwd</bdi> <span class=\"error\">")
	})
	t.Run("Retries", func(t *testing.T) {
		for _, retries := range []string{"0", "11", "x", ""} {
			p := send(map[string]string{"key": "b", "template": "summarise", "retries": retries}, map[string]string{"a.txt": "a"})
			require.Equal(t, http.StatusUnprocessableEntity, p.status)
			require.Contains(t, p.text, "A whole number from 1 to 10 is needed.")
		}
	})
	t.Run("Template", func(t *testing.T) {
		for _, template := range []string{"", "none", "../x"} {
			p := send(map[string]string{"key": "c", "template": template, "retries": "3"}, map[string]string{"a.txt": "a"})
			require.GreaterOrEqual(t, p.status, 400)
			require.Contains(t, p.text, `aria-invalid="true"`)
		}
	})
	t.Run("NoFiles", func(t *testing.T) {
		p := send(map[string]string{"key": "d", "template": "summarise", "retries": "3"}, nil)
		require.Contains(t, p.text, "Choose at least one file.")
	})
	t.Run("PriceChanged", func(t *testing.T) {
		p := send(map[string]string{"key": "e", "template": "summarise", "retries": "3", "shown.summarise": "1"}, map[string]string{"a.txt": "a"})
		require.Equal(t, http.StatusConflict, p.status)
		require.Contains(t, p.text, "It is 2 credits now.")
	})
	t.Run("InsufficientCredits", func(t *testing.T) {
		files := map[string]string{}
		for _, name := range manyNames(51) {
			files[name] = "x"
		}
		p := send(map[string]string{"key": "f", "template": "summarise", "retries": "3"}, files)
		require.Equal(t, http.StatusPaymentRequired, p.status)
		require.Contains(t, p.text, "2 credits short: it costs 102, and 100 are available.")
	})
	t.Run("NotAForm", func(t *testing.T) {
		p := v.post("/ui/runs/new", url.Values{"template": {"summarise"}})
		require.Equal(t, http.StatusUnprocessableEntity, p.status)
	})
	t.Run("ByScript", func(t *testing.T) {
		b := w.browser(t)
		b.signIn("admin")
		b.Open("/ui/runs/new")
		b.Until(`document.querySelector("#price").textContent.includes("Choose a template and files")`)
		b.drop("a.txt", "a-name-that-is-long.txt")
		require.Contains(t, b.Text("#picked"), "Larger than 20 B, the most that a file may have.")
		require.Contains(t, b.Text("#chosen"), "1 file chosen. 1 was refused and is left out.")
		w.price(5)
		b.Click("#start")
		b.Until(`document.querySelector("#e-template").textContent.includes("It is 5 credits now.")`)
		require.Contains(t, b.Text("#picked"), "a.txt", "what was chosen is still there")
		b.accessible("a refused upload", looks[0])
		require.Equal(t, before, w.balance(acme))
		require.Equal(t, "1 file × 5 credits = 5", b.Text("#price"), "the new price is shown")
		b.Click("#start")
		b.Until(`location.search.includes("notice=started")`)
		require.Equal(t, before-5, w.balance(acme))
	})
}

// The page in German, with its numbers, dates and plurals.
func TestGerman(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.purchase(acme, "thousands", 1234)
	id := w.closed("a-timeout.txt", "b.txt")
	v := w.signedIn(ann)
	v.post("/ui/preferences", url.Values{"lang": {"de"}, "back": {"/ui/runs"}})
	p := v.get("/ui/runs/" + string(id))
	require.Contains(t, p.text, `<html lang="de">`)
	require.Contains(t, p.text, "1 fehlgeschlagene Datei × 2 Credits = 2 (2 monatlich)")
	require.Contains(t, p.text, "Guthaben: 1.330 vorher, 1.328 nachher.")
	require.Contains(t, p.text, "Der Anbieter antwortete nicht rechtzeitig.")
	require.Regexp(t, `\d+\. \S+ 20\d\d, \d\d:\d\d`, p.text)
	for _, path := range []string{"/ui/runs", "/ui/runs/new", "/ui/credits", "/ui/templates", "/ui/nothing", "/ui/components"} {
		require.NotRegexp(t, `>[a-z]+\.[a-z.]+<`, v.get(path).text, "a key without a text on %s", path)
	}
	// By Accept-Language, without a choice of the user.
	req, err := http.NewRequest(http.MethodGet, w.server.URL+"/ui/sign-in", nil)
	require.NoError(t, err)
	req.Header.Set("Accept-Language", "de-AT,de;q=0.9,en;q=0.5")
	require.Contains(t, w.visitor().do(req).text, "Anmelden")
}

func TestTemplates(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	v, operator := w.signedIn(ann), w.signedIn(pat)
	require.NotContains(t, v.get("/ui/templates").text, "New template")
	require.Equal(t, http.StatusForbidden, v.get("/ui/templates/new").status)
	require.Equal(t, http.StatusForbidden, v.post("/ui/templates/new", url.Values{"name": {"x"}, "price": {"0"}, "mode": {"per_file"}}).status)
	require.Equal(t, http.StatusForbidden, v.post("/ui/templates/summarise/delete", nil).status)

	p := operator.post("/ui/templates/new?tenant=acme", url.Values{"name": {" "}, "price": {"x"}, "mode": {"per_file"}, "instructions": {"Keep me."}})
	require.Equal(t, http.StatusUnprocessableEntity, p.status)
	require.Contains(t, p.text, "Keep me.")
	require.Contains(t, p.text, "A whole number of credits, 0 or more, is needed.")
	p = operator.post("/ui/templates/new?tenant=acme", url.Values{"name": {"Totals"}, "price": {"3"}, "mode": {"per_file"}, "instructions": {"List all\r\nthe totals."}})
	require.Contains(t, p.text, "The draft is saved.")
	path := strings.Split(p.path, "?")[0]
	p = operator.post(path+"/publish?tenant=acme", nil)
	require.Contains(t, p.text, "Runs can use it now.")
	require.Contains(t, v.get("/ui/runs/new").text, "Totals · 3 credits per file")
	operator.post(path+"?tenant=acme", url.Values{"name": {"Totals"}, "price": {"4"}, "instructions": {"List all\r\nthe sums.\r\nBriefly."}})
	p = operator.get(path + "?tenant=acme&version=2")
	require.Contains(t, p.text, "From version 1 to 2")
	require.Contains(t, p.text, `<span class="diff-bad">- the totals.`)
	require.Contains(t, p.text, `<span class="diff-good">&#43; the sums.`)
	require.Contains(t, p.text, "  List all\n")
	p = operator.post(path+"/delete?tenant=acme", nil)
	require.Contains(t, p.text, "no new run can use it")
	require.NotContains(t, v.get("/ui/runs/new").text, "Totals")

	p = operator.post("/ui/tenants", url.Values{"id": {"acme"}, "name": {"Again"}, "allowance": {"0"}})
	require.Contains(t, p.text, "There is a tenant with this ID already.")
	p = operator.post("/ui/tenants", url.Values{"id": {"new-one"}, "name": {"New one"}, "allowance": {"10"}})
	require.Contains(t, p.text, "The tenant is created and has its monthly allowance.")
	require.Contains(t, operator.get("/ui/runs?tenant=new-one").text, "No runs yet")
	require.Equal(t, "/ui/tenants", operator.get("/ui/runs").path, "a platform admin chooses a tenant first")
}
