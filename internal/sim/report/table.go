package report

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/redrive/redrive/internal/sim/world"
)

// How wide the table should be at most, and a column of it at least and at most.
const (
	tableWidth = 180
	narrowest  = 18
	widest     = 34
	longest    = 400 // rows
)

// All is no limit to the rows of a table.
const All = -1

// Table writes the trace with one column per actor, from top to bottom. Actors
// that only looked are left out and named below.
func Table(to io.Writer, r *world.Result, upto int) {
	story := Tell(r)
	t := table{story: &story, column: map[int]int{}, busy: map[int]bool{}}
	for _, l := range story.Lanes {
		if !l.Idle {
			t.busy[l.Actor] = true
		}
	}
	for actor, name := range r.Actors {
		if t.busy[actor] {
			t.column[actor] = len(t.heads)
			t.heads = append(t.heads, name)
		}
	}
	t.cells(upto)
	t.fold()
	t.write(to)
	var idle []string
	for actor, name := range r.Actors {
		if !t.busy[actor] {
			idle = append(idle, name)
		}
	}
	if len(idle) > 0 {
		fmt.Fprintf(to, "Left out, since nothing that they did had an effect: %s.\n", strings.Join(idle, ", "))
	}
}

type table struct {
	story  *Story
	busy   map[int]bool
	column map[int]int // of an actor
	heads  []string
	lines  []line
}

// line is a row of the table: one cell in one column, or a text over all of them.
type line struct {
	step   string
	column int // -1: over all
	text   []string
}

func (t *table) cells(upto int) {
	width := min(widest, max(narrowest, tableWidth/max(1, len(t.heads))-2))
	last := ""
	for i := range t.story.Rows {
		row := &t.story.Rows[i]
		if upto >= 0 && row.Step > upto {
			return
		}
		l := line{column: -1, text: []string{row.Text}}
		if row.Lane >= 0 {
			if !t.busy[row.actor] {
				continue
			}
			l.column, l.text = t.column[row.actor], wrap(t.cell(row), width)
		}
		if l.step = strconv.Itoa(row.Step); l.step == last {
			l.step = ""
		} else {
			last = l.step
		}
		t.lines = append(t.lines, l)
	}
}

// fold leaves out the middle of a trace that nobody would read: a world that never
// heals goes round for thousands of steps.
func (t *table) fold() {
	if len(t.lines) <= longest {
		return
	}
	out := len(t.lines) - longest
	note := line{column: -1, text: []string{fmt.Sprintf("%d rows are left out here; the HTML page has them", out)}}
	t.lines = slices.Concat(t.lines[:longest/2], []line{note}, t.lines[longest/2+out:])
}

// cell is a row's text with a sign before what is more than a call.
func (t *table) cell(row *Row) string {
	switch row.Kind {
	case Fault:
		return "⚡ " + row.Text
	case Commit:
		return strings.TrimSpace("✔ commit " + row.Text)
	case Rollback:
		return "✘ " + row.Text
	case Send:
		return "→ " + row.Text
	case Deliver:
		return "← " + row.Text
	case Ask:
		return fmt.Sprintf("? %s (process %d)", row.Text, t.story.Lanes[row.To].Process)
	case Answer:
		return "! " + row.Text
	case Calls, Crash, Time, Phase, Broken:
	}
	return row.Text
}

// wrap breaks a text into lines between words; what is longer than a line is cut
// into pieces.
func wrap(text string, width int) []string {
	var lines []string
	now := ""
	for _, word := range strings.Fields(text) {
		for utf8.RuneCountInString(word) > width {
			if now != "" {
				lines, now = append(lines, now), ""
			}
			runes := []rune(word)
			lines, word = append(lines, string(runes[:width])), string(runes[width:])
		}
		switch {
		case now == "":
			now = word
		case utf8.RuneCountInString(now)+1+utf8.RuneCountInString(word) <= width:
			now += " " + word
		default:
			lines, now = append(lines, now), word
		}
	}
	if now != "" {
		lines = append(lines, now)
	}
	return lines
}

func (t *table) write(to io.Writer) {
	width := make([]int, len(t.heads))
	for i, h := range t.heads {
		width[i] = utf8.RuneCountInString(h)
	}
	for _, l := range t.lines {
		if l.column >= 0 {
			for _, text := range l.text {
				width[l.column] = max(width[l.column], utf8.RuneCountInString(text))
			}
		}
	}
	const margin = "  "
	all := 5 // wide enough for a short sentence, also with a single column
	rule := strings.Repeat("─", 5)
	head := " step"
	for i, h := range t.heads {
		head += margin + pad(h, width[i])
		rule += margin + strings.Repeat("─", width[i])
		all += len(margin) + width[i]
	}
	all = max(all, 72)
	fmt.Fprintln(to, strings.TrimRight(head, " "))
	fmt.Fprintln(to, rule)
	for _, l := range t.lines {
		for n, text := range l.text {
			if n > 0 {
				l.step = ""
			}
			out := fmt.Sprintf("%5s", l.step)
			if l.column < 0 {
				fmt.Fprintf(to, "%s%s%s\n", out, margin, center(text, all-7))
				continue
			}
			for i := range l.column {
				out += margin + strings.Repeat(" ", width[i])
			}
			fmt.Fprintf(to, "%s%s%s\n", out, margin, text)
		}
	}
}

func pad(text string, width int) string {
	return text + strings.Repeat(" ", max(0, width-utf8.RuneCountInString(text)))
}

// center puts a text between lines, so that it is seen to be over all columns.
func center(text string, width int) string {
	free := width - utf8.RuneCountInString(text) - 2
	if free < 4 {
		return "── " + text
	}
	return strings.Repeat("─", free/2) + " " + text + " " + strings.Repeat("─", free-free/2)
}
