package archtest

import (
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
)

// The workflow runs what .ci/run runs and nothing else, may only read, and uses actions of
// a fixed commit, with the version that it is beside it: a tag can be moved to other code.
func TestWorkflow(t *testing.T) {
	t.Parallel()
	text := readFile(t, ".github/workflows/ci.yml")
	require.Equal(t, []string{"run: .ci/run"}, regexp.MustCompile(`run: .*`).FindAllString(text, -1))
	require.Contains(t, text, "\npermissions:\n  contents: read\n\n")
	uses := regexp.MustCompile(`uses: .*`).FindAllString(text, -1)
	require.NotEmpty(t, uses)
	for _, action := range uses {
		require.Regexp(t, `^uses: [a-z-]+/[a-z-]+@[0-9a-f]{40} # v[0-9]+\.[0-9]+\.[0-9]+$`, action)
	}
}
