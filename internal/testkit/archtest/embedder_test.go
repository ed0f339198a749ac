package archtest

import (
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"
)

// embedder is a module of its own that embeds Redrive as a stranger would.
const embedder = "../../embedder"

// A stranger's module compiles against what Redrive exports, and his adapters pass the
// public suites. It needs nothing from the network: all that it needs, Redrive's own tests
// need as well.
func TestAnEmbedderPassesTheSuites(t *testing.T) {
	t.Parallel()
	out, err := inEmbedder("test", "-count=1", "-timeout=5m", "./...").CombinedOutput()
	require.NoError(t, err, "go test, in internal/embedder:\n%s\nIf its go.mod or go.sum is behind: make tidy", out)
}

func inEmbedder(args ...string) *exec.Cmd {
	cmd := exec.Command("go", args...)
	cmd.Dir = embedder
	cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=readonly")
	return cmd
}
