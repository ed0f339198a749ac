package sim_test

import (
	"testing"

	"github.com/redrive/redrive/internal/sim"
)

// BenchmarkSeeds plays one default world an iteration, with every check on. CPU
// time per seed (go test -cpuprofile, or time -v) is less noisy than seeds/s. The
// collector is relaxed, as it is in cmd/sim.
func BenchmarkSeeds(b *testing.B) {
	c := sim.DefaultConfig()
	c.First, c.Seeds = 1, uint64(b.N)
	b.ReportAllocs()
	report, err := sim.Campaign(b.Context(), c)
	if err != nil {
		b.Fatal(err)
	}
	if len(report.Found) > 0 {
		b.Fatal(report.Found[0].Violation.Error())
	}
	b.ReportMetric(float64(report.Seeds)/report.Elapsed.Seconds(), "seeds/s")
	b.ReportMetric(float64(report.Steps)/report.Elapsed.Seconds(), "steps/s")
	b.ReportMetric(float64(report.Steps)/float64(report.Seeds), "steps/seed")
}
