package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/redrive/redrive/internal/sim"
	"github.com/redrive/redrive/internal/sim/oracle"
)

// progress tells on standard error how far a campaign is: on a terminal in one
// line that changes, elsewhere in a line every few seconds.
type progress struct {
	to       io.Writer
	terminal bool
	every    time.Duration
	last     time.Duration // when a line was written
	met      int
	since    time.Duration // when a situation was met for the first time
	written  bool
}

// plainEvery is how often there is a line where lines stay.
const plainEvery = 5 * time.Second

func newProgress(to io.Writer) *progress {
	p := &progress{to: to, every: plainEvery}
	if file, ok := to.(*os.File); ok {
		if info, err := file.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
			p.terminal, p.every = true, 0
		}
	}
	return p
}

// campaign is told of a campaign about twice a second.
func (p *progress) campaign(r sim.Report) {
	if n := met(&r.Situations); n > p.met {
		p.met, p.since = n, r.Elapsed
	}
	if r.Elapsed-p.last < p.every {
		return
	}
	p.last = r.Elapsed
	p.line("%s", speed(&r)+fmt.Sprintf(", %d of %d situations, last new one %s ago", p.met, oracle.SituationCount, (r.Elapsed-p.since).Round(time.Second)))
}

// line writes a line, over the one before on a terminal.
func (p *progress) line(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if p.terminal {
		fmt.Fprintf(p.to, "\r\x1b[K%s", text)
		p.written = true
		return
	}
	fmt.Fprintln(p.to, text)
}

// done leaves the changing line.
func (p *progress) done() {
	if p.written {
		fmt.Fprintf(p.to, "\r\x1b[K")
		p.written = false
	}
}

func speed(r *sim.Report) string {
	seconds := max(r.Elapsed.Seconds(), 1e-9)
	return fmt.Sprintf("%s: %d seeds (%.0f/s), %d steps (%.0f/s)", r.Elapsed.Round(100*time.Millisecond),
		r.Seeds, float64(r.Seeds)/seconds, r.Steps, float64(r.Steps)/seconds)
}

// met counts the situations that some world met.
func met(s *oracle.Situations) int {
	n := 0
	for _, worlds := range s {
		if worlds > 0 {
			n++
		}
	}
	return n
}
