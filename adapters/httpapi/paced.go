package httpapi

import (
	"context"
	"net/http"
)

// bodyKey finds the body of a request to a handler beside the API.
type bodyKey struct{}

// Paced puts another handler of the same server under the API's deadlines: a client
// that neither sends nor reads holds no connection. The handler says of a request
// whose sender it knows that it is Known, and of an upload that it is one.
func Paced(next http.Handler, pace Pace) http.Handler {
	pace = pace.withDefaults()
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		in := newBody(w, req, pace)
		req = req.WithContext(context.WithValue(req.Context(), bodyKey{}, in))
		req.Body = in
		defer in.leave()
		next.ServeHTTP(&recorder{ResponseWriter: w, body: in, timeout: pace.Write}, req)
	})
}

// Known tells that the sender of a request is known: it may finish a body that was
// refused, and read the answer.
func Known(req *http.Request) {
	if in, ok := req.Context().Value(bodyKey{}).(*body); ok {
		in.isOf(req)
	}
}

// Upload gives a request the time of an upload, once its sender may upload.
func Upload(req *http.Request) {
	if in, ok := req.Context().Value(bodyKey{}).(*body); ok {
		in.isUpload()
	}
}
