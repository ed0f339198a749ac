package ports

import (
	"context"

	"github.com/redrive/redrive/core"
)

type likelyOwner struct{}

// LikelyOwner says whose run it will be that is asked for: most callers ask for their own
// runs. A store whose tenants are on several nodes looks there first, and so asks one node
// and not all of them. What TenantOf answers is the same with and without it.
func LikelyOwner(ctx context.Context, tenant core.TenantID) context.Context {
	if tenant == "" {
		return ctx
	}
	return context.WithValue(ctx, likelyOwner{}, tenant)
}

// LikelyOwnerOf gives what LikelyOwner said; empty if it said nothing.
func LikelyOwnerOf(ctx context.Context) core.TenantID {
	tenant, _ := ctx.Value(likelyOwner{}).(core.TenantID)
	return tenant
}
