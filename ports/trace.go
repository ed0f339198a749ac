package ports

import (
	"context"

	"github.com/redrive/redrive/core"
)

type traceKey struct{}

// WithTrace says which trace is gone on with in ctx. Jobs that begin with it carry it, as
// far as the queue does, and an Executor finds it in its context.
func WithTrace(ctx context.Context, t core.Trace) context.Context {
	if t == "" {
		return ctx
	}
	return context.WithValue(ctx, traceKey{}, t)
}

// TraceOf gives the trace of ctx; empty if there is none.
func TraceOf(ctx context.Context) core.Trace {
	t, _ := ctx.Value(traceKey{}).(core.Trace)
	return t
}
