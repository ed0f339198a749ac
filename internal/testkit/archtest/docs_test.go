package archtest

import (
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/require"
)

var (
	heading  = regexp.MustCompile(`(?m)^#{1,6} +(.+?) *#*$`)
	fence    = regexp.MustCompile("(?ms)^```.*?^```$")
	code     = regexp.MustCompile("`[^`\n]+`")
	link     = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	target   = regexp.MustCompile(`(?m)^([a-z][a-z-]*):`)
	makes    = regexp.MustCompile("(?:`|^|\\n|run: )make ([a-z][a-z-]*)")
	goRuns   = regexp.MustCompile(`go (?:run|build|test|vet) [^\n` + "`" + `]*?(\./[A-Za-z0-9_/.-]+)`)
	pathLike = regexp.MustCompile("`((?:core|ports|adapters|cmd|internal|docs|\\.ci|\\.github)/[A-Za-z0-9_./-]*)`")
)

// documents lists the Markdown files.
func documents(t *testing.T) []string {
	t.Helper()
	list := sources(t, ".md")
	require.Contains(t, list, "README.md")
	require.Contains(t, list, "docs/spec.md")
	return list
}

// anchors gives the fragments of a document's headings, as the repository's host makes
// them.
func anchors(text string) map[string]bool {
	names := map[string]bool{}
	for _, m := range heading.FindAllStringSubmatch(fence.ReplaceAllString(text, ""), -1) {
		names[anchor(m[1])] = true
	}
	return names
}

func anchor(title string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
			return unicode.ToLower(r)
		}
		return -1
	}, title)
}

// brokenLinks gives the links of a document that lead nowhere in the repository. Links to
// other sites are not looked at: tests work without a network.
func brokenLinks(t *testing.T, document, text string) (broken []string) {
	t.Helper()
	prose := code.ReplaceAllString(fence.ReplaceAllString(text, ""), "")
	for _, m := range link.FindAllStringSubmatch(prose, -1) {
		to, err := url.Parse(m[1])
		if err != nil {
			broken = append(broken, m[1])
			continue
		}
		if to.Scheme != "" {
			continue
		}
		linked := text
		if to.Path != "" {
			file := path.Join(path.Dir(document), to.Path)
			if !exists(file) {
				broken = append(broken, m[1])
				continue
			}
			if to.Fragment != "" {
				linked = readFile(t, file)
			}
		}
		if to.Fragment != "" && !anchors(linked)[to.Fragment] {
			broken = append(broken, m[1])
		}
	}
	return broken
}

func TestLinksOfDocuments(t *testing.T) {
	t.Parallel()
	links := 0
	for _, document := range documents(t) {
		text := readFile(t, document)
		links += len(link.FindAllString(text, -1))
		require.Empty(t, brokenLinks(t, document, text), "%s has links that lead nowhere", document)
	}
	require.Greater(t, links, 30, "links are not found any more")
}

func TestLinksThatAreBroken(t *testing.T) {
	t.Parallel()
	for text, broken := range map[string][]string{
		"[x](spec.md#3-continue)":                nil,
		"[x](../README.md)":                      nil,
		"[x](https://example.com/nothing#there)": nil,
		"# A b\n[x](#a-b)":                       nil,
		"`[x](nothing.md)`":                      nil,
		"[x](nothing.md)":                        {"nothing.md"},
		"![x](screenshots/nothing.png)":          {"screenshots/nothing.png"},
		"[x](spec.md#3-proceed)":                 {"spec.md#3-proceed"},
		"[x](spec.md) and [y](README.md)":        {"README.md"},
	} {
		require.Equal(t, broken, brokenLinks(t, "docs/architecture.md", text), text)
	}
}

// Every make target, package and path that a document names is there.
func TestCommandsOfDocuments(t *testing.T) {
	t.Parallel()
	targets := map[string]bool{}
	for _, m := range target.FindAllStringSubmatch(readFile(t, "Makefile"), -1) {
		targets[m[1]] = true
	}
	require.Contains(t, targets, "test")
	texts := append(documents(t), ".ci/run", "Makefile")
	texts = append(texts, sources(t, ".yml", ".yaml")...)
	commands, paths := 0, 0
	for _, document := range texts {
		text := readFile(t, document)
		for _, m := range makes.FindAllStringSubmatch(text, -1) {
			commands++
			require.Contains(t, targets, m[1], "%s: make %s", document, m[1])
		}
		for _, m := range goRuns.FindAllStringSubmatch(text, -1) {
			commands++
			require.True(t, exists(strings.TrimSuffix(m[1], "/...")), "%s: %s", document, m[0])
		}
		for _, m := range pathLike.FindAllStringSubmatch(text, -1) {
			paths++
			require.True(t, exists(m[1]), "%s names %s", document, m[1])
		}
	}
	require.Greater(t, commands, 20, "commands are not found any more")
	require.Greater(t, paths, 20, "paths are not found any more")
}

func exists(file string) bool {
	_, err := os.Stat(filepath.Join(root, filepath.FromSlash(file)))
	return err == nil
}
