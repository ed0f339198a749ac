package webui

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/number"

	"github.com/redrive/redrive/core"
)

// N writes a whole number as the language does.
func (l language) N(n int64) string { return l.printer.Sprint(number.Decimal(n)) }

// Credits writes an amount with its unit.
func (l language) Credits(c core.Credits) string { return l.T("credits.amount", int64(c)) }

// Split writes how an amount divides: "4 monthly + 2 purchased".
func (l language) Split(s core.Split) string {
	switch {
	case s.Purchased == 0:
		return l.T("split.monthly", int64(s.Monthly))
	case s.Monthly == 0:
		return l.T("split.purchased", int64(s.Purchased))
	}
	return l.T("split.both", int64(s.Monthly), int64(s.Purchased))
}

// Bytes writes a size in the unit that suits it.
func (l language) Bytes(n int64) string {
	const step = 1024
	if n < step {
		return l.T("bytes.B", n)
	}
	size, unit := float64(n)/step, "KB"
	for _, next := range []string{"MB", "GB"} {
		if size < step {
			break
		}
		size, unit = size/step, next
	}
	digits := 1
	if size >= 100 {
		digits = 0
	}
	return l.printer.Sprint(number.Decimal(size, number.MaxFractionDigits(digits))) + " " + unit
}

// Moment is a time as text, for machines, and exactly, for the tooltip.
type Moment struct{ Text, Machine, Exact string }

// Time writes a day and a minute in the reader's zone.
func (l look) Time(t time.Time) Moment {
	if t.IsZero() {
		return Moment{}
	}
	in := t.In(l.Zone)
	return Moment{
		Text:    l.Day(in) + l.T("time.between") + in.Format("15:04"),
		Machine: t.UTC().Format(time.RFC3339),
		Exact:   t.UTC().Format("2006-01-02 15:04:05 UTC"),
	}
}

// Day writes a date in the reader's zone.
func (l look) Day(t time.Time) string {
	in := t.In(l.Zone)
	return l.T("time.day", fmt.Sprint(in.Day()), l.T(fmt.Sprintf("month.short.%d", in.Month())), fmt.Sprint(in.Year()))
}

// Month writes a period.
func (l language) Month(p core.Period) string {
	return l.T(fmt.Sprintf("month.%d", p.Month)) + " " + fmt.Sprint(p.Year)
}

// ZoneName is the name of the reader's time zone.
func (l look) ZoneName() string { return strings.ReplaceAll(l.Zone.String(), "_", " ") }

// visible makes a name safe to display. Characters that are invisible, or change the
// direction of the text around them, are shown by their number: a right-to-left
// override must not make "invoice" + "fdp.exe" look like a PDF.
func visible(s string) string {
	hidden := func(r rune) bool {
		return r == utf8.RuneError || unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) ||
			r == '\u200b' || r == '\u2060' || r == '\ufeff' || r == '\u2028' || r == '\u2029'
	}
	if !strings.ContainsFunc(s, hidden) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if hidden(r) {
			fmt.Fprintf(&b, "[U+%04X]", r)
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}
