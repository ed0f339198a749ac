package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"text/tabwriter"

	"github.com/redrive/redrive/internal/sim"
	"github.com/redrive/redrive/internal/sim/report"
	"github.com/redrive/redrive/internal/sim/sched"
	"github.com/redrive/redrive/internal/sim/world"
)

// doctorCmd asks whether equal choices give equal traces: without that no token
// and no campaign means anything.
type doctorCmd struct {
	Seeds  uint64   `default:"1000" placeholder:"N" help:"Worlds of each strategy."`
	From   uint64   `default:"1" placeholder:"SEED" help:"The first seed."`
	Faults []string `placeholder:"LIST" help:"Faults and their rates, as for run."`
	JSON   bool     `name:"json" help:"Write lines of JSON."`
	JUnit  string   `name:"junit" placeholder:"FILE" help:"Write a JUnit file."`
}

// playing is one way to play worlds that must make no difference.
type playing struct {
	name string
	play func(context.Context, sim.Config) ([]uint64, error)
}

// playings are compared with the first.
func playings() []playing {
	return []playing{
		{"GOMAXPROCS=1, one world after the other", func(ctx context.Context, c sim.Config) ([]uint64, error) {
			return hashes(ctx, c, 1)
		}},
		{"GOMAXPROCS=2, two at a time", func(ctx context.Context, c sim.Config) ([]uint64, error) {
			return hashes(ctx, c, 2)
		}},
		{"replayed from tokens", replays},
	}
}

// doctorLine is what was compared for one strategy.
type doctorLine struct {
	Type      string `json:"type"` // doctor
	Strategy  string `json:"strategy"`
	Worlds    uint64 `json:"worlds"`
	Hash      string `json:"hash"` // of all traces: the same on every machine
	Differing uint64 `json:"differing"`
	Seed      uint64 `json:"seed,omitempty"` // the first that differs
	Playing   string `json:"playing,omitempty"`
}

// Run plays and compares.
func (c *doctorCmd) Run(ctx context.Context, to streams) error {
	config := sim.DefaultConfig()
	config.First, config.Seeds, config.Continue, config.Wrap = c.From, c.Seeds, true, to.wrap
	var err error
	if config.Rates, err = parseFaults(c.Faults); err != nil {
		return ends(exitUsage, "--faults: %w", err)
	}
	if c.Seeds == 0 {
		return ends(exitUsage, "--seeds must be 1 or more")
	}
	var lines []doctorLine
	shown := newProgress(to.err)
	for _, s := range sim.Strategies() {
		if s == sim.Portfolio {
			continue // the others in turns
		}
		config.Strategy = s
		line, err := compare(ctx, config, shown)
		if err != nil {
			return err
		}
		lines = append(lines, line)
	}
	shown.done()
	if err := c.write(to, lines); err != nil {
		return err
	}
	for _, l := range lines {
		if l.Differing > 0 {
			return ends(exitNotDeterministic, "seed %d, strategy %s, gives another trace when %s: something decides that is not a choice of the scheduler, "+
				"for example the order of a map, the machine's clock, or a goroutine", l.Seed, l.Strategy, l.Playing)
		}
	}
	return nil
}

// compare plays the worlds of one strategy in every way.
func compare(ctx context.Context, config sim.Config, shown *progress) (doctorLine, error) {
	line := doctorLine{Type: "doctor", Strategy: string(config.Strategy), Worlds: config.Seeds}
	var first []uint64
	for _, p := range playings() {
		shown.line("%s: %s", config.Strategy, p.name)
		got, err := p.play(ctx, config)
		if err != nil {
			return line, err
		}
		if first == nil {
			first = got
		}
		for i, h := range got {
			if h == first[i] {
				continue
			}
			if line.Differing++; line.Differing == 1 {
				line.Seed, line.Playing = config.First+uint64(i), p.name
			}
		}
	}
	all := uint64(0)
	for _, h := range first {
		all = sched.Mix(all ^ h)
	}
	line.Hash = fmt.Sprintf("%016x", all)
	return line, nil
}

// hashes plays worlds on a number of cores.
func hashes(ctx context.Context, config sim.Config, cores int) ([]uint64, error) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(cores))
	all := make([]uint64, config.Seeds)
	config.Workers = cores
	config.Played = func(seed uint64, r *world.Result) { all[seed-config.First] = r.Hash } // each seed is one goroutine's
	_, err := sim.Campaign(ctx, config)
	return all, errors.Join(err, ctx.Err())
}

// replays plays each world from the token of its first playing, with its events
// recorded.
func replays(ctx context.Context, config sim.Config) ([]uint64, error) {
	all := make([]uint64, config.Seeds)
	for i := range all {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		_, token, err := sim.Play(config, config.First+uint64(i))
		if err != nil {
			return nil, err
		}
		read, err := sim.ParseToken(token.String())
		if err != nil {
			return nil, err
		}
		again, err := sim.ReplayWith(read, config.Wrap)
		if err != nil {
			return nil, err
		}
		all[i] = again.Hash
	}
	return all, nil
}

func (c *doctorCmd) write(to streams, lines []doctorLine) error {
	if c.JUnit != "" {
		suite := report.Suite{Name: "determinism"}
		for _, l := range lines {
			test := report.Test{Name: l.Strategy}
			if l.Differing > 0 {
				test.Failure = fmt.Sprintf("%d of %d worlds differ, the first is seed %d when %s", l.Differing, l.Worlds, l.Seed, l.Playing)
			}
			suite.Tests = append(suite.Tests, test)
		}
		if err := writeJUnit(c.JUnit, []report.Suite{suite}); err != nil {
			return err
		}
	}
	if c.JSON {
		w := report.NewLines(to.out)
		for _, l := range lines {
			if err := w.Write(l); err != nil {
				return err
			}
		}
		return nil
	}
	table := tabwriter.NewWriter(to.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "STRATEGY\tWORLDS\tDIFFERING\tHASH OF ALL TRACES")
	for _, l := range lines {
		fmt.Fprintf(table, "%s\t%d\t%d\t%s\n", l.Strategy, l.Worlds, l.Differing, l.Hash)
	}
	return table.Flush()
}
