package faults

import (
	"fmt"
	"strings"

	"github.com/redrive/redrive/internal/sim/oracle"
)

// describe says in words what a transaction wrote.
func describe(c *oracle.Commit) string {
	var parts []string
	add := func(format string, args ...any) { parts = append(parts, fmt.Sprintf(format, args...)) }
	for _, n := range c.Inserted {
		add("run %s with %d files", n.Run.ID, len(n.Files))
	}
	for _, a := range c.Attempts {
		add("attempt %d of %d jobs", a.Number, a.Jobs)
	}
	for _, e := range c.Entries {
		add("%s %d+%d of %s", e.Kind, e.Amount.Monthly, e.Amount.Purchased, e.Period)
	}
	for _, m := range c.Marks {
		add("attempt %d compensated", m.Number)
	}
	for _, r := range c.Runs {
		add("run %s epoch %d, %d+%d of %d jobs", r.Status, r.Epoch, r.CompletedJobs, r.FailedJobs, r.AttemptJobs)
	}
	for _, f := range c.Files {
		add("file %d %s epoch %d", f.File.Index, f.File.Status, f.File.Epoch)
	}
	for _, t := range c.Templates {
		add("template %s at %d", t.ID, t.CreditsPerRun)
	}
	for _, a := range c.Answers {
		add("answer %s", a.Key)
	}
	return strings.Join(parts, "; ")
}
