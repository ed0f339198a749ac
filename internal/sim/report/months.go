package report

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/redrive/redrive/internal/sim/trace"
)

// months lists what is left of each month's allowance.
func months(t trace.TenantState) string {
	var parts []string
	for _, m := range slices.Sorted(maps.Keys(t.Monthly)) {
		parts = append(parts, fmt.Sprintf("%d of %s", t.Monthly[m], m))
	}
	return strings.Join(parts, ", ")
}
