package storetest

import (
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
)

func TestDifferences(t *testing.T) {
	t.Parallel()
	w := newWorld("acme")
	for name, c := range map[string]struct {
		change func(*Contents)
		want   string
	}{
		"field":       {func(c *Contents) { c.Runs[1].Epoch = 7 }, ".Runs[1].Epoch: want 9223372036854775807, got 7"},
		"length":      {func(c *Contents) { c.Entries = c.Entries[:2] }, ".Entries: length: want 8, got 2"},
		"nil":         {func(c *Contents) { c.Templates = []core.Template{} }, ".Templates: length: want 1, got 0"},
		"missing key": {func(c *Contents) { delete(c.Answers, "refused") }, ".Answers[refused]: want core.Answer{"},
		"pointer":     {func(c *Contents) { c.Tenant = nil }, ".Tenant: want &core.Tenant{"},
		"time": {
			func(c *Contents) {
				c.Amendments[w.closed.ID][0].At = c.Amendments[w.closed.ID][0].At.In(time.FixedZone("X", 0))
			},
			".At: want 2026-03-04 05:38:07.891266 +0000 UTC (UTC), got 2026-03-04 05:38:07.891266 +0000 X (X)",
		},
	} {
		got := newWorld("acme").contents()
		c.change(&got)
		d := differences{}
		d.compare(reflect.ValueOf(w.contents()), reflect.ValueOf(got), "")
		require.NotEmpty(t, d.found, name)
		require.Contains(t, d.found[0], c.want, name)
	}
	equal(t, w.contents(), newWorld("acme").contents())
}
