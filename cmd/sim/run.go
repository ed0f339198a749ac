package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/redrive/redrive/internal/sim"
	"github.com/redrive/redrive/internal/sim/oracle"
	"github.com/redrive/redrive/internal/sim/report"
)

// runCmd is a campaign.
type runCmd struct {
	Profile  string        `enum:"ci,default,deep" default:"default" help:"How much is searched: default, ${default_seeds} seeds; ci, ${ci_seeds}; deep, ${deep_for}."`
	Seeds    uint64        `placeholder:"N" help:"How many seeds, instead of the profile's number."`
	From     uint64        `default:"1" placeholder:"SEED" help:"The first seed."`
	For      time.Duration `placeholder:"30s" help:"How long, instead of a number of seeds; with --seeds, whichever ends first."`
	Strategy string        `enum:"${strategies}" default:"portfolio" help:"How schedules are chosen: ${enum}."`
	Faults   []string      `placeholder:"LIST" help:"Faults and their rates, for example none,crash=0.1: all, none, NAME or NAME=RATE, from left to right."`
	Coverage string        `enum:"auto,require,ignore" default:"auto" help:"Whether situations that were never met fail the campaign: require; ignore; auto, if it has ${covered_after} seeds or more, with all strategies and faults."`
	Workers  int           `placeholder:"N" help:"Goroutines; one per core if not given."`
	Whole    bool          `help:"Show the violation as it was found, not shrunk."`
	HTML     string        `name:"html" placeholder:"FILE" help:"Write an HTML page about the violation, if there is one."`
	JSON     bool          `name:"json" help:"Write lines of JSON."`
	JUnit    string        `name:"junit" placeholder:"FILE" help:"Write a JUnit file."`
}

// profile is what a campaign searches unless flags say otherwise.
type profile struct {
	seeds   uint64
	lasting time.Duration
}

func profiles() map[string]profile {
	return map[string]profile{
		"default": {seeds: 10_000},
		"ci":      {seeds: 100_000},
		"deep":    {lasting: 10 * time.Minute},
	}
}

// config makes a campaign of the flags.
func (c *runCmd) config() (sim.Config, error) {
	p := profiles()[c.Profile]
	config := sim.DefaultConfig()
	config.First, config.Workers = c.From, c.Workers
	switch {
	case c.Seeds > 0 || c.For > 0:
		config.Seeds, config.For = c.Seeds, c.For
	default:
		config.Seeds, config.For = p.seeds, p.lasting
	}
	if c.For < 0 || c.Workers < 0 {
		return config, ends(exitUsage, "--for and --workers must not be negative")
	}
	var err error
	if config.Strategy, err = sim.ParseStrategy(c.Strategy); err != nil {
		return config, ends(exitUsage, "%w", err)
	}
	if config.Rates, err = parseFaults(c.Faults); err != nil {
		return config, ends(exitUsage, "--faults: %w", err)
	}
	return config, nil
}

// covers reports whether every situation must be met. That can be asked of a long
// campaign with all strategies and faults.
func (c *runCmd) covers(played uint64) bool {
	whole := c.Strategy == string(sim.Portfolio) && len(c.Faults) == 0 && played >= oracle.CoveredAfter
	return c.Coverage == "require" || c.Coverage == "auto" && whole
}

// Run plays the campaign.
func (c *runCmd) Run(ctx context.Context, to streams) error {
	config, err := c.config()
	if err != nil {
		return err
	}
	shown := newProgress(to.err)
	config.Progress, config.Wrap = shown.campaign, to.wrap
	found, err := sim.Campaign(ctx, config)
	shown.done()
	fmt.Fprintln(to.err, speed(&found))
	if err != nil {
		return ends(exitNotDeterministic, "%w", err)
	}
	if ctx.Err() != nil {
		fmt.Fprintln(to.err, "sim: interrupted; what is said is about the seeds until then")
	}
	var violated *report.Case
	if len(found.Found) > 0 {
		if violated, err = c.violated(ctx, &found.Found[0], to); err != nil {
			return err
		}
	}
	if err := c.write(to, config, &found, violated); err != nil {
		return err
	}
	if c.JUnit != "" {
		if err := writeJUnit(c.JUnit, c.suites(&found, violated)); err != nil {
			return err
		}
	}
	if violated != nil {
		return ends(exitViolation, "a rule was violated")
	}
	if missing := unmet(&found.Situations); c.covers(found.Seeds) && len(missing) > 0 {
		return ends(exitGate, "%d situations were never met, so that nothing is known about them; play more seeds", len(missing))
	}
	return nil
}

// violated replays what was found, and shrinks it. It must be what was found: else
// nothing that the simulator says could be trusted.
func (c *runCmd) violated(ctx context.Context, f *sim.Found, to streams) (*report.Case, error) {
	again, err := sim.ReplayWith(f.Token, to.wrap)
	if err != nil {
		return nil, err
	}
	if again.Hash != f.Hash {
		return nil, ends(exitNotDeterministic, "seed %d violates %s, but its replay is another trace (hash %016x, not %016x); run `sim doctor`. Token: %s",
			f.Seed, f.Violation.Rule, again.Hash, f.Hash, f.Token)
	}
	token, note := f.Token, fmt.Sprintf("Seed %d, strategy %s.", f.Seed, f.Strategy)
	if !c.Whole {
		shrunk, stats, err := sim.Shrink(ctx, f.Token, sim.ShrinkOptions{Wrap: to.wrap})
		switch {
		case errors.Is(err, context.Canceled):
			fmt.Fprintln(to.err, "sim: interrupted while shrinking; this is the smallest so far")
		case err != nil:
			return nil, err
		}
		token, note = shrunk, note+" "+shrinking(&stats)
	}
	violated, err := caseOf(token, to, replaying(token))
	if err != nil {
		return nil, err
	}
	violated.Note = note
	if c.HTML != "" {
		if err := writePage(c.HTML, violated); err != nil {
			return nil, err
		}
	}
	return violated, nil
}

// campaignLine is what a campaign searched.
type campaignLine struct {
	Type     string  `json:"type"` // campaign
	First    uint64  `json:"first"`
	Seeds    *uint64 `json:"seeds,omitempty"` // played, if a number was asked for and nothing was found
	Steps    *uint64 `json:"steps,omitempty"`
	Strategy string  `json:"strategy"`
	Held     bool    `json:"held"`
	Met      int     `json:"met"` // situations
	Of       int     `json:"of"`
}

// write says on standard output what came of the campaign. What depends on how
// fast the machine is, is left out: the number of seeds that a time was enough
// for, and what other cores did before a violation ended the campaign.
func (c *runCmd) write(to streams, config sim.Config, found *sim.Report, violated *report.Case) error {
	bounded := config.For == 0 && violated == nil
	if c.JSON {
		lines := report.NewLines(to.out)
		line := campaignLine{Type: "campaign", First: config.First, Strategy: c.Strategy, Held: violated == nil, Of: oracle.SituationCount}
		if violated != nil {
			return errors.Join(lines.Write(line), lines.Violation(violated), lines.Events(violated, report.All))
		}
		line.Met = met(&found.Situations)
		if !bounded {
			return lines.Write(line)
		}
		line.Seeds, line.Steps = &found.Seeds, &found.Steps
		return errors.Join(lines.Write(line), lines.Situations(&found.Situations))
	}
	if violated != nil {
		return report.Text(to.out, violated, report.All)
	}
	if !bounded {
		fmt.Fprintf(to.out, "Every rule held, from seed %d, strategy %s.\n", config.First, config.Strategy)
	} else {
		fmt.Fprintf(to.out, "Every rule held in %d worlds (from seed %d, strategy %s) of %d steps in all.\n\n", found.Seeds, config.First, config.Strategy, found.Steps)
		table := tabwriter.NewWriter(to.out, 0, 0, 2, ' ', tabwriter.AlignRight)
		fmt.Fprintln(table, "WORLDS\t  SITUATION")
		for i, worlds := range found.Situations {
			fmt.Fprintf(table, "%d\t  %s\n", worlds, oracle.Situation(i))
		}
		if err := table.Flush(); err != nil {
			return err
		}
	}
	if missing := unmet(&found.Situations); len(missing) > 0 {
		fmt.Fprintf(to.out, "\nNever met: %s.\n", strings.Join(missing, "; "))
	}
	return nil
}

func unmet(s *oracle.Situations) []string {
	var names []string
	for _, missing := range s.Missing() {
		names = append(names, missing.String())
	}
	return names
}

// suites are the rules and the situations as a CI system shows them.
func (c *runCmd) suites(found *sim.Report, violated *report.Case) []report.Suite {
	rules, situations := report.Suite{Name: "rules"}, report.Suite{Name: "situations"}
	for r := oracle.None + 1; int(r) < oracle.RuleCount; r++ {
		test := report.Test{Name: r.String() + ": " + r.Words()}
		if violated != nil && violated.Result.Violation.Rule == r {
			test.Failure, test.Details = violated.Result.Violation.Text, textOf(violated)
		}
		rules.Tests = append(rules.Tests, test)
	}
	for i, worlds := range found.Situations {
		test := report.Test{Name: oracle.Situation(i).String()}
		switch {
		case violated != nil:
			test.Skipped = "the campaign ended at a violation"
		case worlds > 0:
		case c.covers(found.Seeds):
			test.Failure = "was never met"
		default:
			test.Skipped = "was never met"
		}
		situations.Tests = append(situations.Tests, test)
	}
	return []report.Suite{rules, situations}
}

// writeJUnit writes a JUnit file.
func writeJUnit(path string, suites []report.Suite) (err error) {
	file, err := os.Create(path) //nolint:gosec // the user names the file
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	return report.JUnit(file, suites)
}
