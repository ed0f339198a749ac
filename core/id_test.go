package core_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
)

func TestIDs(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text     string
		id, held bool // it is an ID; every store can hold it
	}{
		{"acme", true, true},
		{"A-b_c.9", true, true},
		{"0", true, true},
		{"-", true, true},
		{"...", true, true},
		{".a", true, true},
		{strings.Repeat("x", core.MaxIDLength), true, true},
		{strings.Repeat("x", core.MaxIDLength+1), false, true},
		{"", false, true},
		{".", false, true},
		{"..", false, true},
		{"a b", false, true},
		{"a/b", false, true},
		{`a\b`, false, true},
		{"a%2fb", false, true},
		{"a:b", false, true},
		{"a@b", false, true}, // the neighbours of the ranges of letters and digits
		{"a[b", false, true},
		{"a`b", false, true},
		{"a{b", false, true},
		{"a\nb", false, true},
		{"a\x7f", false, true},
		{"ä", false, true},
		{strings.Repeat("ä", core.MaxIDLength/2), false, true},
		{"a\x00", false, false},
		{"\x00", false, false},
		{"a\xff", false, false},
		{"\xed\xa0\x80", false, false}, // half of a UTF-16 pair
	} {
		require.Equal(t, c.id, core.ValidID(c.text), "%q as an ID", c.text)
		require.Equal(t, c.id, core.ValidID(core.RunID(c.text)), "%q as a run's", c.text)
		require.Equal(t, c.held, core.ValidText(c.text), "%q as text", c.text)
		_, err := core.NewTenant(core.TenantID(c.text), "Name", 0, t0)
		require.Equal(t, c.id, err == nil, "a tenant of ID %q: %v", c.text, err)
		if !c.id {
			require.ErrorIs(t, err, core.ErrInvalidRequest)
		}
	}
}
