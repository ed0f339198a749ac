//go:build mutants

// Command measure finds the planted bugs and prints the table; see plant.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"

	"github.com/redrive/redrive/internal/sim/mutants"
)

func main() { os.Exit(run()) }

func run() (code int) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var o mutants.Options
	flag.IntVar(&o.Campaigns, "campaigns", 100, "campaigns for each bug")
	flag.Uint64Var(&o.MaxSeeds, "max-seeds", 20_000, "seeds after which a campaign gives up")
	flag.BoolVar(&o.Gate, "gate", false, "fail if a bug takes more seeds than its limit")
	only := flag.String("only", "", "names of bugs, separated by commas")
	lines := flag.Bool("json", false, "print one line of JSON a bug")
	limits := flag.String("limits", "", "write the gate's limits to this file")
	flag.Parse()
	if *only != "" {
		o.Only = strings.Split(*only, ",")
	}
	o.Row = func(r mutants.Row) {
		fmt.Fprintf(os.Stderr, "%-32s %3d/%d  median %5d  p95 %6d  worst %6d  %8s  %v\n", r.Name, r.Found, r.Campaigns, r.Median, r.P95, r.Worst, r.Elapsed.Round(1e6), r.Rules)
	}
	table, err := mutants.Run(ctx, o)
	if err != nil && !errors.Is(err, mutants.ErrGate) {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	write := table.Markdown
	if *lines {
		write = table.NDJSON
	}
	if err := write(os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	if *limits != "" {
		file, err := os.Create(*limits)
		if err == nil {
			err = errors.Join(table.WriteLimits(file), file.Close())
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 2
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 4
	}
	return 0
}
