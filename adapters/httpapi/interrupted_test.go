package httpapi_test

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
)

// A client sees a fault of ours as pending files with the reason in words, which are free
// to continue.
func TestInterruptedRun(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.script.set("b", core.OutcomeInterrupted)
	id := w.closed("a", "b")
	path := "/workflow-runs/" + id
	run := w.get(w.user, path)
	require.Equal(t, "INTERRUPTED", run.str("status"))
	require.Equal(t, "service_fault", run.str("reason"))
	require.Equal(t, "the script says so", run.str("failure", "message"))
	require.Equal(t, "pending", run.str("files", 1, "status"))
	require.Equal(t, "scripted", run.str("files", 1, "failure", "code"))
	require.Equal(t, map[string]any{"ok": true}, run.at("continuable"))

	preview := w.get(w.admin, path+"/retry-failed")
	require.Equal(t, 0, preview.int("price"))
	require.Equal(t, 1, preview.int("free"))
	w.script.heal()
	require.Equal(t, http.StatusOK, w.post(w.admin, path+"/retry-failed?maxPrice=0", nil).status)
	w.work()
	after := w.get(w.user, path)
	require.Equal(t, "COMPLETED", after.str("status"))
	require.Nil(t, after.at("failure"))
	require.Equal(t, 1, after.int("files", 1, "freeRetries"))
	require.Equal(t, 4, after.int("creditsConsumed"))

	receipt := w.get(w.user, path+"/receipt")
	require.Equal(t, "the script says so", receipt.str("attempts", 0, "files", 1, "interrupted", "message"))
	require.Equal(t, "interrupted", receipt.str("attempts", 1, "files", 0, "why"))
	require.Equal(t, "free", receipt.str("attempts", 1, "files", 0, "kind"))
}

func TestMaxPrice(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.closed("fail-a", "fail-b")
	path := "/workflow-runs/" + id + "/retry-failed"
	require.Equal(t, 4, w.get(w.admin, path).int("price"))
	w.write(http.MethodPatch, w.platform, "/templates/summarise?tenant=acme", map[string]any{"creditsPerRun": 5})

	got := w.refused(http.StatusConflict, core.CodePriceChanged, func() answer { return w.post(w.admin, path+"?maxPrice=4", nil) })
	require.Equal(t, 10, got.int("price"))
	got = w.refused(http.StatusConflict, core.CodePriceChanged, func() answer {
		return w.post(w.admin, "/workflow-runs?maxPrice=9", inline("summarise", "a", "b"))
	})
	require.Equal(t, 10, got.int("price"))
	for _, wrong := range []string{"-1", "1.5", "ten", "9223372036854775808", "1&maxPrice=2"} {
		got := w.refused(http.StatusBadRequest, core.CodeInvalidRequest, func() answer { return w.post(w.admin, path+"?maxPrice="+wrong, nil) })
		require.Equal(t, []string{"maxPrice"}, got.fields(), wrong)
	}
	require.Equal(t, http.StatusOK, w.post(w.admin, path+"?maxPrice=10", nil).status)
	require.Equal(t, http.StatusCreated, w.post(w.admin, "/workflow-runs?maxPrice=10", inline("summarise", "a", "b")).status)
}

func TestTemplateVersions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	path := "/templates/summarise/versions"
	for i := range 24 {
		changed := w.write(http.MethodPatch, w.platform, "/templates/summarise?tenant=acme", map[string]any{"instructions": fmt.Sprint("version ", i+2)})
		require.Equal(t, i+2, changed.int("version"))
	}
	first := w.get(w.user, path)
	require.Len(t, first.at("versions"), 20)
	require.Equal(t, 25, first.int("versions", 0, "version"))
	require.Equal(t, "version 25", first.str("versions", 0, "instructions"))
	require.Equal(t, "pat", first.str("versions", 0, "by", "subject"))
	second := w.get(w.user, path+"?cursor="+first.str("nextCursor"))
	require.Len(t, second.at("versions"), 5)
	require.Equal(t, "Do it.", second.str("versions", 4, "instructions"))
	require.Nil(t, second.at("nextCursor"))
	require.Equal(t, 25, second.int("total"))

	w.refused(http.StatusForbidden, core.CodeWrongTenant, func() answer { return w.get(w.stranger, path+"?tenant=acme") })
	w.refused(http.StatusNotFound, core.CodeTemplateNotFound, func() answer { return w.get(w.user, "/templates/nothing/versions") })
	for _, wrong := range []string{"?limit=21", "?limit=0", "?cursor=0", "?cursor=x"} {
		w.refused(http.StatusBadRequest, core.CodeInvalidRequest, func() answer { return w.get(w.user, path+wrong) })
	}
}
