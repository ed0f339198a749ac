package ports

import "context"

type relaxed struct{}

// Relaxed marks transactions whose effect may be forgotten if the store crashes
// soon after the commit: whole, never in part, and never without a crash. It is
// for bookkeeping that recovery makes good, and spares a wait for the disk. A
// store may ignore it. Money and work are never written under it.
func Relaxed(ctx context.Context) context.Context { return context.WithValue(ctx, relaxed{}, true) }

// IsRelaxed reports whether ctx was marked by Relaxed.
func IsRelaxed(ctx context.Context) bool { return ctx.Value(relaxed{}) != nil }
