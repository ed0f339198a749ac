package httpapi

import (
	"context"
	"net/http"
)

// bodyKey is the context key of the body of a request to a Paced handler.
type bodyKey struct{}

// Paced puts another handler of the same server under the API's deadlines: a client
// that neither sends nor reads holds no connection. It gives each request its place in a
// trace as well (ports.TraceOf). The handler calls Known for a
// request whose sender it has authenticated, and Upload for an upload.
func Paced(next http.Handler, pace Pace) http.Handler {
	pace = pace.withDefaults()
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		in := newBody(w, req, pace)
		ctx, _ := traced(req.Context(), w, req.Header)
		req = req.WithContext(context.WithValue(ctx, bodyKey{}, in))
		req.Body = in
		defer in.leave()
		next.ServeHTTP(&recorder{ResponseWriter: w, body: in, timeout: pace.Write}, req)
	})
}

// Known marks the sender of a request as authenticated: it may finish sending a body
// that was refused, and then read the answer.
func Known(req *http.Request) {
	if in, ok := req.Context().Value(bodyKey{}).(*body); ok {
		in.senderKnown(req)
	}
}

// Upload gives a request the time of an upload, once its sender may upload.
func Upload(req *http.Request) {
	if in, ok := req.Context().Value(bodyKey{}).(*body); ok {
		in.isUpload()
	}
}
