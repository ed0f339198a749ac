package oracle

import (
	"strconv"
	"strings"

	"github.com/redrive/redrive/core"
)

// told checks what the transaction that changed a run tells of it: an attempt that it ends,
// or begins by a Continue, once each, and nothing else. next is the run as it is after it.
func (o *Oracle) told(c *Commit, r *run, begun bool, next *core.Run) {
	closings, continued := 0, 0
	for i := range c.Told {
		e := &c.Told[i]
		if e.Run != next.ID {
			continue
		}
		switch e.Type {
		case core.EventRunClosed, core.EventRunInterrupted:
			closings++
			if (e.Type == core.EventRunInterrupted) != (next.Status == core.RunInterrupted) || !tells(e, next) {
				o.fail(Told, "run %s is %s after attempt %d, and %s %s is told", next.ID, next.Status, next.Attempt, e.Type, e.Body)
			}
		case core.EventRunContinued:
			continued++
			if !tells(e, next) {
				o.fail(Told, "attempt %d of run %s was begun, and %s is told", next.Attempt, next.ID, e.Body)
			}
		case core.EventCreditsLow, core.EventPing:
		}
	}
	ended := r.row.Status == core.RunRunning && next.Status != core.RunRunning
	if want := count(ended); closings != want {
		o.fail(Told, "attempt %d of run %s: its end is told %d times instead of %d", next.Attempt, next.ID, closings, want)
	}
	if want := count(begun); continued != want {
		o.fail(Told, "attempt %d of run %s: its beginning is told %d times instead of %d", next.Attempt, next.ID, continued, want)
	}
}

// tells reports whether an event's body has the run as it is.
func tells(e *core.WebhookEvent, run *core.Run) bool {
	return says(e.Body, `"attempt":`, strconv.Itoa(int(run.Attempt))) &&
		says(e.Body, `"status":`, `"`+string(run.Status)+`"`) &&
		says(e.Body, `"creditsConsumed":`, strconv.FormatInt(int64(run.CreditsConsumed), 10))
}

// says reports whether a field has a value in a JSON text, in which another follows.
func says(text, field, value string) bool {
	_, rest, _ := strings.Cut(text, field)
	rest, is := strings.CutPrefix(rest, value)
	return is && strings.HasPrefix(rest, ",")
}

func count(is bool) int {
	if is {
		return 1
	}
	return 0
}
