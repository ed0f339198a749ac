package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redrive/redrive/internal/sim"
	"github.com/redrive/redrive/internal/sim/history"
	"github.com/redrive/redrive/internal/sim/report"
)

type linearizeCmd struct {
	Seeds    uint64        `default:"1000" placeholder:"N" help:"How many worlds."`
	From     uint64        `default:"1" placeholder:"SEED" help:"The first seed."`
	Limit    time.Duration `default:"10s" placeholder:"10s" help:"How long is looked for an order in each history; then it is unknown."`
	Strategy string        `enum:"${strategies}" default:"portfolio" help:"How schedules are chosen: ${enum}."`
	Faults   []string      `placeholder:"LIST" help:"Faults and their rates, as for run."`
	Workers  int           `placeholder:"N" help:"Goroutines; one per core if not given."`
	JSON     bool          `name:"json" help:"Write lines of JSON."`
	JUnit    string        `name:"junit" placeholder:"FILE" help:"Write a JUnit file."`
}

// linearizeLine is what was checked.
type linearizeLine struct {
	Type       string `json:"type"` // linearize
	First      uint64 `json:"first"`
	Worlds     uint64 `json:"worlds"`
	Strategy   string `json:"strategy"`
	Histories  uint64 `json:"histories"`
	Operations uint64 `json:"operations"`
	Open       uint64 `json:"open"` // operations whose outcome nobody knows
	OK         uint64 `json:"linearizable"`
	Illegal    uint64 `json:"notLinearizable"`
	Unknown    uint64 `json:"unknown"`
}

// notLinearLine is a history for which no order was found.
type notLinearLine struct {
	Type    string `json:"type"` // history
	Seed    uint64 `json:"seed"`
	Tenant  string `json:"tenant"`
	Verdict string `json:"verdict"`
	History string `json:"history"`
	Token   string `json:"token"`
	Command string `json:"command"`
}

// Run checks the histories.
func (c *linearizeCmd) Run(ctx context.Context, to streams) error {
	config := sim.LinearizeConfig{Config: sim.DefaultConfig(), Limit: c.Limit}
	config.First, config.Seeds, config.Workers, config.Wrap = c.From, c.Seeds, c.Workers, to.wrap
	var err error
	if config.Strategy, err = sim.ParseStrategy(c.Strategy); err != nil {
		return ends(exitUsage, "%w", err)
	}
	if config.Rates, err = parseFaults(c.Faults); err != nil {
		return ends(exitUsage, "--faults: %w", err)
	}
	if c.Seeds == 0 || c.Limit <= 0 || c.Workers < 0 {
		return ends(exitUsage, "--seeds and --limit must be more than 0, --workers must not be negative")
	}
	checked, err := sim.Linearize(ctx, config)
	if err != nil {
		return err
	}
	fmt.Fprintf(to.err, "%s: %d worlds, %d histories checked in %s in all\n", checked.Elapsed.Round(time.Millisecond),
		checked.Seeds, checked.Histories, checked.Checking.Round(time.Millisecond))
	if err := errors.Join(c.write(to, &checked), c.writeJUnit(&checked)); err != nil {
		return err
	}
	switch {
	case ctx.Err() != nil:
		return ends(exitUnknown, "interrupted after %d of %d worlds", checked.Seeds, c.Seeds)
	case checked.Illegal > 0:
		return ends(exitViolation, "%d histories are not linearizable", checked.Illegal)
	case checked.Unknown > 0:
		return ends(exitUnknown, "nothing is known of %d histories; give --limit more time", checked.Unknown)
	}
	return nil
}

func (c *linearizeCmd) write(to streams, r *sim.LinearizeReport) error {
	if !c.JSON {
		fmt.Fprintf(to.out, "%d histories of %d worlds (from seed %d, strategy %s): %d linearizable, %d not, %d unknown.\n",
			r.Histories, r.Seeds, c.From, c.Strategy, r.OK, r.Illegal, r.Unknown)
		fmt.Fprintf(to.out, "%d operations, %d of them with an outcome that nobody knows.\n", r.Operations, r.Open)
		for i := range r.Found {
			f := &r.Found[i]
			fmt.Fprintf(to.out, "\nSeed %d, tenant %s: %s.\n%s\nReplay it:  %s\n", f.Seed, f.Tenant, f.Verdict, f.Text, replaying(f.Token))
		}
		return nil
	}
	lines := report.NewLines(to.out)
	err := lines.Write(linearizeLine{
		"linearize", c.From, r.Seeds, c.Strategy, r.Histories, r.Operations, r.Open, r.OK, r.Illegal, r.Unknown,
	})
	for i := range r.Found {
		f := &r.Found[i]
		err = errors.Join(err, lines.Write(notLinearLine{
			"history", f.Seed, string(f.Tenant), f.Verdict.String(), f.Text, f.Token.String(), replaying(f.Token),
		}))
	}
	return err
}

func (c *linearizeCmd) writeJUnit(r *sim.LinearizeReport) error {
	if c.JUnit == "" {
		return nil
	}
	test := report.Test{Name: fmt.Sprintf("%d histories", r.Histories)}
	for i := range r.Found {
		f := &r.Found[i]
		switch {
		case f.Verdict == history.Illegal:
			test.Failure = fmt.Sprintf("seed %d, tenant %s: not linearizable", f.Seed, f.Tenant)
			test.Details += f.Text + "\n"
		case test.Failure == "":
			test.Failure = fmt.Sprintf("seed %d, tenant %s: unknown", f.Seed, f.Tenant)
		}
	}
	return writeJUnit(c.JUnit, []report.Suite{{Name: "linearizability", Tests: []report.Test{test}}})
}
