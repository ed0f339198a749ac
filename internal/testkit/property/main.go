// Package property sets up property tests.
package property

import (
	"flag"
	"os"
	"testing"
)

// Main is a TestMain for packages with property tests. It gives them a fixed
// seed, so that a red build is red again on the next machine, and numbers of
// checks and steps that take seconds. Flags win: explore with
// `go test ./core -rapid.seed=0 -rapid.checks=100000`.
func Main(m *testing.M, checks, steps string) {
	flag.Parse()
	chosen := map[string]bool{}
	flag.Visit(func(f *flag.Flag) { chosen[f.Name] = true })
	for name, value := range map[string]string{
		"rapid.seed": "20261115", "rapid.checks": checks, "rapid.steps": steps, "rapid.nofailfile": "true",
	} {
		if chosen[name] {
			continue
		}
		if err := flag.Set(name, value); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}
