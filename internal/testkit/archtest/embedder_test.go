package archtest

import (
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
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

// What an embedder compiles is what he uses: with core/app and the worker one module, with
// a store those of the store. A new one is a decision for each of them.
func TestWhatAnEmbedderCompiles(t *testing.T) {
	t.Parallel()
	const ids = "github.com/google/uuid"
	for program, want := range map[string][]string{
		"inmemory": {ids},
		"onpostgres": {
			ids,
			"github.com/jackc/pgpassfile", "github.com/jackc/pgservicefile", "github.com/jackc/pgx/v5", "github.com/jackc/puddle/v2",
			"github.com/mfridman/interpolate", "github.com/pressly/goose/v3", "github.com/sethvargo/go-retry", "go.uber.org/multierr",
			"golang.org/x/sync", "golang.org/x/text",
		},
		"onsqlite": {
			ids,
			"github.com/dustin/go-humanize", "github.com/gofrs/flock", "github.com/mfridman/interpolate", "github.com/pressly/goose/v3",
			"github.com/remyoudompheng/bigfft", "github.com/sethvargo/go-retry", "go.uber.org/multierr",
			"golang.org/x/sync", "golang.org/x/sys", "modernc.org/libc", "modernc.org/mathutil", "modernc.org/memory", "modernc.org/sqlite",
		},
	} {
		cmd := inEmbedder("list", "-deps", "-f", "{{with .Module}}{{if not .Main}}{{.Path}}{{end}}{{end}}", "./"+program)
		cmd.Env = append(cmd.Env, "GOOS=linux", "GOARCH=amd64", "CGO_ENABLED=0") // elsewhere a store may need others
		out, err := cmd.Output()
		require.NoError(t, err)
		got := map[string]bool{}
		for _, path := range strings.Fields(string(out)) {
			got[path] = true
		}
		delete(got, module)
		require.ElementsMatch(t, want, slices.Collect(maps.Keys(got)), program)
	}
}

// `go mod tidy` downloads for an embedder what the tests of the packages that he imports
// need as well: no broker, no cloud, no browser.
func TestWhatAnEmbedderDownloads(t *testing.T) {
	t.Parallel()
	heavy := []string{
		"github.com/ThreeDotsLabs", "github.com/nats-io", "github.com/lib/pq", // brokers
		"gocloud.dev", "github.com/aws", "github.com/Azure", "cloud.google.com", "google.golang.org", "go.opentelemetry.io", // clouds
		"github.com/chromedp", "github.com/getkin", "github.com/uptrace", // browsers and HTTP
	}
	for _, dir := range []string{"core", "core/app", "core/app/worker", "adapters/memory", "adapters/postgres", "adapters/sqlite", "adapters/adaptertest/..."} {
		packages := list(t, "-deps", "-test", module+"/"+dir)
		require.NotEmpty(t, packages)
		for _, p := range packages {
			require.False(t, slices.ContainsFunc(heavy, func(h string) bool { return within(p.ImportPath, h) }), "%s or its tests import %s", dir, p.ImportPath)
		}
	}
}
