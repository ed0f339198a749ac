package main

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Flags, variables and commands of the program that documents for operators and clients
// name are there.
func TestNamedFlagsExist(t *testing.T) {
	t.Parallel()
	parser, _ := parserOf(t)
	flags, variables, commands := map[string]bool{"help": true}, map[string]bool{}, map[string]bool{}
	for _, leaf := range parser.Model.Leaves(false) {
		commands[strings.TrimPrefix(leaf.FullPath(), "redrive ")] = true
	}
	for f := range flagsOf(parser.Model) {
		flags[f.Name] = true
		if f.Tag.Negatable != "" {
			flags["no-"+f.Name] = true
		}
		for _, name := range f.Envs {
			variables[name] = true
		}
	}
	named := 0
	for _, path := range []string{"README.md", "SECURITY.md", "docs/http.md", "docs/operations.md", "docs/spec.md"} {
		content, err := os.ReadFile("../../" + path)
		require.NoError(t, err)
		text := string(content)
		quoted := regexp.MustCompile("`--([a-z][a-z-]+)[^`]*`").FindAllStringSubmatch(text, -1)
		for _, line := range regexp.MustCompile(`(?m)^go run \./cmd/server.*$`).FindAllString(text, -1) {
			line, _, _ = strings.Cut(line, "#")
			quoted = append(quoted, regexp.MustCompile(` --([a-z][a-z-]+)`).FindAllStringSubmatch(line, -1)...)
			words := regexp.MustCompile(`^go run \./cmd/server((?: [a-z]+)*)`).FindStringSubmatch(line)[1]
			if words = strings.TrimSpace(words); words != "" {
				named++
				require.Contains(t, commands, words, "%s: %s", path, line)
			}
		}
		for _, m := range quoted {
			named++
			require.Contains(t, flags, m[1], "%s: --%s", path, m[1])
		}
		for _, name := range regexp.MustCompile(`\b(?:REDRIVE|LLM)_[A-Z_]+\b|\b(?:DATABASE|QUEUE)_URL\b`).FindAllString(text, -1) {
			named++
			require.Contains(t, variables, name, path)
		}
	}
	require.Greater(t, named, 40, "they are not found any more")
}
