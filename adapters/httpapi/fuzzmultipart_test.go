package httpapi_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/httpapi"
	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/internal/testkit/install"
)

// Whatever a client sends as a form: there is no fault, a run has the files that are stored
// and no others, and of what is refused nothing is stored.
func FuzzMultipart(f *testing.F) {
	const end = "\r\n--x--\r\n"
	field := "--x\r\nContent-Disposition: form-data; name=\"template\"\r\n\r\nfree\r\n"
	file := "--x\r\nContent-Disposition: form-data; name=\"files\"; filename=\"a.txt\"\r\n"
	for _, body := range []string{
		"", "--x", "--x--", field + end, field + file + "\r\ncontent" + end, file + "\r\ncontent\r\n" + field + end,
		field + file + "Content-Transfer-Encoding: base64\r\n\r\nY29udGVudA==" + end,
		field + file + "Content-Transfer-Encoding: base64\r\n\r\nY29udGVudA==more" + end,
		field + file + "Content-Transfer-Encoding: quoted-printable\r\n\r\n=41=\r\n=" + end,
		field + file + "Content-Type: multipart/mixed; boundary=y\r\n\r\n--y\r\n\r\ninner\r\n--y--" + end,
		field + strings.Repeat(file+"\r\n"+strings.Repeat("x", 50)+"\r\n", 4) + end,
		field + file + "\r\n" + strings.Repeat("x", 101) + end,
		field + "--x\r\nContent-Disposition: form-data; name=\"files\"; filename*=UTF-8''%e4%00\r\n\r\nx" + end,
		field + "--x\r\nContent-Disposition: form-data; name=\"files\"; filename=\"../../etc/passwd\"\r\n\r\nx" + end,
		field + "--x\r\nContent-Disposition: form-data; name=\"files\"; filename=\"\"\r\n\r\nx" + end,
		field + "--x\r\nContent-Disposition: attachment\r\n\r\nx" + end,
		field + "--x\r\n" + strings.Repeat("A: b\r\n", 100) + "\r\nx" + end,
		field + field + end, strings.ReplaceAll(field+file+"\r\nx"+end, "\r\n", "\n"),
		"--x\r\nContent-Disposition: form-data; name=\"maxRetryCount\"\r\n\r\n99999999999999999999\r\n" + field + file + "\r\nx" + end,
		field + file + "\r\n\xff\xfe\x00" + end,
	} {
		f.Add([]byte(body), "x", "")
	}
	f.Add([]byte(file+"\r\nx"+end), "x", "free")
	f.Add([]byte("content"), "", "free")
	f.Add([]byte("--é\r\n"), "é", "fre\x00e")
	f.Fuzz(func(t *testing.T, body []byte, boundary, template string) {
		w := newWorld(t, func(o *options) {
			o.app.MaxFiles, o.api.MaxFileBytes, o.api.MaxUploadBytes = 3, 100, 10_000
			o.api.Pace = httpapi.Pace{}
		})
		install.Template(t, w.svc, acme, core.Template{ID: "free", Instructions: "Do it."})
		req := httptest.NewRequest(http.MethodPost, "/workflow-runs", strings.NewReader(string(body)))
		query := req.URL.Query()
		query.Set("template", template)
		req.URL.RawQuery = query.Encode()
		req.Header.Set("Authorization", "Bearer "+w.user)
		req.Header.Set("Content-Type", `multipart/form-data; boundary="`+boundary+`"`)
		got := httptest.NewRecorder()
		w.server.Config.Handler.ServeHTTP(got, req)
		require.NotEqual(t, http.StatusInternalServerError, got.Code, got.Body.String())
		if got.Code != http.StatusCreated {
			require.GreaterOrEqual(t, got.Code, 400)
			require.Less(t, got.Code, 500, got.Body.String())
			require.Zero(t, w.files.kept())
			return
		}
		var run struct{ FileCounts struct{ Total int } }
		require.NoError(t, json.Unmarshal(got.Body.Bytes(), &run))
		require.Equal(t, w.files.kept(), run.FileCounts.Total)
		require.Positive(t, run.FileCounts.Total)
		require.LessOrEqual(t, run.FileCounts.Total, 3)
	})
}
