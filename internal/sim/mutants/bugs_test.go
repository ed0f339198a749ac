package mutants_test

import (
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/internal/sim/mutants"
)

const root = "../../.."

// The planted bugs are still where the table says, and the code with them in it
// compiles and passes go vet. If this fails after a change of production code, the
// bug has to be planted in what the code is now.
func TestBugsCanBePlanted(t *testing.T) {
	t.Parallel()
	overlay, err := mutants.Plant(root, t.TempDir())
	require.NoError(t, err)
	args := []string{"vet", "-overlay", overlay, "-tags", "mutants", "./core", "./core/app", "./adapters/memory", "./internal/sim/..."}
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Dir = root
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
}
