package bench

import (
	"context"
	"flag"
	"fmt"
	"os"
	"runtime/pprof"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/internal/testkit/pgtest"
)

// With go test -args. -cpuprofile is go test's own; the samples of each side have
// a label, so that `go tool pprof -tagfocus side=redrive` shows one of them.
var (
	rounds        = flag.Int("rounds", 3, "measurements of each figure, of which the median is shown")
	loads         = flag.String("loads", "1x10000,20x1000,1000x10", "how many groups of how many jobs")
	workers       = flag.String("workers", "100,500", "River's MaxWorkers and Redrive's Concurrency")
	conns         = flag.Int("conns", 10, "connections of each side")
	queueName     = flag.String("queue", "postgres", "Redrive's queue")
	outbox        = flag.Bool("outbox", true, "whether the transactions of Redrive's store send to its queue on Postgres, as a server's do")
	only          = flag.String("only", "", "river, redrive or floor, to measure one of them")
	riverCooldown = flag.Duration("river-cooldown", time.Millisecond, "River's FetchCooldown")
	statements    = flag.Bool("statements", false, "show what the database spent its time on (pg_stat_statements must be installed)")
)

// timeout bounds what must happen; only a hang uses it up.
const timeout = 5 * time.Minute

// warmUp fills connections, prepared statements and caches.
var warmUp = load{groups: 4, each: 500}

// side is one of the three, with a database of its own.
type side interface {
	database() *pgxpool.Pool
	// measure does the load, and times what counts.
	measure(b *testing.B, l load, timed stopwatch) figures
}

// stopwatch does one stretch of a load and gives its jobs a second.
type stopwatch func(stretch string, do func()) (perSecond float64)

// testOutput keeps warnings apart from the table.
type testOutput struct{}

func (testOutput) Write(p []byte) (int, error) { return os.Stderr.Write(p) }

// BenchmarkBesideRiver measures every load with every number of workers, both
// sides and the floor in turns, each time in a fresh database, and prints a table.
func BenchmarkBesideRiver(b *testing.B) {
	allLoads, err := parseLoads(*loads)
	require.NoError(b, err)
	allWorkers, err := parseNumbers(*workers)
	require.NoError(b, err)
	settings := []string{"shared_buffers=512MB", "max_wal_size=8GB"}
	if *statements {
		settings = append(settings, "shared_preload_libraries=pg_stat_statements", "pg_stat_statements.track=all")
	}
	server := pgtest.NewServer(b, pgtest.Options{Durable: true, Settings: settings})
	sides := []struct {
		name string
		make func(*testing.B, *pgtest.Server, int) side
	}{
		{"river", func(b *testing.B, s *pgtest.Server, n int) side { return newRiver(b, s, n) }},
		{"floor", func(b *testing.B, s *pgtest.Server, _ int) side { return newFloor(b, s) }},
		{"redrive", func(b *testing.B, s *pgtest.Server, n int) side { return newRedrive(b, s, n) }},
	}
	var table strings.Builder
	fmt.Fprintf(&table, "\nJobs a second, medians of %d rounds; %d connections; Redrive's queue: %s; River's FetchCooldown: %v.\n\n", *rounds, *conns, *queueName, *riverCooldown)
	fmt.Fprintln(&table, "| groups × jobs | workers | River end to end | Redrive end to end | ratio | River work only | Redrive work only | ratio | Redrive Continue end to end | floor end to end | Redrive's share | floor work only | Redrive's share |")
	fmt.Fprintln(&table, "|---|---|---|---|---|---|---|---|---|---|---|---|---|")
	for _, l := range allLoads {
		for _, n := range allWorkers {
			results := map[string][]figures{}
			for range *rounds {
				for _, s := range sides {
					if *only != "" && *only != s.name {
						continue
					}
					// A sub-benchmark has an end, at which its database is dropped.
					b.Run(fmt.Sprintf("%s/%dx%d/workers=%d", s.name, l.groups, l.each, n), func(b *testing.B) {
						pprof.Do(b.Context(), pprof.Labels("side", s.name), func(context.Context) {
							results[s.name] = append(results[s.name], measureOne(b, s.make(b, server, n), l))
						})
					})
				}
			}
			river, redrive, floor := medians(results["river"]), medians(results["redrive"]), medians(results["floor"])
			fmt.Fprintf(&table, "| %v | %d | %.0f | %.0f | %.2f | %.0f | %.0f | %.2f | %.0f | %.0f | %.2f | %.0f | %.2f |\n", l, n,
				river.endToEnd, redrive.endToEnd, redrive.endToEnd/river.endToEnd,
				river.workOnly, redrive.workOnly, redrive.workOnly/river.workOnly, redrive.again,
				floor.endToEnd, redrive.endToEnd/floor.endToEnd, floor.workOnly, redrive.workOnly/floor.workOnly)
		}
	}
	fmt.Println(table.String())
}

// measureOne measures once: b.N is of no use where a database is made for each
// measurement.
func measureOne(b *testing.B, s side, l load) (f figures) {
	b.Helper()
	spent := newSpending(b, s.database())
	for range b.N {
		f = s.measure(b, l, func(stretch string, do func()) float64 {
			_, err := s.database().Exec(b.Context(), "CHECKPOINT") // what was before is no burden
			require.NoError(b, err)
			spent.begin(b)
			began := time.Now()
			do()
			took := time.Since(began)
			spent.end(b, stretch, l.jobs(), took)
			return float64(l.jobs()) / took.Seconds()
		})
	}
	b.ReportMetric(f.endToEnd, "jobs/s")
	b.ReportMetric(f.workOnly, "worked/s")
	if f.again > 0 {
		b.ReportMetric(f.again, "continued/s")
	}
	b.ReportMetric(0, "ns/op")
	return f
}

func medians(of []figures) figures {
	if len(of) == 0 {
		return figures{}
	}
	var all [3][]float64
	for _, f := range of {
		all[0], all[1], all[2] = append(all[0], f.endToEnd), append(all[1], f.workOnly), append(all[2], f.again)
	}
	return figures{median(all[0]), median(all[1]), median(all[2])}
}
