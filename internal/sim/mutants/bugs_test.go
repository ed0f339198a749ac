package mutants_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
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
	args := []string{"vet", "-overlay", overlay, "-tags", "mutants", "./core", "./core/app", "./core/app/worker/scheduler", "./ports", "./adapters/memory", "./internal/sim/..."}
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Dir = root
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
}

// A table that nothing reads plants nothing, and all that is said of its bugs would be untrue.
func TestEveryTableIsRead(t *testing.T) {
	t.Parallel()
	entries, err := os.ReadDir("bugs")
	require.NoError(t, err)
	written := 0
	for _, e := range entries {
		text, err := os.ReadFile(filepath.Join("bugs", e.Name()))
		require.NoError(t, err)
		for line := range strings.Lines(string(text)) {
			if strings.HasPrefix(line, "bug ") {
				written++
			}
		}
	}
	require.Len(t, mutants.Bugs(), written)
}

// Bugs that worlds are too small for are found by the tests that the table names.
func TestBugsThatTestsFind(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	overlay, err := mutants.Plant(root, folder)
	require.NoError(t, err)
	built := map[string]string{}
	for _, b := range mutants.Bugs() {
		if b.Test == nil {
			continue
		}
		program := built[b.Test.Package]
		if program == "" {
			program = filepath.Join(folder, fmt.Sprintf("tests-%d", len(built)))
			build := exec.CommandContext(t.Context(), "go", "test", "-c", "-o", program, "-overlay", overlay, "-tags", "mutants", "./"+b.Test.Package)
			build.Dir = root
			out, err := build.CombinedOutput()
			require.NoError(t, err, "%s", out)
			built[b.Test.Package] = program
		}
		for _, on := range []bool{false, true} {
			test := exec.CommandContext(t.Context(), program, "-test.run", "^"+b.Test.Name+"$", "-test.v")
			test.Dir = filepath.Join(root, filepath.FromSlash(b.Test.Package))
			if on {
				test.Env = append(test.Environ(), fmt.Sprintf("REDRIVE_PLANTED=%d", mutants.Number(b.Name)))
			}
			out, err := test.CombinedOutput()
			if !on {
				require.NoError(t, err, "%s: %s", b.Name, out)
			}
			verdict := "--- PASS: " + b.Test.Name
			if on {
				verdict = "--- FAIL: " + b.Test.Name
			}
			require.Contains(t, string(out), verdict, b.Name)
		}
	}
}

// The public bugs that planted ones mirror are those of spec 12.
func TestMirroredBugsAreInTheSpecification(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(root + "/docs/spec.md")
	require.NoError(t, err)
	_, section, found := strings.Cut(string(text), "\n## 12. ")
	require.True(t, found)
	section, _, found = strings.Cut(section, "\n## ")
	require.True(t, found)
	mirrored := 0
	for _, b := range mutants.Bugs() {
		reports, _, _ := strings.Cut(b.Mirrors, ", of ")
		for report := range strings.SplitSeq(reports, ", ") {
			if report == "" {
				continue // it mirrors none
			}
			mirrored++
			require.Contains(t, section, report, b.Name)
		}
	}
	require.NotZero(t, mirrored)
}
