package sim_test

import (
	"flag"
	"testing"

	"github.com/redrive/redrive/internal/sim"
	"github.com/redrive/redrive/internal/testkit/property"
)

func TestMain(m *testing.M) {
	sim.RelaxGC()
	// A world takes a hundred times as long as what rapid usually checks, and its
	// shrinking has no other bound than time.
	if err := flag.Set("rapid.shrinktime", "500ms"); err != nil {
		panic(err)
	}
	property.Main(m, "400", "30")
}
