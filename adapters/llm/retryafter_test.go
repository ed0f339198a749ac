package llm

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	const limit = time.Hour
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	date := func(d time.Duration) string { return now.Add(d).Format(http.TimeFormat) }
	for name, tc := range map[string]struct {
		header map[string]string
		want   time.Duration
	}{
		"None":               {nil, 0},
		"Seconds":            {map[string]string{"Retry-After": "20"}, 20 * time.Second},
		"Fraction":           {map[string]string{"Retry-After": "0.25"}, 250 * time.Millisecond},
		"Zero":               {map[string]string{"Retry-After": "0"}, 0},
		"Negative":           {map[string]string{"Retry-After": "-5"}, 0},
		"OverTheLimit":       {map[string]string{"Retry-After": "3601"}, limit},
		"OverADuration":      {map[string]string{"Retry-After": "99999999999999"}, limit},
		"OverAFloat":         {map[string]string{"Retry-After": "1e999"}, limit},
		"NotANumber":         {map[string]string{"Retry-After": "NaN"}, 0},
		"Junk":               {map[string]string{"Retry-After": "soon"}, 0},
		"Milliseconds":       {map[string]string{"Retry-After-Ms": "1500"}, 1500 * time.Millisecond},
		"MillisecondsFirst":  {map[string]string{"Retry-After-Ms": "1500", "Retry-After": "2"}, 1500 * time.Millisecond},
		"MillisecondsOver":   {map[string]string{"Retry-After-Ms": "1e18"}, limit},
		"JunkMilliseconds":   {map[string]string{"Retry-After-Ms": "x", "Retry-After": "2"}, 2 * time.Second},
		"Date":               {map[string]string{"Retry-After": date(time.Minute)}, time.Minute},
		"PastDate":           {map[string]string{"Retry-After": date(-time.Minute)}, 0},
		"DateOverTheLimit":   {map[string]string{"Retry-After": date(48 * time.Hour)}, limit},
		"DateByTheirClock":   {map[string]string{"Date": date(-10 * time.Minute), "Retry-After": date(-9 * time.Minute)}, time.Minute},
		"DateByTheirBadDate": {map[string]string{"Date": "today", "Retry-After": date(time.Minute)}, time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := http.Header{}
			for k, v := range tc.header {
				h.Set(k, v)
			}
			require.Equal(t, tc.want, retryAfter(h, now, limit))
		})
	}
}
