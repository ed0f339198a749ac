package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/redrive/redrive/core"
)

// maxFieldErrors is where listing what is wrong stops: more helps nobody.
const maxFieldErrors = 20

// object is a JSON object that is taken apart field by field. encoding/json's
// own way into a struct is too kind for requests that move money: it takes the
// last of two fields with one name, and "Amount" for "amount". Whatever is wrong
// is collected, so that a client hears of all of it at once.
type object struct {
	path   string // before every field's name, such as "files[3]."
	fields map[string]json.RawMessage
	taken  map[string]bool
	wrong  *[]core.FieldError // shared with the objects inside
}

// readObject reads a request's body as one JSON object of at most limit bytes.
func (a *api) readObject(w http.ResponseWriter, r *request, limit int64) (*object, error) {
	media, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if charset := params["charset"]; err != nil || media != "application/json" || charset != "" && !strings.EqualFold(charset, "utf-8") {
		return nil, refused(codeUnsupportedMedia, "send Content-Type: application/json")
	}
	body, err := readBody(w, r, limit)
	if err != nil {
		return nil, err
	}
	if !utf8.Valid(body) {
		return nil, core.InvalidField("body", "must be UTF-8")
	}
	if !json.Valid(body) {
		return nil, core.InvalidField("body", "must be one JSON object and nothing after it")
	}
	o := &object{wrong: new([]core.FieldError)}
	if !o.parse(body) {
		return nil, core.InvalidField("body", "must be a JSON object")
	}
	return o, nil
}

// readBody reads a body that is held in memory as a whole.
func readBody(w http.ResponseWriter, r *request, limit int64) ([]byte, error) {
	if encoding := r.Header.Get("Content-Encoding"); encoding != "" && !strings.EqualFold(encoding, "identity") {
		return nil, refused(codeUnsupportedMedia, "send the body without Content-Encoding")
	}
	if r.ContentLength > limit {
		return nil, bodyTooLarge(limit)
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	if err != nil {
		return nil, bodyError(err)
	}
	return body, nil
}

// bodyError tells what is wrong with a body that could not be read to its end.
func bodyError(err error) error {
	if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return bodyTooLarge(tooLarge.Limit)
	}
	return core.InvalidField("body", "could not be read to its end")
}

func bodyTooLarge(limit int64) error {
	return refused(codePayloadTooLarge, "the body may have at most %d bytes", limit)
}

// parse takes valid JSON apart. It gives false if it is no object.
func (o *object) parse(value []byte) bool {
	dec := json.NewDecoder(bytes.NewReader(value))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return false
	}
	o.fields, o.taken = map[string]json.RawMessage{}, map[string]bool{}
	for dec.More() {
		t, err := dec.Token()
		name, ok := t.(string)
		var raw json.RawMessage
		if err != nil || !ok || dec.Decode(&raw) != nil {
			return false
		}
		if _, twice := o.fields[name]; twice {
			o.refuse(name, "is there twice")
		}
		o.fields[name] = raw
	}
	return true
}

func (o *object) refuse(field, format string, args ...any) {
	if len(*o.wrong) < maxFieldErrors {
		*o.wrong = append(*o.wrong, core.FieldError{Field: printableField(o.path + field), Message: fmt.Sprintf(format, args...)})
	}
}

// printableField keeps a client's own words from filling its answer.
func printableField(name string) string {
	const most = 64
	if len(name) > most {
		return strings.ToValidUTF8(name[:most], "") + "…"
	}
	return name
}

// take gives a field's value; nil if it is not there or null.
func (o *object) take(name string) json.RawMessage {
	o.taken[name] = true
	raw := o.fields[name]
	if string(raw) == "null" {
		return nil
	}
	return raw
}

// optionalString gives nil if the field is not there.
func (o *object) optionalString(name string) *string {
	raw := o.take(name)
	if raw == nil {
		return nil
	}
	var s string
	if json.Unmarshal(raw, &s) != nil {
		o.refuse(name, "must be a string")
		return nil
	}
	if escape, found := loneSurrogate(raw); found {
		o.refuse(name, "has %s, which is half of a surrogate pair and no character; escape both halves, or send UTF-8", escape)
		return nil
	}
	return &s
}

// string gives the field, which has to be there.
func (o *object) string(name string) string {
	s := o.optionalString(name)
	if s == nil {
		o.require(name)
		return ""
	}
	return *s
}

// optionalInt gives nil if the field is not there. Whole numbers only, written
// as such: 3.0 and 3e0 are refused, and so is what an int64 cannot hold.
func (o *object) optionalInt(name string) *int64 {
	raw := o.take(name)
	if raw == nil {
		return nil
	}
	n, err := strconv.ParseInt(string(raw), 10, 64)
	switch {
	case errors.Is(err, strconv.ErrRange):
		o.refuse(name, "must be from %d to %d", int64(math.MinInt64), int64(math.MaxInt64))
		return nil
	case err != nil:
		o.refuse(name, "must be a whole number")
		return nil
	}
	return &n
}

// int gives the field, which has to be there.
func (o *object) int(name string) int64 {
	n := o.optionalInt(name)
	if n == nil {
		o.require(name)
		return 0
	}
	return *n
}

// objects gives an array of objects, at most limit of them.
func (o *object) objects(name string, limit int) []*object {
	raw := o.take(name)
	if raw == nil {
		o.require(name)
		return nil
	}
	var values []json.RawMessage
	if json.Unmarshal(raw, &values) != nil {
		o.refuse(name, "must be an array")
		return nil
	}
	if len(values) > limit {
		o.refuse(name, "may have at most %d elements, not %d", limit, len(values))
		return nil
	}
	list := make([]*object, 0, len(values))
	for i, v := range values {
		element := &object{path: fmt.Sprintf("%s%s[%d].", o.path, name, i), wrong: o.wrong}
		if !element.parse(v) {
			o.refuse(fmt.Sprintf("%s[%d]", name, i), "must be an object")
			continue
		}
		list = append(list, element)
	}
	return list
}

// require says that a field is missing, unless more was said about it already.
func (o *object) require(name string) {
	if raw, there := o.fields[name]; !there || string(raw) == "null" {
		o.refuse(name, "is required")
	}
}

// rest refuses the fields that nobody took: a misspelt field would otherwise be
// a wish that is silently not granted.
func (o *object) rest() {
	var unknown []string
	for name := range o.fields {
		if !o.taken[name] {
			unknown = append(unknown, name)
		}
	}
	slices.Sort(unknown)
	for _, name := range unknown {
		o.refuse(name, "is not a field of this request")
	}
}

// done gives all that was wrong, as one error.
func (o *object) done() error {
	o.rest()
	return core.Invalid(*o.wrong...)
}

// noBody refuses a body where none is read: whoever sends one believes that it
// matters. An empty object is let through, for clients that cannot send nothing.
func noBody(w http.ResponseWriter, r *request) error {
	body, err := readBody(w, r, maxJSONBytes)
	if err != nil {
		return err
	}
	var o map[string]json.RawMessage
	if len(bytes.TrimSpace(body)) == 0 || json.Unmarshal(body, &o) == nil && o != nil && len(o) == 0 {
		return nil
	}
	return core.InvalidField("body", "this request has no body; send none")
}
