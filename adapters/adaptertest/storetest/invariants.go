package storetest

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/internal/testkit/model"
	"github.com/redrive/redrive/ports"
)

// CheckInvariants recomputes I1 to I8 and I12 (listed in package core) for these
// tenants from what the store holds, as far as one look at it can tell, and fails the
// test with everything that does not hold. It may be called at any moment. What only a
// history can tell (that results are recorded once, that completed files never change)
// it cannot see.
func CheckInvariants(t *testing.T, s ports.Store, tenants ...core.TenantID) {
	t.Helper()
	broken, err := Violations(bounded(t), s, tenants...)
	require.NoError(t, err)
	require.Empty(t, broken)
}

// Violations says which invariants do not hold, one sentence each, by the model.
func Violations(ctx context.Context, s ports.Store, tenants ...core.TenantID) ([]string, error) {
	var broken []string
	for _, id := range tenants {
		c, err := Read(ctx, s, id)
		if err != nil {
			return nil, err
		}
		broken = append(broken, violationsOf(id, c)...)
	}
	return broken, nil
}

func violationsOf(tenant core.TenantID, c Contents) (broken []string) {
	judge := func(rule model.Rule, format string, args ...any) {
		broken = append(broken, fmt.Sprintf("%s: tenant %s: ", rule, tenant)+fmt.Sprintf(format, args...))
	}
	if c.Tenant == nil {
		judge(model.I10, "there is no such tenant")
	}
	rows := model.Rows{Entries: c.Entries, Balances: c.Balances}
	for i := range c.Runs {
		r := &c.Runs[i]
		rows.Runs = append(rows.Runs, model.RunRows{Run: r, Files: c.Files[r.ID], Attempts: c.Attempts[r.ID]})
	}
	rows.Check(judge)
	return broken
}
