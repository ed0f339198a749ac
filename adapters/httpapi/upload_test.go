package httpapi_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/internal/testkit/install"
	"github.com/redrive/redrive/ports"
)

// rawPart is a part of a form whose header is written out.
type rawPart struct{ header, content string }

func rawFile(disposition, content string) rawPart {
	return rawPart{`Content-Disposition: form-data; name="files"; ` + disposition, content}
}

func (w *world) raw(parts []rawPart, opts ...option) answer {
	w.t.Helper()
	var b bytes.Buffer
	for _, p := range parts {
		fmt.Fprintf(&b, "--limit\r\n%s\r\n\r\n%s\r\n", p.header, p.content)
	}
	b.WriteString("--limit--\r\n")
	req := w.request(call{
		method: http.MethodPost, path: "/workflow-runs?template=summarise", token: w.user,
		contentType: "multipart/form-data; boundary=limit", body: b.Bytes(),
	})
	// The validator of the document's requests takes no part without a plain name.
	return w.exchange(req)
}

// names gives the names of a run's files.
func (w *world) names(created answer) (names []string) {
	w.t.Helper()
	require.Equal(w.t, http.StatusCreated, created.status, created.text())
	for _, f := range w.get(w.user, created.header.Get("Location")).at("files").([]any) {
		names = append(names, f.(map[string]any)["name"].(string))
	}
	return names
}

// sub/readme.txt is not other/readme.txt: folders are part of a name, as browsers send
// them for a folder that was dropped on a page.
func TestUploadNamesKeepFolders(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	got := w.raw([]rawPart{
		rawFile(`filename="sub/readme.txt"`, "one"),
		rawFile(`filename="other/readme.txt"`, "two"),
		rawFile(`filename="a \"quoted\" name.txt"`, "three"),
		rawFile(`filename="back\\slash.txt"`, "four"),
		rawFile(`filename="ascii.txt"; filename*=UTF-8''K%C3%A4se%2Fbrie.txt`, "five"),
		rawFile(`filename=Käse.txt`, "six"),
		rawFile(`filename="Käse und Brot.txt"`, "seven"),
	})
	if got.status == http.StatusBadRequest { // a name beyond ASCII has to be quoted
		require.Equal(t, []string{"body"}, got.fields())
		got = w.raw([]rawPart{
			rawFile(`filename="sub/readme.txt"`, "one"), rawFile(`filename="other/readme.txt"`, "two"),
			rawFile(`filename="a \"quoted\" name.txt"`, "three"), rawFile(`filename="back\\slash.txt"`, "four"),
			rawFile(`filename*=UTF-8''K%C3%A4se%2Fbrie.txt`, "five"), rawFile(`filename="Käse und Brot.txt"`, "seven"),
		})
	}
	require.Equal(t, []string{
		"sub/readme.txt", "other/readme.txt", `a "quoted" name.txt`, `back\slash.txt`, "Käse/brie.txt", "Käse und Brot.txt",
	}, w.names(got))
	inline := w.post(w.user, "/workflow-runs", inline("summarise", "sub/readme.txt", "other/readme.txt"))
	require.Equal(t, []string{"sub/readme.txt", "other/readme.txt"}, w.names(inline))
}

// A refused file name is answered with its mistake and its file.
func TestUploadNamesRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	got := w.refused(http.StatusBadRequest, core.CodeInvalidRequest, func() answer {
		return w.raw([]rawPart{
			rawFile(`filename="good.txt"`, "x"),
			rawFile(`filename=""`, "x"),
			rawFile(`filename="`+strings.Repeat("n", 256)+`"`, "x"),
			rawFile("filename=\"tab\t.txt\"", "x"),
			rawFile("filename=\"latin\xe9.txt\"", "x"),
			rawFile(`filename="../../etc/passwd"`, "x"),
			rawFile(`filename="/etc/passwd"`, "x"),
			rawFile(`filename="  "`, "x"),
		})
	})
	for i, says := range []string{"is empty", "has 256 characters", "U+0009", "is not UTF-8", "leads out", "leads out", "blanks only"} {
		require.Equal(t, fmt.Sprintf("files[%d].name", i+1), got.str("errors", i, "field"))
		require.Contains(t, got.str("errors", i, "message"), says)
	}
	// Other names are not valid in a header, which ends the form.
	got = w.refused(http.StatusBadRequest, core.CodeInvalidRequest, func() answer {
		return w.raw([]rawPart{rawFile(`filename="good.txt"`, "x"), rawFile("filename=\"bell\a.txt\"", "x")})
	})
	require.Equal(t, []string{"files[1]"}, got.fields())
	require.Contains(t, got.str("errors", 0, "message"), "control character")
	got = w.refused(http.StatusBadRequest, core.CodeInvalidRequest, func() answer {
		return w.post(w.user, "/workflow-runs", inline("summarise", "a", "b\x00", "../c"))
	})
	require.Equal(t, []string{"files[1].name", "files[2].name"}, got.fields())
}

// Mail's encodings are decoded or refused, and never stored as they are.
func TestUploadEncodings(t *testing.T) {
	t.Parallel()
	encoded := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("first text ", 300)))
	lines := encoded[:76] + "\r\n" + encoded[76:1000] + "\r\n" + encoded[1000:] + "\r\n"
	part := func(encoding, content string) rawPart {
		p := rawFile(`filename="a.txt"`, content)
		p.header += "\r\nContent-Transfer-Encoding: " + encoding
		return p
	}
	for name, c := range map[string]struct {
		part rawPart
		want string // empty: refused
	}{
		"Base64":             {part("base64", lines), strings.Repeat("first text ", 300)},
		"Base64OtherCase":    {part("BASE64", "aGk="), "hi"},
		"Base64Empty":        {part("base64", ""), ""},
		"Base64Broken":       {part("base64", "aGk?"), "refused"},
		"Base64CutShort":     {part("base64", encoded[:1001]), "refused"},
		"Base64AndMore":      {part("base64", "aGk=aGk="), "refused"},
		"Base64AndMoreAfter": {part("base64", encoded[:1020]+"aGk="+"\r\n"+"more"), "refused"},
		"QuotedPrintable":    {part("quoted-printable", "K=C3=A4se"), "Käse"},
		"Binary":             {part("binary", "aGk="), "aGk="},
		"EightBit":           {part("8bit", "Käse"), "Käse"},
		"Unknown":            {part("x-uuencode", "aGk="), "refused"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			send := func() answer { return w.raw([]rawPart{c.part}) }
			if c.want == "refused" {
				require.Equal(t, []string{"files[0]"}, w.refused(http.StatusBadRequest, core.CodeInvalidRequest, send).fields())
				return
			}
			got := send()
			require.Equal(t, http.StatusCreated, got.status, got.text())
			w.work()
			require.Equal(t, strings.ToUpper(c.want), w.get(w.user, got.header.Get("Location")).str("files", 0, "output"))
		})
	}
	t.Run("Field", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		retries := rawPart{"Content-Disposition: form-data; name=\"maxRetryCount\"\r\nContent-Transfer-Encoding: base64", "MTE="}
		got := w.refused(http.StatusBadRequest, core.CodeInvalidRequest, func() answer {
			return w.raw([]rawPart{retries, rawFile(`filename="a"`, "x")})
		})
		require.Equal(t, []string{"maxRetryCount"}, got.fields())
		require.Contains(t, got.str("errors", 0, "message"), "1 to 10", "11 was read")
	})
	t.Run("Disposition", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		got := w.refused(http.StatusBadRequest, core.CodeInvalidRequest, func() answer {
			return w.raw([]rawPart{rawFile(`filename="a"; filename="b"`, "x")})
		})
		require.Contains(t, got.str("errors", 0, "message"), "Content-Disposition")
	})
}

// Half of a surrogate pair is refused and not replaced by U+FFFD.
func TestLoneSurrogates(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	body := func(name, text string) string {
		return `{"template":"summarise","files":[{"name":"` + name + `","text":"` + text + `"}]}`
	}
	for _, c := range []struct{ name, text, field string }{
		{"a", `x\ud83d`, "files[0].text"},
		{"a", `\ude00\ud83d`, "files[0].text"},
		{"a", `\\\ud83dx`, "files[0].text"},
		{`a\uD83D`, "x", "files[0].name"},
		{"a", `\ud83d\u0041`, "files[0].text"},
		{"a", `\ud83d\n\ude00`, "files[0].text"},
	} {
		got := w.refused(http.StatusBadRequest, core.CodeInvalidRequest, func() answer {
			return w.post(w.user, "/workflow-runs", body(c.name, c.text))
		})
		require.Equal(t, []string{c.field}, got.fields(), c.text)
	}
	for text, want := range map[string]string{
		`\ud83d\ude00`: "😀", `\\ud83d`: `\UD83D`, `\u00e9\ud83d\ude00\u00e9`: "É😀É", `\ufffd`: "\uFFFD",
	} {
		got := w.post(w.user, "/workflow-runs", body("a", text))
		require.Equal(t, http.StatusCreated, got.status, got.text())
		w.work()
		require.Equal(t, want, w.get(w.user, got.header.Get("Location")).str("files", 0, "output"))
	}
}

// picky takes text of up to 40 bytes.
type picky struct{ *script }

func (picky) MaxFileBytes() int64 { return 40 }

func (picky) Accept(_ string, content []byte) *core.Failure {
	if strings.TrimSpace(string(content)) == "" {
		return &core.Failure{Code: "file_empty", Message: "the file is empty; send text"}
	}
	return nil
}

// Files that no model can process are refused at the upload, each by its name.
func TestUploadRefusesWhatTheExecutorDoesNotTake(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *options) { o.executor = func(s *script) ports.Executor { return picky{s} } })
	template := formPart{field: "template", content: "summarise"}
	file := func(name, content string) formPart { return formPart{"files", name, content} }
	parts := []formPart{template, file("empty.txt", ""), file("good.txt", "text"), file("blank.txt", " \r\n\t"), file("fine.txt", "text")}
	inline := map[string]any{"template": "summarise", "files": []map[string]any{
		{"name": "empty.txt", "text": ""}, {"name": "good.txt", "text": "text"}, {"name": "blank.txt", "text": " \n"},
	}}
	for _, ask := range []func() answer{
		func() answer { return w.form(w.user, "/workflow-runs", parts) },
		func() answer { return w.post(w.user, "/workflow-runs", inline) },
	} {
		got := w.refused(http.StatusBadRequest, core.CodeInvalidRequest, ask)
		require.Equal(t, []string{"files[0]", "files[2]"}, got.fields())
		require.Equal(t, `"blank.txt": the file is empty; send text`, got.str("errors", 1, "message"))
	}
	// The limit that is stated is the one that holds, for the executor as well.
	got := w.refused(http.StatusRequestEntityTooLarge, core.CodePayloadTooLarge, func() answer {
		return w.form(w.user, "/workflow-runs", append(parts, file("long.txt", strings.Repeat("x", 41)), file("last.txt", "")))
	})
	require.Equal(t, []string{"files[0]", "files[2]", "files[4]", "files[5]"}, got.fields())
	require.Contains(t, got.str("detail"), "at most 40 bytes")

	// A few thousand lines are of no use.
	many := []formPart{template}
	for i := range 30 {
		many = append(many, file(fmt.Sprint("f", i), ""))
	}
	got = w.refused(http.StatusBadRequest, core.CodeInvalidRequest, func() answer { return w.form(w.user, "/workflow-runs", many) })
	require.Len(t, got.fields(), 20)
	require.Zero(t, w.files.kept())
	require.Equal(t, http.StatusCreated, w.form(w.user, "/workflow-runs", []formPart{template, file("a", "text"), file("b", strings.Repeat("x", 40))}).status)
}

// Template and credits are checked before a byte is stored.
func TestUploadChecksBeforeStoring(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.template("dear", 1000, core.ModePerFile)
	for template, want := range map[string]struct {
		status int
		code   core.Code
	}{"dear": {402, core.CodeInsufficientCredits}, "nope": {404, core.CodeTemplateNotFound}} {
		parts := []formPart{{field: "template", content: template}, {"files", "a", strings.Repeat("x", 100_000)}}
		w.refused(want.status, want.code, func() answer { return w.form(w.user, "/workflow-runs", parts) })
		w.refused(want.status, want.code, func() answer { return w.form(w.user, "/workflow-runs?template="+template, parts[1:]) })
		w.refused(want.status, want.code, func() answer { return w.post(w.user, "/workflow-runs", inline(template, "a")) })
	}
	require.Zero(t, w.files.written())
	// What is refused later leaves nothing stored: see refused.
	w.refused(http.StatusBadRequest, core.CodeInvalidRequest, func() answer {
		return w.form(w.user, "/workflow-runs", []formPart{{field: "template", content: "summarise"}, {"files", "a", "x"}, {field: "nonsense", content: "1"}})
	})
	require.Equal(t, 1, w.files.written())
	require.Zero(t, w.files.kept())
}

// An upload of more files than the credits cover ends at the first that they do not: a
// tenant without credits cannot fill the storage. Globex has 7 credits.
func TestUploadEndsWithTheCredits(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	install.Template(t, w.svc, globex, core.Template{ID: "own", Instructions: "Do it.", CreditsPerRun: 3})
	parts := []formPart{{field: "template", content: "own"}}
	for range 100 {
		parts = append(parts, formPart{"files", "a", strings.Repeat("x", 1000)})
	}
	got := w.refused(http.StatusPaymentRequired, core.CodeInsufficientCredits, func() answer { return w.form(w.stranger, "/workflow-runs", parts) })
	require.Equal(t, 9, got.int("needed"))
	require.Equal(t, 7, got.int("available"))
	require.Equal(t, 2, w.files.written())
	require.Equal(t, http.StatusCreated, w.form(w.stranger, "/workflow-runs", parts[:3]).status)
}

// A client that disconnects during its upload leaves nothing stored.
func TestUploadBrokenOff(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	whole, contentType := formBody(t, []formPart{{field: "template", content: "summarise"}, {"files", "a", "text"}, {"files", "b", strings.Repeat("x", 1<<20)}})
	body, feed := io.Pipe()
	ctx, cancel := context.WithCancel(t.Context())
	req := w.request(call{method: http.MethodPost, path: "/workflow-runs", token: w.user, contentType: contentType})
	req = req.WithContext(ctx)
	req.Body, req.GetBody, req.ContentLength = body, nil, int64(len(whole))
	gone := make(chan error, 1)
	go func() {
		resp, err := w.client.Do(req)
		if err == nil {
			err = resp.Body.Close()
		}
		gone <- err
	}()
	_, err := feed.Write(whole[:len(whole)/2])
	require.NoError(t, err)
	require.Eventually(t, func() bool { return w.files.kept() == 1 }, 10*time.Second, time.Millisecond)
	cancel()
	require.NoError(t, feed.CloseWithError(errors.New("gone")))
	require.Error(t, <-gone)
	require.Eventually(t, func() bool { return w.files.kept() == 0 }, 10*time.Second, time.Millisecond)
}

// A full disk is logged for the operator, and nothing of the upload stays.
func TestUploadWithoutRoom(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.files.fail(errors.Join(ports.ErrFull, fmt.Errorf("disk 7 of host 10.0.0.8: %w", syscall.ENOSPC)))
	for _, ask := range []func() answer{
		func() answer {
			return w.form(w.user, "/workflow-runs", []formPart{{field: "template", content: "summarise"}, {"files", "a", "text"}})
		},
		func() answer { return w.post(w.user, "/workflow-runs", inline("summarise", "a")) },
	} {
		got := w.refused(http.StatusInsufficientStorage, "storage_full", ask)
		require.NotContains(t, got.text(), "10.0.0.8")
	}
	require.Contains(t, w.logs.String(), "10.0.0.8")
}

func TestUploadQuota(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *options) { o.app.MaxTenantUploadBytes = 10 })
	got := w.refused(http.StatusTooManyRequests, core.CodeUploadQuotaExceeded, func() answer {
		return w.form(w.user, "/workflow-runs", []formPart{{field: "template", content: "summarise"}, {"files", "a", "12345678"}, {"files", "b", "123"}})
	})
	require.Equal(t, "1", got.header.Get("Retry-After"))
	for range 3 { // what became a run counts no more
		require.Equal(t, http.StatusCreated, w.form(w.user, "/workflow-runs", []formPart{{field: "template", content: "summarise"}, {"files", "a", "1234567890"}}).status)
	}
}
