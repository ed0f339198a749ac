package main

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/internal/sim"
	"github.com/redrive/redrive/internal/sim/faults"
	"github.com/redrive/redrive/internal/sim/oracle"
	"github.com/redrive/redrive/internal/sim/world"
)

var update = flag.Bool("update", false, "write the generated parts of the reference anew")

const reference = "../../docs/simulator.md"

// generated are the parts of the reference that the code knows better.
func generated(t *testing.T) map[string]string {
	parts := map[string]string{
		"faults": faultTable(), "rules": ruleTable(), "situations": situationList(),
		"strategies": codes(strings.Split(strategyNames(), ",")), "scenarios": codes(world.Small()),
	}
	for _, command := range []string{"run", "replay", "shrink", "exhaust", "linearize", "doctor", "mutants", "explain"} {
		help := try(t, command, "--help")
		require.Equal(t, exitClean, help.code)
		parts["sim "+command+" --help"] = "```\n" + strings.TrimSpace(trimLines(help.out)) + "\n```\n"
	}
	return parts
}

// trimLines takes away what stands at the ends of lines and cannot be seen.
func trimLines(text string) string {
	return regexp.MustCompile(`(?m)[ \t]+$`).ReplaceAllString(text, "")
}

func codes(names []string) string { return "`" + strings.Join(names, "`, `") + "`\n" }

func faultTable() string {
	var b strings.Builder
	b.WriteString("| name | rate | what can happen |\n|---|---|---|\n")
	rates := sim.DefaultRates()
	for _, k := range faultKinds() {
		var words []string
		for v := 1; v < max(2, faults.Alternatives[k]); v++ {
			words = append(words, faults.Words(k, v))
		}
		fmt.Fprintf(&b, "| `%s` | %g | %s |\n", faults.KindName(k), rates[k], strings.Join(words, "; "))
	}
	return b.String()
}

func ruleTable() string {
	var b strings.Builder
	b.WriteString("| rule | what must hold |\n|---|---|\n")
	for r := oracle.None + 1; int(r) < oracle.RuleCount; r++ {
		fmt.Fprintf(&b, "| %s | %s |\n", r, r.Words())
	}
	return b.String()
}

func situationList() string {
	var b strings.Builder
	for s := range oracle.SituationCount {
		fmt.Fprintf(&b, "- %s\n", oracle.Situation(s))
	}
	return b.String()
}

// The reference says what the code does: names, rates, rules, situations, flags.
func TestReferenceIsUpToDate(t *testing.T) {
	t.Parallel()
	content, err := os.ReadFile(reference)
	require.NoError(t, err)
	text := string(content)
	for name, want := range generated(t) {
		part := regexp.MustCompile(`(?s)(<!-- generated: ` + regexp.QuoteMeta(name) + ` -->\n).*?(<!-- end -->)`)
		require.Regexp(t, part, text, "the reference has no part %q", name)
		text = part.ReplaceAllString(text, "${1}"+strings.ReplaceAll(want, "$", "$$")+"${2}")
	}
	if *update {
		require.NoError(t, os.WriteFile(reference, []byte(text), 0o600))
		return
	}
	require.Equal(t, text, string(content), "go test ./cmd/sim -run Reference -update writes it anew")
}

// Every flag that the reference or the README names is one.
func TestNamedFlagsExist(t *testing.T) {
	t.Parallel()
	var helps strings.Builder
	for _, part := range generated(t) {
		helps.WriteString(part)
	}
	for _, path := range []string{reference, "../../README.md"} {
		content, err := os.ReadFile(path)
		require.NoError(t, err)
		for _, line := range regexp.MustCompile(`(?m)^.*cmd/sim .*$`).FindAllString(string(content), -1) {
			for _, name := range regexp.MustCompile(`--[a-z]+`).FindAllString(line, -1) {
				require.Contains(t, helps.String(), name, line)
			}
		}
	}
}
