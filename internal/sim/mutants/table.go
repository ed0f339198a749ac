package mutants

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// What Run fails with, besides the context's error.
var (
	// ErrUsage says that the options cannot be used.
	ErrUsage = errors.New("cannot be measured so")
	// ErrNotPlanted says that this binary has no bugs in it.
	ErrNotPlanted = errors.New("this binary has no bugs planted; run `make mutants`, which builds one that has")
	// ErrGate says that a bug was not found, or took more seeds than its limit. The
	// table that comes with it is complete.
	ErrGate = errors.New("planted bugs were missed")
)

// Options are what is measured.
type Options struct {
	Campaigns int      // for each bug, from start seeds of their own; 0: 100
	Only      []string // names of bugs; empty: all that have to be found
	MaxSeeds  uint64   // after which a campaign gives up; 0: 20,000
	// Gate refuses a bug that takes more seeds than the limit that is kept with the
	// source, which is ten times the worst of 100 campaigns. A campaign gives up there.
	Gate bool
	// Workers is the number of campaigns that are played at once; 0: one per core.
	Workers int
	// Row is called with each bug's results as soon as they are there; nil for nobody.
	Row func(Row)
}

// Row is what was measured of one bug.
type Row struct {
	Name      string
	What      string
	Mirrors   string
	Campaigns int
	Found     int // campaigns that found it
	Median    uint64
	P95       uint64
	Worst     uint64
	Time      Times
	Rules     []RuleCount // which caught it, the most frequent first
	Limit     uint64
	Elapsed   time.Duration
}

// Times are how long a campaign took, in nanoseconds.
type Times struct {
	Median time.Duration
	P95    time.Duration
	Worst  time.Duration
}

// RuleCount is how many campaigns ended by one rule.
type RuleCount struct {
	Rule  string
	Count int
}

// Missed reports whether a campaign did not find the bug.
func (r Row) Missed() bool { return r.Found < r.Campaigns }

// Table is what was measured of all bugs.
type Table struct {
	Rows []Row
	// Equivalent are the bugs that nothing can notice; they are not counted.
	Equivalent []Bug
}

// Missed are the names of bugs that not every campaign found.
func (t Table) Missed() []string {
	var names []string
	for _, r := range t.Rows {
		if r.Missed() {
			names = append(names, r.Name)
		}
	}
	return names
}

// Markdown writes the table for readers. Times are the machine's, all else is the
// same for the same build.
func (t Table) Markdown(w io.Writer) error {
	var b strings.Builder
	b.WriteString("| planted bug | what it is | found | seeds: median | p95 | worst | time: median | p95 | worst | caught by |\n")
	b.WriteString("|---|---|---:|---:|---:|---:|---:|---:|---:|---|\n")
	for _, r := range t.Rows {
		what := r.What
		if r.Mirrors != "" {
			what += " (" + r.Mirrors + ")"
		}
		fmt.Fprintf(&b, "| %s | %s | %d/%d | %d | %d | %d | %s | %s | %s | %s |\n", r.Name, what, r.Found, r.Campaigns,
			r.Median, r.P95, r.Worst, short(r.Time.Median), short(r.Time.P95), short(r.Time.Worst), rules(r.Rules))
	}
	missed := t.Missed()
	fmt.Fprintf(&b, "\n%d planted bugs, %d found by every campaign.", len(t.Rows), len(t.Rows)-len(missed))
	if len(missed) > 0 {
		fmt.Fprintf(&b, " Missed: %s.", strings.Join(missed, ", "))
	}
	b.WriteString("\n")
	if len(t.Equivalent) > 0 {
		b.WriteString("\nNot counted, because nothing can notice them:\n\n| planted bug | what it is | why it cannot show |\n|---|---|---|\n")
		for _, e := range t.Equivalent {
			fmt.Fprintf(&b, "| %s | %s | %s |\n", e.Name, e.What, e.Equivalent)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func short(d time.Duration) string {
	switch {
	case d < 10*time.Millisecond:
		return d.Round(100 * time.Microsecond).String()
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	default:
		return d.Round(10 * time.Millisecond).String()
	}
}

// rules names those that caught a bug, with their counts if there are several.
func rules(counts []RuleCount) string {
	var words []string
	for _, c := range counts {
		word := c.Rule
		if len(counts) > 1 {
			word += fmt.Sprintf(" %d", c.Count)
		}
		words = append(words, word)
	}
	return strings.Join(words, ", ")
}

// outcome is how one campaign ended.
type outcome struct {
	seeds uint64 // that it took, or that it had
	took  time.Duration
	rule  string // empty if nothing was found
}

// rowOf sums campaigns up.
func rowOf(b Bug, outcomes []outcome) Row {
	r := Row{Name: b.Name, What: b.What, Mirrors: b.Mirrors, Campaigns: len(outcomes)}
	seeds, times := make([]uint64, 0, len(outcomes)), make([]time.Duration, 0, len(outcomes))
	for _, o := range outcomes {
		seeds, times = append(seeds, o.seeds), append(times, o.took)
		if o.rule == "" {
			continue
		}
		r.Found++
		at := slices.IndexFunc(r.Rules, func(c RuleCount) bool { return c.Rule == o.rule })
		if at < 0 {
			at, r.Rules = len(r.Rules), append(r.Rules, RuleCount{Rule: o.rule})
		}
		r.Rules[at].Count++
	}
	slices.SortStableFunc(r.Rules, func(a, b RuleCount) int { return b.Count - a.Count })
	slices.Sort(seeds)
	slices.Sort(times)
	r.Median, r.P95, r.Worst = rank(seeds, 50), rank(seeds, 95), rank(seeds, 100)
	r.Time = Times{rank(times, 50), rank(times, 95), rank(times, 100)}
	return r
}

// rank is the nearest-rank percentile of sorted values.
func rank[T any](sorted []T, percent int) (value T) {
	if len(sorted) == 0 {
		return value
	}
	return sorted[max((len(sorted)*percent+99)/100, 1)-1]
}
