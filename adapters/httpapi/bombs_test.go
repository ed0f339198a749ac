package httpapi_test

import (
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/httpapi"
	"github.com/redrive/redrive/core"
)

// Text that JSON can express and UTF-8 cannot is refused with the field's name, in any
// field.
func TestTextThatIsNotUTF8(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, c := range []struct {
		path, body, field, says string
	}{
		{"/templates?tenant=acme", `{"name":"\ud800","instructions":"","creditsPerRun":1,"mode":"batch"}`, "name", "surrogate"},
		{"/templates?tenant=acme", `{"name":"n","instructions":"a\udc00b","creditsPerRun":1,"mode":"batch"}`, "instructions", "surrogate"},
		{"/templates?tenant=acme", `{"name":"\ud83dx","instructions":"","creditsPerRun":1,"mode":"batch"}`, "name", "surrogate"},
		{"/templates?tenant=acme", `{"name":"\ud83d\ud83d","instructions":"","creditsPerRun":1,"mode":"batch"}`, "name", "surrogate"},
		{"/templates?tenant=acme", `{"name":"\udc00\ud800","instructions":"","creditsPerRun":1,"mode":"batch"}`, "name", "surrogate"},
		{"/templates?tenant=acme", `{"name":1,"note":[{"deep":"\ud800"}]}`, "note[0].deep", "surrogate"},
		{"/workflow-runs?tenant=acme", `{"template":"summarise","files":[{"name":"a","text":"t"},{"name":"b","text":"\udfff"}]}`, "files[1].text", "surrogate"},
		{"/workflow-runs?tenant=acme", "{\"template\":\"summarise\",\"files\":[{\"name\":\"a\xff\",\"text\":\"t\"}]}", "files[0].name", "UTF-8"},
		{"/workflow-runs?tenant=acme", "{\"template\":\"\xed\xa0\x80\",\"files\":[]}", "template", "UTF-8"}, // a surrogate in UTF-8
		{"/workflow-runs?tenant=acme", "{\"\xff\":1}", "body", "UTF-8"},
	} {
		got := w.refused(http.StatusBadRequest, core.CodeInvalidRequest, func() answer { return w.post(w.platform, c.path, c.body) })
		require.Equal(t, []string{c.field}, got.fields(), c.body)
		require.Contains(t, got.str("errors", 0, "message"), c.says)
	}
	got := w.post(w.platform, "/templates?tenant=acme", `{"name":"\ud83d\ude00","instructions":"","creditsPerRun":1,"mode":"batch"}`)
	require.Equal(t, http.StatusCreated, got.status, "a whole pair is a character: %s", got.text())
	require.Equal(t, "😀", got.str("name"))
}

// bomb is a body that repeats a pattern up to a number of bytes.
type bomb struct {
	head, again string
	left        int
	rest        string
}

func (b *bomb) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) && b.left > 0 {
		if b.rest == "" {
			if b.rest, b.head = b.head, ""; b.rest == "" {
				b.rest = b.again
			}
		}
		k := copy(p[n:], b.rest[:min(len(b.rest), b.left)])
		b.rest, n, b.left = b.rest[k:], n+k, b.left-k
	}
	if n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

const bombBytes = 16 << 20

// 16 MB of the smallest values are refused after the first few of them: neither the
// values kept nor the memory allocated grow with the rest of the body.
func TestJSONBombs(t *testing.T) { //nolint:paralleltest // it measures what the process allocates
	for name, c := range map[string]struct{ head, again, field string }{
		"EmptyObjects":    {`{"files":[`, `{},`, "files"},
		"Numbers":         {`{"files":[`, `1,`, "files"},
		"EmptyTexts":      {`{"x":[`, `"",`, "x"},
		"Arrays":          {`{"x":[`, `[],`, "x"},
		"DeepArrays":      {`{"x":`, `[`, "x[0][0][0][0][0][0][0]"},
		"DeepObjects":     {``, `{"x":`, "x.x.x.x.x.x.x.x"},
		"SameNames":       {`{"a":1`, `,"a":1`, "body"},
		"ManyNamesInside": {`{"files":[`, `{"a":1,"b":2,"c":3,"d":4,"e":5,"f":6,"g":7,"h":8},`, "body"},
		"ManyNames":       {`{`, manyNames(), "body"},
		"ArraysOfArrays":  {`{"files":[`, `[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1],`, "body"},
	} {
		t.Run(name, func(t *testing.T) {
			body := &bomb{head: c.head, again: c.again, left: bombBytes}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			err := httpapi.DecodeObject(body, 10_000)
			runtime.ReadMemStats(&after)
			refusal, ok := err.(*core.Error) //nolint:errorlint // exactly this type
			require.True(t, ok, "%v", err)
			require.Equal(t, core.CodeInvalidRequest, refusal.Code)
			require.Equal(t, c.field, refusal.Fields[0].Field)
			require.Less(t, int64(after.TotalAlloc-before.TotalAlloc), int64(24<<20), "bytes made on the way")
			require.Less(t, bombBytes-body.left, 2<<20, "bytes read before it was refused")
		})
	}
}

// One value of 16 MB costs a few times itself, and not a hundred times.
func TestLargeJSONValues(t *testing.T) { //nolint:paralleltest // it measures what the process allocates
	for name, c := range map[string]struct{ head, again string }{
		"Text":         {`{"x":"`, `xxxxxxxx`},
		"EscapedText":  {`{"x":"`, `\u0041`},
		"Number":       {`{"x":`, `11111111`},
		"Name":         {`{"`, `nnnnnnnn`},
		"Blanks":       {`{"x":`, `        `},
		"NameOfInside": {`{"` + strings.Repeat("n", 8<<20) + `":[`, `{"a":1,"b":2,"c":3},`},
	} {
		t.Run(name, func(t *testing.T) {
			body := &bomb{head: c.head, again: c.again, left: bombBytes}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			require.Error(t, httpapi.DecodeObject(body, 10_000))
			runtime.ReadMemStats(&after)
			require.Less(t, int64(after.TotalAlloc-before.TotalAlloc), int64(10*bombBytes))
		})
	}
}

// manyNames is a hundred names, each once.
func manyNames() string {
	var b strings.Builder
	for i := range 100 {
		b.WriteString(`"` + strings.Repeat("n", i+1) + `":1,`)
	}
	return b.String()
}

// A client that sends its whole body before it reads the answer gets one, even if the
// body was refused at its beginning.
func TestRefusalsOfLongBodiesArrive(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, c := range []struct {
		contentType string
		body        *bomb
		status      int
	}{
		{"application/json", &bomb{head: `{"files":[`, again: strings.Repeat(`{},`, 10_000), left: bombBytes - 1}, http.StatusBadRequest},
		{"text/plain", &bomb{again: strings.Repeat("x", 30_000), left: bombBytes}, http.StatusUnsupportedMediaType},
	} {
		client := dial(t, w.server)
		client.send("POST /workflow-runs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n",
			w.admin, c.contentType, c.body.left)
		_, err := io.Copy(client.conn, c.body)
		require.NoError(t, err)
		resp, body := client.answer()
		require.Equal(t, c.status, resp.StatusCode, body)
	}
}
