package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/redrive/redrive/internal/sim"
	"github.com/redrive/redrive/internal/sim/faults"
	"github.com/redrive/redrive/internal/sim/report"
	"github.com/redrive/redrive/internal/sim/sched"
	"github.com/redrive/redrive/internal/sim/world"
)

type exhaustCmd struct {
	Scenarios []string `arg:"" optional:"" name:"scenario" help:"Small scenarios: ${scenarios}. All if none is given."`
	Preempt   int      `default:"1" placeholder:"N" help:"How often another actor may go on than by default."`
	Faults    int      `default:"1" placeholder:"N" help:"How many faults may happen."`
	Kinds     []string `placeholder:"NAME" help:"The kinds of faults that may happen; all if not given: ${faults}."`
	Workers   int      `placeholder:"N" help:"Goroutines; one per core if not given."`
	JSON      bool     `name:"json" help:"Write lines of JSON."`
	JUnit     string   `name:"junit" placeholder:"FILE" help:"Write a JUnit file."`
}

// exhaustLine is what was searched of one scenario.
type exhaustLine struct {
	Type      string      `json:"type"` // exhaust
	Scenario  string      `json:"scenario"`
	Preempt   int         `json:"preempt"`
	Faults    int         `json:"faults"`
	Schedules uint64      `json:"schedules"`
	Distinct  uint64      `json:"distinct"`
	Steps     uint64      `json:"steps"`
	Levels    []sim.Level `json:"levels"`
	Held      bool        `json:"held"`
}

func (c *exhaustCmd) bounds() (sim.Bounds, error) {
	b := sim.Bounds{Preemptions: c.Preempt, Faults: c.Faults}
	if c.Preempt < 0 || c.Faults < 0 || c.Workers < 0 {
		return b, ends(exitUsage, "--preempt, --faults and --workers must not be negative")
	}
	for _, name := range c.Kinds {
		k, known := faults.KindNamed(name)
		if !known || k == sched.Next {
			return b, ends(exitUsage, "fault %q is not known; take some of %s", name, strings.Join(faultNames()[1:], ", "))
		}
		b.Kinds = append(b.Kinds, k)
	}
	return b, nil
}

// Run searches scenario after scenario, up to the first violation.
func (c *exhaustCmd) Run(ctx context.Context, to streams) error {
	bounds, err := c.bounds()
	if err != nil {
		return err
	}
	if len(c.Scenarios) == 0 {
		c.Scenarios = world.Small()
	}
	var lines []exhaustLine
	var violated *report.Case
	for _, name := range c.Scenarios {
		sc, err := world.Named(name)
		if err != nil {
			return ends(exitUsage, "%w", err)
		}
		line, found, err := c.search(ctx, sc, bounds, to)
		if err != nil {
			return err
		}
		lines = append(lines, line)
		if found != nil {
			if violated, err = caseOf(found.Token, to, replaying(found.Token)); err != nil {
				return err
			}
			violated.Note = fmt.Sprintf("Scenario %s; no schedule with fewer deviations does it.", name)
			break
		}
	}
	if err := c.write(to, lines, violated); err != nil {
		return err
	}
	if violated != nil {
		return ends(exitViolation, "a rule was violated")
	}
	return nil
}

func (c *exhaustCmd) search(ctx context.Context, sc *world.Scenario, b sim.Bounds, to streams) (exhaustLine, *sim.Found, error) {
	shown := newProgress(to.err)
	counts, found, err := sim.Exhaust(ctx, sc, b, sim.ExhaustOptions{Workers: c.Workers, Wrap: to.wrap, Progress: func(n sim.Counts) {
		if n.Elapsed-shown.last < shown.every {
			return
		}
		shown.last = n.Elapsed
		shown.line("%s", exhausting(&n))
	}})
	shown.done()
	if errors.Is(err, sim.ErrNotDeterministic) {
		return exhaustLine{}, nil, ends(exitNotDeterministic, "%s: %w", sc.Name, err)
	}
	fmt.Fprintln(to.err, exhausting(&counts))
	if err != nil {
		return exhaustLine{}, nil, err
	}
	return exhaustLine{
		"exhaust", sc.Name, b.Preemptions, b.Faults, counts.Schedules, counts.Distinct, counts.Steps, counts.Levels, found == nil,
	}, found, nil
}

func exhausting(n *sim.Counts) string {
	seconds := max(n.Elapsed.Seconds(), 1e-9)
	return fmt.Sprintf("%s: %s, %d schedules (%.0f/s), %d steps (%.0f/s)", n.Scenario, n.Elapsed.Round(1e6),
		n.Schedules, float64(n.Schedules)/seconds, n.Steps, float64(n.Steps)/seconds)
}

func (c *exhaustCmd) write(to streams, lines []exhaustLine, violated *report.Case) error {
	if c.JUnit != "" {
		suite := report.Suite{Name: "exhaust"}
		for _, l := range lines {
			test := report.Test{Name: fmt.Sprintf("%s, at most %d preemptions and %d faults", l.Scenario, l.Preempt, l.Faults)}
			if !l.Held {
				test.Failure, test.Details = violated.Result.Violation.Error(), textOf(violated)
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
		if violated != nil {
			return errors.Join(w.Violation(violated), w.Events(violated, report.All))
		}
		return nil
	}
	table := tabwriter.NewWriter(to.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "SCENARIO\tPREEMPTIONS\tFAULTS\tSCHEDULES\tDISTINCT TRACES\tSTEPS\tRESULT")
	for _, l := range lines {
		result := "every rule held"
		if !l.Held {
			result = "violation"
		}
		fmt.Fprintf(table, "%s\t≤ %d\t≤ %d\t%d\t%d\t%d\t%s\n", l.Scenario, l.Preempt, l.Faults, l.Schedules, l.Distinct, l.Steps, result)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if violated != nil {
		fmt.Fprintln(to.out)
		return report.Text(to.out, violated, report.All)
	}
	return nil
}

// textOf is a case as a terminal shows it.
func textOf(c *report.Case) string {
	var text strings.Builder
	if err := report.Text(&text, c, report.All); err != nil {
		return err.Error()
	}
	return text.String()
}
