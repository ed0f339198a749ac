package mutants

import (
	"bufio"
	_ "embed"
	"fmt"
	"io"
	"strings"
)

//go:embed limits.txt
var limitsText string

// limitFactor is how much worse than ever measured a campaign may be.
const limitFactor = 10

// Limits are the seeds that the gate gives each bug.
func Limits() (map[string]uint64, error) {
	limits := map[string]uint64{}
	lines := bufio.NewScanner(strings.NewReader(limitsText))
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		var name string
		var limit uint64
		if _, err := fmt.Sscan(line, &name, &limit); err != nil {
			return nil, fmt.Errorf("limits.txt: %q: %w", line, err)
		}
		limits[name] = limit
	}
	return limits, lines.Err()
}

// WriteLimits writes limits.txt from what was measured.
func (t Table) WriteLimits(w io.Writer) error {
	var b strings.Builder
	b.WriteString("# How many seeds the gate gives each planted bug: ten times the worst of 100 campaigns.\n" +
		"# Written by `make mutants ARGS='--limits internal/sim/mutants/limits.txt'`.\n")
	for _, r := range t.Rows {
		fmt.Fprintf(&b, "%s %d\n", r.Name, limitFactor*r.Worst)
	}
	_, err := io.WriteString(w, b.String())
	return err
}
