package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/redrive/redrive/internal/sim/mutants"
	"github.com/redrive/redrive/internal/sim/report"
)

type mutantsCmd struct {
	Campaigns int      `default:"100" placeholder:"N" help:"Campaigns for each bug, each from a seed of its own."`
	MaxSeeds  uint64   `default:"20000" placeholder:"N" help:"After how many seeds a campaign gives up."`
	Only      []string `placeholder:"NAME" help:"These bugs alone."`
	Gate      bool     `help:"Fail if a campaign needs more seeds than the limit that is kept for its bug."`
	Workers   int      `placeholder:"N" help:"Goroutines; one per core if not given."`
	JSON      bool     `name:"json" help:"Write lines of JSON."`
	JUnit     string   `name:"junit" placeholder:"FILE" help:"Write a JUnit file."`
	Markdown  string   `placeholder:"FILE" help:"Write the whole table to a file, with what each bug is and how long its campaigns took."`
	Limits    string   `placeholder:"FILE" help:"Write the limits that --gate goes by, from what was measured."`
}

// mutantLine is what was measured of one planted bug, without its times.
type mutantLine struct {
	Type      string              `json:"type"` // mutant
	Name      string              `json:"name"`
	What      string              `json:"what"`
	Mirrors   string              `json:"mirrors,omitempty"`
	Campaigns int                 `json:"campaigns"`
	Found     int                 `json:"found"`
	Median    uint64              `json:"medianSeeds"`
	P95       uint64              `json:"p95Seeds"`
	Worst     uint64              `json:"worstSeeds"`
	Rules     []mutants.RuleCount `json:"rules"`
}

// Run measures. The bugs are not in an ordinary build, so it makes one in which
// they are and lets that obey the same command line.
func (c *mutantsCmd) Run(ctx context.Context, to streams, line commandLine) error {
	if c.Campaigns < 1 || c.MaxSeeds < 1 || c.Workers < 0 {
		return ends(exitUsage, "--campaigns and --max-seeds must be 1 or more, --workers must not be negative")
	}
	table, err := mutants.Run(ctx, mutants.Options{
		Campaigns: c.Campaigns, Only: c.Only, MaxSeeds: c.MaxSeeds, Gate: c.Gate, Workers: c.Workers,
		Row: func(r mutants.Row) {
			fmt.Fprintf(to.err, "%s: %d of %d found; time of a campaign: median %s, p95 %s, worst %s\n", r.Name, r.Found, r.Campaigns,
				r.Time.Median.Round(100*time.Microsecond), r.Time.P95.Round(100*time.Microsecond), r.Time.Worst.Round(100*time.Microsecond))
		},
	})
	switch {
	case errors.Is(err, mutants.ErrNotPlanted):
		return runPlanted(ctx, to, line)
	case errors.Is(err, mutants.ErrGate):
	case err != nil:
		return err
	}
	if err := errors.Join(c.write(to, table), c.writeJUnit(table), writeTo(c.Markdown, table.Markdown), writeTo(c.Limits, table.WriteLimits)); err != nil {
		return err
	}
	if missed := table.Missed(); len(missed) > 0 {
		return ends(exitGate, "not found by every campaign: %s", strings.Join(missed, ", "))
	}
	return nil
}

func (c *mutantsCmd) write(to streams, t mutants.Table) error {
	if c.JSON {
		lines := report.NewLines(to.out)
		for _, r := range t.Rows {
			err := lines.Write(mutantLine{"mutant", r.Name, r.What, r.Mirrors, r.Campaigns, r.Found, r.Median, r.P95, r.Worst, r.Rules})
			if err != nil {
				return err
			}
		}
		return nil
	}
	table := tabwriter.NewWriter(to.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "PLANTED BUG\tFOUND\tSEEDS: MEDIAN\tP95\tWORST\tCAUGHT BY")
	for _, r := range t.Rows {
		fmt.Fprintf(table, "%s\t%d/%d\t%d\t%d\t%d\t%s\n", r.Name, r.Found, r.Campaigns, r.Median, r.P95, r.Worst, caughtBy(r))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(to.out, "\n%d planted bugs, %d found by every campaign. Not counted, since nothing can notice them: %d.\n",
		len(t.Rows), len(t.Rows)-len(t.Missed()), len(t.Equivalent))
	return nil
}

func caughtBy(r mutants.Row) string {
	var rules []string
	for _, c := range r.Rules {
		rules = append(rules, fmt.Sprintf("%s %d", c.Rule, c.Count))
	}
	return strings.Join(rules, ", ")
}

// writeTo writes a file, if there is a name for it.
func writeTo(name string, write func(io.Writer) error) error {
	if name == "" {
		return nil
	}
	var text bytes.Buffer
	if err := write(&text); err != nil {
		return err
	}
	return os.WriteFile(name, text.Bytes(), 0o644) //nolint:gosec // a report that anybody may read
}

func (c *mutantsCmd) writeJUnit(t mutants.Table) error {
	if c.JUnit == "" {
		return nil
	}
	suite := report.Suite{Name: "mutants"}
	for _, r := range t.Rows {
		test := report.Test{Name: r.Name + ": " + r.What}
		if r.Missed() {
			test.Failure = fmt.Sprintf("%d of %d campaigns found it", r.Found, r.Campaigns)
		}
		suite.Tests = append(suite.Tests, test)
	}
	return writeJUnit(c.JUnit, []report.Suite{suite})
}
