package httpapi

import (
	"context"
	"crypto/rand"
	"net/http"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// traced gives a request its place in a trace: in the one that its traceparent names (W3C
// Trace Context), or, if there is none that can be read, in a new one. The answer names it
// in Traceresponse. tracestate is for the systems of the caller, and is not passed on.
func traced(ctx context.Context, w http.ResponseWriter, header http.Header) (context.Context, core.Trace) {
	var id [16]byte
	var span [8]byte
	_, _ = rand.Read(span[:]) // never fails
	var trace core.Trace
	if values := header.Values("Traceparent"); len(values) == 1 {
		parent, _ := core.ParseTrace(values[0])
		trace = parent.Span(span)
	}
	if trace == "" {
		_, _ = rand.Read(id[:])
		trace = core.NewTrace(id, span)
	}
	w.Header().Set("Traceresponse", string(trace))
	return ports.WithTrace(ctx, trace), trace
}
