package core

import (
	"fmt"
	"strconv"
	"time"
)

// Period is the calendar month, in UTC, that a monthly allowance is for. Each period has
// its own balance: its allowance can only be spent within it, and a refund of a charge
// made in it goes back to it. So the rest of a month is never added to the next one.
type Period struct {
	Year  int
	Month time.Month
}

// PeriodOf is the period that an instant falls in.
func PeriodOf(t time.Time) Period {
	year, month, _ := t.UTC().Date()
	return Period{Year: year, Month: month}
}

// ParsePeriod reads the form that String writes: "2026-11".
func ParsePeriod(s string) (Period, error) {
	t, err := time.Parse("2006-01", s)
	if err != nil {
		return Period{}, InvalidField("period", "%q is not a month; write it as YYYY-MM, for example 2026-11", s)
	}
	return PeriodOf(t), nil
}

// String gives year and month, "2026-11"; it sorts by time.
func (p Period) String() string {
	if p.Year < 1000 || p.Year > 9999 || p.Month < 1 || p.Month > 12 { // no month of any ledger
		return fmt.Sprintf("%04d-%02d", p.Year, int(p.Month))
	}
	s := [7]byte{4: '-', 5: '0' + byte(p.Month/10), 6: '0' + byte(p.Month%10)}
	strconv.AppendInt(s[:0], int64(p.Year), 10)
	return string(s[:])
}

// Start is the first instant of the period.
func (p Period) Start() time.Time { return time.Date(p.Year, p.Month, 1, 0, 0, 0, 0, time.UTC) }

// End is the first instant after the period.
func (p Period) End() time.Time { return p.Start().AddDate(0, 1, 0) }

// Next is the period after this one.
func (p Period) Next() Period { return PeriodOf(p.End()) }

// Before reports whether p ends before q begins.
func (p Period) Before(q Period) bool {
	return p.Year < q.Year || p.Year == q.Year && p.Month < q.Month
}
