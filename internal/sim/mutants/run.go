//go:build mutants

package mutants

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/redrive/redrive/internal/sim"
	"github.com/redrive/redrive/internal/sim/planted"
)

// Between the start seeds of two campaigns: odd, so that they begin with different
// strategies, and so far that they share no seed.
const stride = 1_000_003

// clean is how many seeds must find nothing while no bug is on: a table of a
// broken program would say nothing.
const clean = 400

// Run measures how many seeds it takes to find each bug. A bug's campaigns are the
// same in every run of the same build, but for their times.
func Run(ctx context.Context, o Options) (Table, error) {
	if o.Campaigns == 0 {
		o.Campaigns = 100
	}
	if o.MaxSeeds == 0 {
		o.MaxSeeds = 20_000
	}
	if o.Workers == 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	if o.Campaigns < 1 || o.Workers < 1 {
		return Table{}, fmt.Errorf("%w: campaigns and workers must be 1 or more", ErrUsage)
	}
	bugs, err := named(o.Only)
	if err != nil {
		return Table{}, err
	}
	limits := map[string]uint64{}
	if o.Gate {
		if limits, err = Limits(); err != nil {
			return Table{}, err
		}
	}
	if err := isClean(ctx); err != nil {
		return Table{}, err
	}
	defer planted.Set(0)

	var t Table
	for _, b := range Bugs() {
		if b.Equivalent != "" {
			t.Equivalent = append(t.Equivalent, b)
		}
	}
	for _, b := range bugs {
		began := time.Now()
		seeds := o.MaxSeeds
		if o.Gate {
			if seeds = limits[b.Name]; seeds == 0 {
				return t, fmt.Errorf("%w: bug %s has no limit in limits.txt", ErrUsage, b.Name)
			}
		}
		planted.Set(Number(b.Name))
		outcomes, err := campaigns(ctx, o, seeds)
		if err != nil {
			return t, fmt.Errorf("bug %s: %w", b.Name, err)
		}
		r := rowOf(b, outcomes)
		r.Elapsed = time.Since(began)
		r.Limit = limits[b.Name]
		t.Rows = append(t.Rows, r)
		if o.Row != nil {
			o.Row(r)
		}
	}
	if missed := t.Missed(); o.Gate && len(missed) > 0 {
		return t, fmt.Errorf("%w: %s", ErrGate, strings.Join(missed, ", "))
	}
	return t, nil
}

// named finds bugs by name; all that have to be found if there are no names.
func named(names []string) ([]Bug, error) {
	all := Bugs()
	if len(names) == 0 {
		return slices.DeleteFunc(all, func(b Bug) bool { return !b.Simulated() }), nil
	}
	chosen := make([]Bug, 0, len(names))
	for _, name := range names {
		n := Number(name)
		if n == 0 {
			return nil, fmt.Errorf("%w: there is no planted bug %q", ErrUsage, name)
		}
		chosen = append(chosen, all[n-1])
	}
	return chosen, nil
}

// campaigns plays all campaigns of the bug that is on, one after the other: a few that
// take long would leave cores idle if each had one of its own.
func campaigns(ctx context.Context, o Options, seeds uint64) ([]outcome, error) {
	outcomes := make([]outcome, o.Campaigns)
	for i := range outcomes {
		var err error
		if outcomes[i], err = campaign(ctx, uint64(1+i*stride), seeds, o.Workers); err != nil {
			return nil, err
		}
	}
	return outcomes, ctx.Err()
}

func campaign(ctx context.Context, first, seeds uint64, workers int) (outcome, error) {
	c := sim.DefaultConfig()
	c.First, c.Seeds, c.Workers = first, seeds, workers
	report, err := sim.Campaign(ctx, c)
	if err != nil {
		return outcome{}, err
	}
	out := outcome{seeds: seeds, took: report.Elapsed}
	if len(report.Found) > 0 {
		f := &report.Found[0]
		out.seeds, out.rule = f.Seed-first+1, f.Violation.Rule.String()
	}
	return out, nil
}

// isClean plays the code without any bug.
func isClean(ctx context.Context) error {
	planted.Set(0)
	c := sim.DefaultConfig()
	c.Seeds = clean
	report, err := sim.Campaign(ctx, c)
	if err != nil {
		return err
	}
	if len(report.Found) > 0 {
		f := &report.Found[0]
		return fmt.Errorf("%w: with no bug planted, seed %d breaks a rule: %s", ErrUsage, f.Seed, f.Violation.Error())
	}
	return nil
}
