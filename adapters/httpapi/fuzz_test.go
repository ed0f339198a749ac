package httpapi_test

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/httpapi"
	"github.com/redrive/redrive/adapters/memory"
	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/internal/testkit/install"
	"github.com/redrive/redrive/ports"
)

// The fuzz targets send whatever comes to mind to a whole API on memory, and look for a
// panic, a 500, and an answer that is no JSON. Their corpora are in testdata/fuzz, and go
// test plays them; go test -fuzz FuzzCursor ./adapters/httpapi searches on.

// fuzzed is an API that is used again and again: what one request leaves there the next
// finds, and it is begun anew before there is much.
type fuzzed struct {
	mu    sync.Mutex
	used  int
	run   string
	token string
	api   http.Handler
}

const fuzzedUses = 200

func (f *fuzzed) renew(t *testing.T) {
	t.Helper()
	queue := memory.NewQueue()
	quiet := slog.New(slog.NewTextHandler(io.Discard, nil))
	svc := install.Service(t, app.Deps{
		Store: memory.NewStore(), Queue: queue, Files: memory.NewFiles(), Clock: memory.NewManualClock(startOfTest),
		Executor: &script{outcomes: map[string]core.Outcome{"b": core.OutcomeTransient}}, Log: quiet,
	}, app.Options{MaxFiles: 50})
	install.Make(t, svc, install.Tenant{ID: acme, Name: "Acme", Granted: 1000, Purchased: 1000}, install.Tenant{ID: globex, Name: "Globex"})
	for _, id := range []core.TemplateID{"summarise", "translate"} {
		install.Template(t, svc, acme, core.Template{ID: id, Name: "T", Instructions: "Do it.", CreditsPerRun: 2, Mode: core.ModePerFile})
	}
	auth, err := httpapi.NewAuth([]byte(testSecret))
	require.NoError(t, err)
	f.token, err = auth.Token(core.Actor{Subject: "pat", Tenant: acme, Role: core.RolePlatformAdmin}, time.Hour)
	require.NoError(t, err)
	f.api = httpapi.New(svc, httpapi.Config{Auth: auth, Log: quiet})
	for range 3 {
		made := f.send(t, http.MethodPost, "/workflow-runs", inline("summarise", "a", "b", "c"), nil)
		f.run, _ = made["id"].(string)
	}
	require.NotEmpty(t, f.run)
	for queue.Len() > 0 {
		deliveries, err := queue.Receive(t.Context(), 1, ports.Skip{})
		require.NoError(t, err)
		for _, d := range deliveries {
			require.NoError(t, svc.Work(t.Context(), d))
		}
	}
}

// with gives the API to a test, alone.
func (f *fuzzed) with(t *testing.T, use func()) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.used%fuzzedUses == 0 {
		f.renew(t)
	}
	f.used++
	use()
}

// send sends a request and judges the answer, whose object it gives. body is a value, or text
// as it is.
func (f *fuzzed) send(t *testing.T, method, target string, body any, header http.Header) map[string]any {
	t.Helper()
	text, raw := body.(string)
	if !raw && body != nil {
		encoded, err := json.Marshal(body)
		require.NoError(t, err)
		text = string(encoded)
	}
	req := httptest.NewRequest(method, "/", strings.NewReader(text))
	address, err := url.Parse(target)
	require.NoError(t, err)
	req.URL, req.RequestURI = address, target
	req.Header.Set("Authorization", "Bearer "+f.token)
	if text != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for name, values := range header {
		req.Header[name] = values
	}
	rec := httptest.NewRecorder()
	f.api.ServeHTTP(rec, req)
	if rec.Code == http.StatusNotModified {
		require.Empty(t, rec.Body.String())
		return nil
	}
	require.Less(t, rec.Code, 500, "%s %s: %s", method, target, rec.Body)
	var answer map[string]any
	require.NoError(t, json.Unmarshal(rec.Body.Bytes(), &answer), "%s %s: %s", method, target, rec.Body)
	if rec.Code >= 400 {
		require.NotEmpty(t, answer["code"])
		require.NotEqual(t, "internal", answer["code"])
	}
	return answer
}

// lists are the addresses of the API's lists, with a tenant where one is needed.
func (f *fuzzed) lists() []string {
	return []string{
		"/workflow-runs", "/workflow-runs/" + f.run + "/files", "/workflow-runs/" + f.run + "/receipt", "/workflow-runs/" + f.run,
		"/templates", "/templates/summarise/versions", "/tenants", "/tenants/acme/ledger",
	}
}

func FuzzCursor(f *testing.F) {
	for _, seed := range []string{"", "x", "Mg", "MkJMYp1kfzBEpgZ2kjEvMA", "cjE3OTQ3NDQwMDAwMDAwMDAwMDAvaWQtMg", "2", "%", "\x00", "MTIzNDU2Nzg5MDEyMzQ1Njc4OTA"} {
		f.Add(uint8(0), seed, 5)
		f.Add(uint8(2), seed, 1)
	}
	var api fuzzed
	f.Fuzz(func(t *testing.T, which uint8, cursor string, limit int) {
		api.with(t, func() {
			lists := api.lists()
			path := lists[int(which)%len(lists)]
			query := url.Values{"cursor": {cursor}}
			if limit != 0 {
				query.Set("limit", strconv.Itoa(limit))
			}
			api.send(t, http.MethodGet, path+"?"+query.Encode(), nil, nil)
			// The cursor of a page, with what was made up in its place.
			first := api.send(t, http.MethodGet, path+"?limit=1", nil, nil)
			if next, _ := first["nextCursor"].(string); next != "" && len(cursor) > 0 {
				at := len(cursor) % len(next)
				spoilt := next[:at] + cursor + next[min(len(next), at+len(cursor)):]
				answer := api.send(t, http.MethodGet, path+"?cursor="+url.QueryEscape(spoilt), nil, nil)
				if spoilt != next {
					require.Equal(t, "invalid_request", answer["code"], "a made-up cursor was taken: %q", spoilt)
				}
			}
		})
	})
}

func FuzzFilter(f *testing.F) {
	for _, seed := range []string{
		"status=FAILED,COMPLETED", "status=,", "template=summarise&createdBy=pat", "file=%25_%5C", "from=2026-11-01&to=2026-12-01T00:00:00Z",
		"from=0000-01-01", "to=9999-12-31T23:59:59.999999999Z", "from=-1&limit=0", "continuable=true", "continuable=false&status=RUNNING",
		"order=newest&kind=charge,refund&period=2026-11&run=x", "order=oldest&after=9223372036854775807", "deleted=true&status=draft",
		"after=~", "limit=1000000000000000000000", "limit=-1", "files=0", "files=1001", "name=%F0%9F%98%80", "name=%ff", "tenant=%00", "a=1;b=2", "&&&=", "%zz",
		"cursor=a&cursor=b", "status=pending,pending,pending",
	} {
		for which := range uint8(8) {
			f.Add(which, seed)
		}
	}
	var api fuzzed
	f.Fuzz(func(t *testing.T, which uint8, query string) {
		api.with(t, func() {
			lists := api.lists()
			target := lists[int(which)%len(lists)] + "?" + strings.ReplaceAll(query, "#", "%23")
			if _, err := url.Parse(target); err != nil {
				return // net/http would not have taken it
			}
			first := api.send(t, http.MethodGet, target, nil, nil)
			given, err := url.ParseQuery(query)
			if next, _ := first["nextCursor"].(string); next != "" && err == nil && !given.Has("cursor") && !given.Has("after") {
				again := api.send(t, http.MethodGet, target+"&cursor="+url.QueryEscape(next), nil, nil)
				require.NotContains(t, again, "code", "a cursor is taken with its own filter: %v", again)
			}
		})
	})
}

func FuzzBody(f *testing.F) {
	seeds := []string{
		`{"template":"summarise","files":[{"name":"a","text":"x"}]}`, `{"template":"summarise","maxRetryCount":3,"files":[]}`,
		`{"period":"2026-11","amount":5}`, `{"amount":9223372036854775807}`, `{"amount":1e9}`, `{"amount":-0}`, `{"amount":5,"amount":6}`, `{"Amount":5}`,
		`{"name":"n","instructions":"i","creditsPerRun":1,"mode":"batch","id":"x"}`, `{"id":"t","name":"T","monthlyAllowance":1}`,
		`{"name":"\u0000\ud800","instructions":"\uffff"}`, `{"creditsPerRun":null}`, `{"maxRetryCount":10}`,
		`{}`, ``, `null`, `[]`, `"x"`, `{`, `{"a":{"a":{"a":{"a":{"a":[[[[[[]]]]]]}}}}}`, "{\"a\":\"\xff\"}", `{"files":[{"name":"","text":""},{"name":"a/../b","text":"\u202e"}],"template":"translate"}`,
	}
	for _, seed := range seeds {
		for which := range uint8(10) {
			f.Add(which, seed, "")
		}
		f.Add(uint8(0), seed, "key")
	}
	var api fuzzed
	f.Fuzz(func(t *testing.T, which uint8, body, key string) {
		api.with(t, func() {
			routes := []string{
				"POST /workflow-runs", "POST /templates", "POST /tenants", "POST /tenants/acme/purchases", "POST /tenants/acme/allowances",
				"PATCH /templates/summarise", "PATCH /workflow-runs/" + api.run, "POST /workflow-runs/" + api.run + "/retry-failed",
				"POST /templates/translate/publish", "POST /workflow-runs/" + api.run + "/cancel",
			}
			method, path, _ := strings.Cut(routes[int(which)%len(routes)], " ")
			header := http.Header{"Content-Type": {"application/json"}}
			if key != "" || strings.Contains(path, "/tenants/") {
				header["Idempotency-Key"] = []string{key}
			}
			first := api.send(t, method, path, body, header)
			if _, refused := first["code"]; refused || key == "" || method != http.MethodPost {
				return
			}
			again := api.send(t, method, path, body, header)
			delete(first, "continuable")
			delete(again, "continuable") // of the present moment
			require.Equal(t, first, again, "a repeat under its key")
		})
	})
}
