package httpapi_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
)

// Mistakes in a JSON body are named by field, all at once, and the request changes nothing.
func TestJSONBodies(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const purchases, templates, runs = "/tenants/acme/purchases", "/templates?tenant=acme", "/workflow-runs?tenant=acme"
	for _, c := range []struct {
		path, body string
		fields     []string
	}{
		{purchases, ``, []string{"body"}},
		{purchases, `null`, []string{"body"}},
		{purchases, `[]`, []string{"body"}},
		{purchases, `"amount"`, []string{"body"}},
		{purchases, `{"amount":1`, []string{"body"}},
		{purchases, `{"amount":1}{"amount":2}`, []string{"body"}},
		{purchases, `{"amount":1} x`, []string{"body"}},
		{purchases, "{\"amount\":1,\"\xff\":2}", []string{"body"}},
		{purchases, `{}`, []string{"amount"}},
		{purchases, `{"amount":null}`, []string{"amount"}},
		{purchases, `{"amount":"1"}`, []string{"amount"}},
		{purchases, `{"amount":1.0}`, []string{"amount"}},
		{purchases, `{"amount":1e3}`, []string{"amount"}},
		{purchases, `{"amount":true}`, []string{"amount"}},
		{purchases, `{"amount":[1]}`, []string{"amount"}},
		{purchases, `{"amount":9223372036854775808}`, []string{"amount"}},
		{purchases, `{"amount":-9223372036854775809}`, []string{"amount"}},
		{purchases, `{"amount":0}`, []string{"amount"}},
		{purchases, `{"amount":-5}`, []string{"amount"}},
		{purchases, `{"amount":1,"amount":2}`, []string{"amount"}},
		{purchases, `{"Amount":1}`, []string{"amount", "Amount"}},
		{purchases, `{"amount":1,"note":"x","b":1}`, []string{"b", "note"}},
		{purchases, `{"amount":1,"` + strings.Repeat("é", 100) + `":1}`, []string{strings.Repeat("é", 32) + "…"}},
		{"/tenants/acme/allowances", `{"amount":1,"period":"November"}`, []string{"period"}},
		{"/tenants/acme/allowances", `{"amount":1,"period":"2026-10"}`, []string{"period"}},
		{"/tenants/acme/allowances", `{"period":202611}`, []string{"period", "amount"}},
		{templates, `{}`, []string{"name", "instructions", "creditsPerRun", "mode"}},
		{templates, `{"id":"","name":"n","instructions":"","creditsPerRun":1,"mode":"batch"}`, []string{"id"}},
		{templates, `{"id":"a/b","name":" ","instructions":"\u0000","creditsPerRun":-1,"mode":"bach"}`, []string{"id", "name", "instructions", "creditsPerRun", "mode"}},
		{templates, `{"id":"summarise","name":"n","instructions":"","creditsPerRun":1,"mode":"batch"}`, []string{"id"}},
		{templates, `{"id":"t","name":"n","instructions":"` + strings.Repeat("i", 100_001) + `","creditsPerRun":1,"mode":"batch"}`, []string{"instructions"}},
		{"/tenants", `{"id":"a/b","name":"","monthlyAllowance":-1}`, []string{"id", "name", "monthlyAllowance"}},
		{"/tenants", `{"id":"t","name":"n","monthlyAllowance":"1"}`, []string{"monthlyAllowance"}},
		{runs, `{"template":"summarise"}`, []string{"files"}},
		{runs, `{"template":1,"maxRetryCount":"3","files":{}}`, []string{"template", "maxRetryCount", "files"}},
		{runs, `{"template":"summarise","files":[1,{"name":2,"txt":"t"},{"name":"a","name":"b","text":"t"}]}`, []string{"files[2].name", "files[0]", "files[1].name", "files[1].text", "files[1].txt"}},
		{runs, `{"template":"summarise","files":[` + strings.Repeat("{},", 100) + `{}]}`, firstFields(20)},
	} {
		got := w.refused(http.StatusBadRequest, core.CodeInvalidRequest, func() answer {
			return w.post(w.platform, c.path, c.body, key("k"))
		})
		require.Equal(t, c.fields, got.fields(), "%.100s", c.body)
	}
	w.refused(http.StatusRequestEntityTooLarge, "payload_too_large", func() answer {
		return w.post(w.platform, purchases, `{"amount":1`+strings.Repeat(" ", 1<<20)+`}`, key("k"))
	})
	got := w.post(w.platform, purchases, " {\"amount\" : 1}\n", key("k"))
	require.Equal(t, http.StatusCreated, got.status, "and this is none of them: %s", got.text())
}

// firstFields is what is named of objects that lack both of their fields.
func firstFields(n int) []string {
	var fields []string
	for i := range n / 2 {
		fields = append(fields, fmt.Sprintf("files[%d].name", i), fmt.Sprintf("files[%d].text", i))
	}
	return fields
}

// A body that is longer than it said, or said nothing, is bounded all the same.
func TestBodyWithoutLength(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.refused(http.StatusRequestEntityTooLarge, "payload_too_large", func() answer {
		req := w.request(call{
			method: http.MethodPost, path: "/tenants/acme/purchases", token: w.platform, contentType: "application/json",
			body: []byte(`{"amount":1` + strings.Repeat(" ", 2<<20) + `}`), header: map[string]string{"Idempotency-Key": "k"},
		})
		req.ContentLength = -1
		return w.exchange(req)
	})
}

// A request that takes no body refuses one with content, because its sender expects it
// to have an effect.
func TestNoBody(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.closed("fail-a", "fail-b")
	running := w.start("c")
	for _, path := range []string{
		"/workflow-runs/" + id + "/retry-failed", "/workflow-runs/" + running + "/cancel", "/templates/summarise/publish?tenant=acme",
	} {
		for _, body := range []string{`{"files":[0]}`, `[]`, `null`, `all`, `{}{}`} {
			got := w.refused(http.StatusBadRequest, core.CodeInvalidRequest, func() answer { return w.post(w.platform, path, body) })
			require.Equal(t, []string{"body"}, got.fields())
		}
	}
	w.refused(http.StatusBadRequest, core.CodeInvalidRequest, func() answer {
		return w.write(http.MethodDelete, w.platform, "/templates/summarise?tenant=acme", `{"force":true}`)
	})
	got := w.post(w.platform, "/workflow-runs/"+id+"/retry-failed", ` {} `)
	require.Equal(t, http.StatusOK, got.status, "what a client sends that cannot send nothing: %s", got.text())
}
