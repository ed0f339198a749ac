package core_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
)

func TestPeriodOf(t *testing.T) {
	t.Parallel()
	tokyo := time.FixedZone("UTC+9", 9*3600)
	honolulu := time.FixedZone("UTC-10", -10*3600)
	period := func(y int, m time.Month) core.Period { return core.Period{Year: y, Month: m} }
	for _, tc := range []struct {
		name string
		at   time.Time
		want core.Period
	}{
		{"middle", t0, november},
		{"first instant", time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC), november},
		{"last instant", time.Date(2026, 11, 30, 23, 59, 59, 999_999_999, time.UTC), november},
		{"next month", time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC), december},
		{"last instant of the year", time.Date(2026, 12, 31, 23, 59, 59, 999_999_999, time.UTC), december},
		{"next year", time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC), period(2027, 1)},
		{"leap day", time.Date(2028, 2, 29, 23, 0, 0, 0, time.UTC), period(2028, 2)},
		{"east of Greenwich the month begins early", time.Date(2026, 12, 1, 8, 59, 59, 0, tokyo), november},
		{"east of Greenwich, from UTC midnight on", time.Date(2026, 12, 1, 9, 0, 0, 0, tokyo), december},
		{"west of Greenwich the month ends late", time.Date(2026, 12, 31, 14, 0, 0, 0, honolulu), period(2027, 1)},
		{"west of Greenwich, before UTC midnight", time.Date(2026, 12, 31, 13, 59, 59, 0, honolulu), december},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, tc.want, core.PeriodOf(tc.at))
		})
	}
}

func TestPeriodBounds(t *testing.T) {
	t.Parallel()
	require.Equal(t, time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC), november.Start())
	require.Equal(t, time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC), november.End())
	require.Equal(t, december, november.Next())
	january := core.Period{Year: 2027, Month: time.January}
	require.Equal(t, january, december.Next())
	require.Equal(t, january.Start(), december.End())

	for _, tc := range []struct {
		p, q core.Period
		want bool
	}{
		{november, december, true},
		{november, november, false},
		{december, november, false},
		{december, january, true},
		{january, december, false},
		{core.Period{Year: 2025, Month: 12}, november, true},
		{core.Period{Year: 2027, Month: 11}, november, false},
	} {
		require.Equalf(t, tc.want, tc.p.Before(tc.q), "%s before %s", tc.p, tc.q)
	}
}

func TestPeriodText(t *testing.T) {
	t.Parallel()
	require.Equal(t, "2026-11", november.String())
	require.Equal(t, "0987-03", core.Period{Year: 987, Month: time.March}.String())

	p, err := core.ParsePeriod("2026-02")
	require.NoError(t, err)
	require.Equal(t, core.Period{Year: 2026, Month: time.February}, p)
	for _, bad := range []string{"", "2026", "2026-13", "2026-00", "2026-2", "26-02", "2026-02-01", "2026/02", " 2026-02"} {
		p, err := core.ParsePeriod(bad)
		r := refused(t, err, core.CodeInvalidRequest)
		require.Len(t, r.Fields, 1)
		require.Equal(t, "period", r.Fields[0].Field)
		require.Zero(t, p)
	}
}
