package webui_test

import (
	"fmt"
	"html"
	"net/http"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
)

// Many templates come in pages, each of them once; few have no pager.
func TestManyTemplatesComeInPages(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	v := w.signedIn(ulf)
	require.NotContains(t, v.get("/ui/templates").text, "after=")
	const more = 204
	for i := range more {
		w.template(core.TemplateID(fmt.Sprintf("t%03d", i)), "Many", 1)
	}
	row := regexp.MustCompile(`<span class="id">([^<]+)</span>`)
	next := regexp.MustCompile(`href="(/ui/templates\?[^"]*after=[^"]+)"`)
	seen := map[string]bool{}
	pages := 0
	for path := "/ui/templates"; path != ""; pages++ {
		p := v.get(path)
		require.Equal(t, http.StatusOK, p.status)
		for _, m := range row.FindAllStringSubmatch(p.text, -1) {
			require.False(t, seen[m[1]], m[1])
			seen[m[1]] = true
		}
		path = ""
		if m := next.FindStringSubmatch(p.text); m != nil {
			path = html.UnescapeString(m[1])
		}
	}
	require.Equal(t, 3, pages)
	require.Len(t, seen, more+1)
	require.Equal(t, http.StatusOK, v.get("/ui/templates?after=%00%ff").status, "what is no place is the beginning")
}
