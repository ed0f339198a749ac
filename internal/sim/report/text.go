package report

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/redrive/redrive/internal/sim/trace"
)

// Text writes everything about a case for a terminal: the rule in words, the
// trace, what it needs beyond the default order, and the command that replays it.
func Text(to io.Writer, c *Case, upto int) error {
	head(to, c)
	fmt.Fprintln(to)
	for _, l := range Scene(c.Scenario) {
		fmt.Fprintln(to, "  "+l)
	}
	fmt.Fprintln(to)
	Table(to, &c.Result, upto)
	fmt.Fprintln(to)
	deviations(to, c)
	if upto >= 0 {
		fmt.Fprintf(to, "\nAfter step %d:\n", upto)
		if err := State(to, stateAt(c, upto)); err != nil {
			return err
		}
	}
	if c.Result.Stack != "" {
		fmt.Fprintf(to, "\n%s\n", strings.TrimSpace(c.Result.Stack))
	}
	fmt.Fprintf(to, "\nReplay it:  %s\n", c.Command)
	return nil
}

func head(to io.Writer, c *Case) {
	if v := c.Result.Violation; v != nil {
		fmt.Fprintf(to, "VIOLATION of %s: %s.\n", v.Rule, v.Rule.Words())
		fmt.Fprintf(to, "Found at step %d: %s.\n", v.Step, v.Text)
	} else {
		fmt.Fprintf(to, "Every rule held in %d steps.\n", c.Result.Steps)
	}
	if c.Note != "" {
		fmt.Fprintln(to, c.Note)
	}
	if c.Changed {
		fmt.Fprintln(to, "The token was made by other code than this, so what is shown may not be what was found.")
	}
}

func deviations(to io.Writer, c *Case) {
	list := Deviations(&c.Result)
	fmt.Fprintln(to, DefaultOrder)
	if len(list) == 0 {
		fmt.Fprintln(to, "This trace is the default one.")
		return
	}
	fmt.Fprintf(to, "This trace deviates from that in %s:\n", count(len(list), "place"))
	for _, d := range list {
		fmt.Fprintf(to, "  step %4d  %s\n", d.Step, d.Text)
	}
}

func count(n int, noun string) string {
	switch {
	case n == 1:
		return "1 " + noun
	case strings.HasSuffix(noun, "s"):
		return fmt.Sprintf("%d %ses", n, noun)
	default:
		return fmt.Sprintf("%d %ss", n, noun)
	}
}

// stateAt is what was committed last up to a step.
func stateAt(c *Case, step int) *trace.State {
	state := &trace.State{}
	for i := range c.Result.Events {
		if e := &c.Result.Events[i]; e.Step <= step && e.State != nil {
			state = e.State
		}
	}
	return state
}

// State writes what is committed beside what the model says. What differs is
// marked.
func State(to io.Writer, s *trace.State) error {
	table := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	for _, t := range s.Tenants {
		fmt.Fprintf(table, "  %s\t%s\t%d purchased\t\n", t.Tenant, months(t), t.Purchased)
	}
	if len(s.Runs) > 0 {
		fmt.Fprintln(table, "  RUN\tWHAT\tCOMMITTED\tMODEL\t")
	}
	for i := range s.Runs {
		r := &s.Runs[i]
		for n, f := range facts(&r.Actual) {
			m := facts(&r.Model)[n]
			name, mark := "", ""
			if n == 0 {
				name = string(r.Run)
			}
			if f.value != m.value {
				mark = "<- differs"
			}
			fmt.Fprintf(table, "  %s\t%s\t%s\t%s\t%s\n", name, f.name, f.value, m.value, mark)
		}
	}
	return table.Flush()
}

type fact struct{ name, value string }

func facts(f *trace.RunFacts) []fact {
	list := []fact{
		{"status", string(f.Status)},
		{"attempt", fmt.Sprint(f.Attempt)},
		{"jobs", fmt.Sprintf("%d + %d of %d", f.CompletedJobs, f.FailedJobs, f.AttemptJobs)},
		{"credits", fmt.Sprint(f.Credits)},
	}
	for i, file := range f.Files {
		list = append(list, fact{fmt.Sprintf("file %d", i), file})
	}
	return list
}
