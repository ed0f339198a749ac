package httpapi_test

import (
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/httpapi"
	"github.com/redrive/redrive/core"
)

// The table of spec 9 has every code with its status, and no other.
func TestSpecificationOfErrors(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/spec.md")
	require.NoError(t, err)
	_, section, found := strings.Cut(string(text), "\n## 9. ")
	require.True(t, found)
	section, _, found = strings.Cut(section, "\n## ")
	require.True(t, found)
	specified := map[string]int{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| ([0-9]{3}) \\|").FindAllStringSubmatch(section, -1) {
		require.NotContains(t, specified, m[1])
		specified[m[1]], err = strconv.Atoi(m[2])
		require.NoError(t, err)
	}
	answered := map[string]int{}
	for _, code := range httpapi.ProblemCodes() {
		answered[code] = httpapi.ProblemStatus(core.Code(code))
	}
	require.Equal(t, answered, specified)
}
