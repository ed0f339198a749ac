package httpapi

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"

	"github.com/redrive/redrive/core"
)

// maxIgnoredBody is how much of a body is read where none is expected.
const maxIgnoredBody = 1024

// readObject reads a request's body as one JSON object of at most limit bytes.
func (a *api) readObject(w http.ResponseWriter, r *request, limit int64) (*object, error) {
	media, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if charset := params["charset"]; err != nil || media != "application/json" || charset != "" && !strings.EqualFold(charset, "utf-8") {
		return nil, refused(codeUnsupportedMedia, "send Content-Type: application/json")
	}
	body, err := boundedBody(w, r, limit)
	if err != nil {
		return nil, err
	}
	return decodeObject(body, max(a.svc.Options().MaxFiles, leastElements))
}

// boundedBody gives the body of at most limit bytes, which are not read yet.
func boundedBody(w http.ResponseWriter, r *request, limit int64) (io.Reader, error) {
	if encoding := r.Header.Get("Content-Encoding"); encoding != "" && !strings.EqualFold(encoding, "identity") {
		return nil, refused(codeUnsupportedMedia, "send the body without Content-Encoding")
	}
	if r.ContentLength > limit {
		return nil, bodyTooLarge(limit)
	}
	return http.MaxBytesReader(w, r.Body, limit), nil
}

// bodyError is the refusal of a body that could not be read to its end.
func bodyError(err error) error {
	if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return bodyTooLarge(tooLarge.Limit)
	}
	return core.InvalidField("body", "could not be read to its end")
}

func bodyTooLarge(limit int64) error {
	return refused(codePayloadTooLarge, "the body may have at most %d bytes", limit)
}

// noBody refuses a body where none is read: a client that sends one expects it to have
// an effect. An empty object is accepted, for clients that cannot leave the body out.
func noBody(w http.ResponseWriter, r *request) error {
	bounded, err := boundedBody(w, r, maxIgnoredBody)
	if err != nil {
		return err
	}
	body, err := io.ReadAll(bounded)
	if err != nil {
		return bodyError(err)
	}
	body = bytes.TrimSpace(body)
	inside, opened := bytes.CutPrefix(body, []byte("{"))
	if len(body) == 0 || opened && string(bytes.TrimSpace(inside)) == "}" {
		return nil
	}
	return core.InvalidField("body", "this request has no body; send none")
}
