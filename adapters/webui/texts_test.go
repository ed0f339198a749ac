package webui_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

type catalogue map[string]json.RawMessage

func readCatalogue(t *testing.T, name string) catalogue {
	t.Helper()
	b, err := os.ReadFile("texts/" + name + ".json")
	require.NoError(t, err)
	var c catalogue
	require.NoError(t, json.Unmarshal(b, &c))
	return c
}

var places = regexp.MustCompile(`%\[\d+\][a-z]|\{\w+\}`)

// Every text exists in every language, with the same parameters.
func TestTextsAreTranslated(t *testing.T) {
	t.Parallel()
	english, german := readCatalogue(t, "en"), readCatalogue(t, "de")
	require.Len(t, german, len(english))
	for key, text := range english {
		other, there := german[key]
		require.True(t, there, "no German for %s", key)
		require.Equal(t, text[0], other[0], "%s has plural forms in one language alone", key)
		have, want := places.FindAllString(string(other), -1), places.FindAllString(string(text), -1)
		slices.Sort(have)
		slices.Sort(want)
		require.Equal(t, want, have, key)
	}
}

// Every text that a template or the code names exists, and none is unused.
func TestTextsAreUsed(t *testing.T) {
	t.Parallel()
	english := readCatalogue(t, "en")
	sources := ""
	for _, pattern := range []string{"html/*.html", "*.go"} {
		paths, err := filepath.Glob(pattern)
		require.NoError(t, err)
		for _, path := range paths {
			if strings.HasSuffix(path, "_test.go") {
				continue
			}
			b, err := os.ReadFile(path)
			require.NoError(t, err)
			sources += string(b)
		}
	}
	named := regexp.MustCompile(`\bT\(?\s*"([a-zA-Z_.]+)"[\s,)}]`).FindAllStringSubmatch(sources, -1)
	require.Greater(t, len(named), 100)
	for _, m := range named {
		_, there := english[m[1]]
		require.True(t, there || strings.HasSuffix(m[1], "."), "%s is named and missing", m[1])
	}
	// Keys that are composed with a value of the domain begin with one of these.
	made := []string{
		"month.", "role.", "run.status.", "file.status.", "reason.", "failure.", "notice.", "problem.", "continue.", "entry.",
		"mode.", "try.fault.", "signin.demo.", "receipt.", "field.", "nav.", "upload.", "files.", "tally.", "key.role.", "key.status.", "webhook.event.", "webhook.status.", "webhook.delivery.", "audit.", "bulk.",
	}
	for key := range english {
		if !strings.Contains(sources, `"`+key+`"`) {
			require.True(t, slices.ContainsFunc(made, func(p string) bool { return strings.HasPrefix(key, p) }), "%s is used nowhere", key)
		}
	}
}
