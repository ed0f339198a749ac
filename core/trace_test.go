package core_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
)

func TestTrace(t *testing.T) {
	t.Parallel()
	const id, span = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
	const good = core.Trace("00-" + id + "-" + span + "-01")
	for header, want := range map[string]core.Trace{
		string(good):                                         good,
		"00-" + id + "-" + span + "-00":                      "00-" + id + "-" + span + "-00",
		"00-" + id + "-" + span + "-03":                      good, // flags that are not known yet are left out
		"00-" + id + "-" + span + "-fe":                      "00-" + id + "-" + span + "-00",
		"01-" + id + "-" + span + "-01":                      good,
		"cc-" + id + "-" + span + "-01-later":                good,
		"cc-" + id + "-" + span + "-01later":                 "",
		"00-" + id + "-" + span + "-01-later":                "",
		"ff-" + id + "-" + span + "-01":                      "",
		"00-" + strings.ToUpper(id) + "-" + span + "-01":     "",
		"00-" + strings.Repeat("0", 32) + "-" + span + "-01": "",
		"00-" + id + "-" + strings.Repeat("0", 16) + "-01":   "",
		"00-" + id + "-" + span + "-0":                       "",
		"00-" + id + "-" + span + "-0x":                      "",
		"00_" + id + "-" + span + "-01":                      "",
		"0-" + id + "-" + span + "-001":                      "",
		"":                                                   "",
		" " + string(good):                                   "",
		"00-" + id + "\n" + span + "-01":                     "",
		"00-" + id[:31] + "é-" + span[:15] + "-01":           "",
		string(good) + "\x00":                                "",
		strings.Repeat("00-", 30):                            "",
	} {
		got, ok := core.ParseTrace(header)
		require.Equal(t, want, got, "%q", header)
		require.Equal(t, want != "", ok, "%q", header)
	}
	require.Equal(t, id, good.ID())
	child := good.Span([8]byte{1, 2, 3})
	require.Equal(t, core.Trace("00-"+id+"-0102030000000000-01"), child)
	again, ok := core.ParseTrace(string(child))
	require.True(t, ok)
	require.Equal(t, child, again)
	require.Empty(t, core.Trace("").Span([8]byte{1}))
	require.Empty(t, core.Trace("").ID())
	begun := core.NewTrace([16]byte{1}, [8]byte{2})
	again, ok = core.ParseTrace(string(begun))
	require.True(t, ok)
	require.Equal(t, begun, again)
}
