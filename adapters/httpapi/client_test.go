package httpapi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/legacy"
	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/httpapi"
)

// The checker lets a format pass that it does not know, and refuses a content type that it
// cannot read.
func init() {
	openapi3.DefineStringFormat("uuid", openapi3.FormatOfStringForUUIDOfRFC9562)
	openapi3filter.RegisterBodyDecoder("text/event-stream", openapi3filter.PlainBodyDecoder)
}

// theDocument is the OpenAPI document, which every answer in these tests is checked
// against, and what finds the operations in it. It is only read.
var theDocument = sync.OnceValues(func() (*openapi3.T, routers.Router) {
	doc, err := openapi3.NewLoader().LoadFromData(httpapi.OpenAPI())
	if err != nil {
		panic(err)
	}
	router, err := legacy.NewRouter(doc)
	if err != nil {
		panic(err)
	}
	return doc, router
})

func document() *openapi3.T {
	doc, _ := theDocument()
	return doc
}

// call is one request to be sent.
type call struct {
	method, path, token string
	contentType         string
	body                []byte
	header              map[string]string
}

type option func(*call)

func header(name, value string) option {
	return func(c *call) { c.header[name] = value }
}

func key(k string) option { return header("Idempotency-Key", k) }

// answer is a response.
type answer struct {
	t      *testing.T
	status int
	header http.Header
	body   []byte
}

func (a answer) text() string { return string(a.body) }

func (a answer) json() map[string]any {
	a.t.Helper()
	var v map[string]any
	require.NoError(a.t, json.Unmarshal(a.body, &v), a.text())
	return v
}

// at follows names and indexes into the body.
func (a answer) at(path ...any) any {
	a.t.Helper()
	var v any = a.json()
	for _, step := range path {
		switch s := step.(type) {
		case string:
			v = v.(map[string]any)[s]
		case int:
			v = v.([]any)[s]
		}
	}
	return v
}

func (a answer) str(path ...any) string {
	a.t.Helper()
	s, ok := a.at(path...).(string)
	require.True(a.t, ok, "%v is no string in %s", path, a.text())
	return s
}

func (a answer) int(path ...any) int {
	a.t.Helper()
	n, ok := a.at(path...).(float64)
	require.True(a.t, ok, "%v is no number in %s", path, a.text())
	return int(n)
}

// fields lists the fields that an invalid_request names.
func (a answer) fields() []string {
	a.t.Helper()
	var names []string
	list, _ := a.json()["errors"].([]any)
	for _, e := range list {
		names = append(names, e.(map[string]any)["field"].(string))
	}
	return names
}

func (w *world) get(token, path string, opts ...option) answer {
	w.t.Helper()
	return w.send(call{method: http.MethodGet, path: path, token: token}, opts...)
}

// post sends a value as JSON, text as it is, and nothing for nil.
func (w *world) post(token, path string, body any, opts ...option) answer {
	w.t.Helper()
	return w.write(http.MethodPost, token, path, body, opts...)
}

func (w *world) write(method, token, path string, body any, opts ...option) answer {
	w.t.Helper()
	c := call{method: method, path: path, token: token}
	switch b := body.(type) {
	case nil:
	case string:
		c.body, c.contentType = []byte(b), "application/json"
	default:
		encoded, err := json.Marshal(b)
		require.NoError(w.t, err)
		c.body, c.contentType = encoded, "application/json"
	}
	return w.send(c, opts...)
}

// send sends a request and checks the answer against the OpenAPI document, and the
// request too if it was accepted.
func (w *world) send(c call, opts ...option) answer {
	w.t.Helper()
	c.header = map[string]string{}
	for _, o := range opts {
		o(&c)
	}
	return w.exchange(w.request(c))
}

// exchange is send for a request that was made otherwise.
func (w *world) exchange(req *http.Request) answer {
	w.t.Helper()
	asked := req.Clone(req.Context())
	if req.GetBody != nil {
		var err error
		asked.Body, err = req.GetBody()
		require.NoError(w.t, err)
	}
	resp, err := w.client.Do(req)
	require.NoError(w.t, err)
	body, err := io.ReadAll(resp.Body)
	require.NoError(w.t, err)
	require.NoError(w.t, resp.Body.Close())
	w.checkDocument(asked, resp, body)
	require.Equal(w.t, "nosniff", resp.Header.Get("X-Content-Type-Options"))
	require.Equal(w.t, "no-store", resp.Header.Get("Cache-Control"))
	require.NotEmpty(w.t, resp.Header.Get("X-Request-Id"))
	return answer{t: w.t, status: resp.StatusCode, header: resp.Header, body: body}
}

func (w *world) request(c call) *http.Request {
	w.t.Helper()
	var body io.Reader
	if c.body != nil {
		body = bytes.NewReader(c.body)
	}
	req, err := http.NewRequestWithContext(w.t.Context(), c.method, w.server.URL+c.path, body)
	require.NoError(w.t, err)
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	if c.contentType != "" {
		req.Header.Set("Content-Type", c.contentType)
	}
	for name, value := range c.header {
		req.Header.Set(name, value)
	}
	return req
}

func (w *world) checkDocument(req *http.Request, resp *http.Response, body []byte) {
	w.t.Helper()
	require.NoError(w.t, documented(req, resp.StatusCode, resp.Header, body), "%s %s: %d %s", req.Method, req.URL.Path, resp.StatusCode, body)
}

// documented is nil if the document has this answer, its status, fields and code, and the
// request too if it was accepted.
func documented(req *http.Request, status int, header http.Header, body []byte) error {
	if status >= 400 && header.Get("Content-Type") != "application/problem+json" {
		return errors.New("a failure is no problem+json")
	}
	// The document's server is "/", so it is found by the path alone.
	found := req.Clone(context.Background())
	found.URL.Scheme, found.URL.Host, found.Host = "", "", ""
	_, operations := theDocument()
	route, params, err := operations.FindRoute(found)
	if err != nil {
		if slices.Contains([]int{http.StatusNoContent, http.StatusNotFound, http.StatusMethodNotAllowed}, status) {
			return nil
		}
		return fmt.Errorf("the request is not in the document: %w", err)
	}
	response := route.Operation.Responses.Status(status)
	if response == nil {
		return fmt.Errorf("%s %s has no status %d in the document", req.Method, route.Path, status)
	}
	input := &openapi3filter.RequestValidationInput{
		Request: req, PathParams: params, Route: route,
		Options: &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc, IncludeResponseStatus: true, SkipSettingDefaults: true},
	}
	if status < 300 {
		if err := openapi3filter.ValidateRequest(req.Context(), input); err != nil {
			return err
		}
	}
	out := &openapi3filter.ResponseValidationInput{RequestValidationInput: input, Status: status, Header: header, Options: input.Options}
	if err := openapi3filter.ValidateResponse(req.Context(), out.SetBodyBytes(body)); err != nil {
		return err
	}
	if status < 400 {
		return nil
	}
	var problem struct{ Code string }
	if err := json.Unmarshal(body, &problem); err != nil {
		return err
	}
	if codes, _ := response.Value.Extensions["x-codes"].([]any); !slices.Contains(codes, any(problem.Code)) {
		return fmt.Errorf("%s %s has no code %s for %d in the document", req.Method, route.Path, problem.Code, status)
	}
	return nil
}

// inline is a request for a run over files with these names, each with text of
// its own.
func inline(template string, names ...string) map[string]any {
	files := make([]map[string]any, len(names))
	for i, name := range names {
		files[i] = map[string]any{"name": name, "text": "text of " + name}
	}
	return map[string]any{"template": template, "files": files}
}

// formPart is one part of a multipart form: a field, or a file if it has a name.
type formPart struct{ field, fileName, content string }

func (w *world) form(token, path string, parts []formPart, opts ...option) answer {
	w.t.Helper()
	body, contentType := formBody(w.t, parts)
	return w.send(call{method: http.MethodPost, path: path, token: token, body: body, contentType: contentType}, opts...)
}

func formBody(t *testing.T, parts []formPart) (body []byte, contentType string) {
	t.Helper()
	var b bytes.Buffer
	form := multipart.NewWriter(&b)
	for _, p := range parts {
		var to io.Writer
		var err error
		if p.fileName == "" {
			to, err = form.CreateFormField(p.field)
		} else {
			to, err = form.CreateFormFile(p.field, p.fileName)
		}
		require.NoError(t, err)
		_, err = io.Copy(to, strings.NewReader(p.content))
		require.NoError(t, err)
	}
	require.NoError(t, form.Close())
	return b.Bytes(), form.FormDataContentType()
}
