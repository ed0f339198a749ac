package httpapi

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/redrive/redrive/core"
)

// maxFieldErrors is how many mistakes one answer lists.
const maxFieldErrors = 20

// object is a JSON object that is read field by field. Unmarshalling into a struct with
// encoding/json is too lenient for requests that move money: it takes the last of two
// fields with one name, and accepts "Amount" for "amount". All mistakes are collected,
// so that a client learns of them at once.
type object struct {
	path   string             // before every field's name, such as "files[3]."
	fields []field            // few, so a list is faster and smaller than a map
	wrong  *[]core.FieldError // shared with the objects inside
}

type field struct {
	name  string
	value value
	taken bool
}

func (o *object) refuse(field, format string, args ...any) {
	if len(*o.wrong) < maxFieldErrors {
		*o.wrong = append(*o.wrong, core.FieldError{Field: printableField(o.path + field), Message: fmt.Sprintf(format, args...)})
	}
}

// printableField shortens a field name that the client made up, for an error message.
func printableField(name string) string {
	const most = 64
	if len(name) > most {
		return strings.ToValidUTF8(name[:most], "") + "…"
	}
	return name
}

// find gives a field; nil if it is not there.
func (o *object) find(name string) *field {
	for i := range o.fields {
		if o.fields[i].name == name {
			return &o.fields[i]
		}
	}
	return nil
}

// take gives a field's value; nil if it is not there or null.
func (o *object) take(name string) *value {
	f := o.find(name)
	if f == nil {
		return nil
	}
	f.taken = true
	if f.value.kind == kindNull {
		return nil
	}
	return &f.value
}

// optionalString gives nil if the field is not there.
func (o *object) optionalString(name string) *string {
	v := o.take(name)
	if v == nil {
		return nil
	}
	if v.kind != kindString {
		o.refuse(name, "must be a string")
		return nil
	}
	return &v.text
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
	v := o.take(name)
	if v == nil {
		return nil
	}
	n, err := int64(0), strconv.ErrSyntax
	if v.kind == kindNumber {
		n, err = strconv.ParseInt(v.text, 10, 64)
	}
	switch {
	case errors.Is(err, strconv.ErrRange):
		o.refuse(name, "is out of range")
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
	v := o.take(name)
	if v == nil {
		o.require(name)
		return nil
	}
	if v.kind != kindArray {
		o.refuse(name, "must be an array")
		return nil
	}
	if len(v.list) > limit {
		o.refuse(name, "may have at most %d elements, not %d", limit, len(v.list))
		return nil
	}
	list := make([]*object, 0, len(v.list))
	for i, element := range v.list {
		if element.kind != kindObject {
			o.refuse(fmt.Sprintf("%s[%d]", name, i), "must be an object")
			continue
		}
		list = append(list, element.object)
	}
	return list
}

// require says that a field is missing, unless more was said about it already.
func (o *object) require(name string) {
	if f := o.find(name); f == nil || f.value.kind == kindNull {
		o.refuse(name, "is required")
	}
}

// rest refuses the fields that were not taken: otherwise a misspelt field would be
// silently ignored.
func (o *object) rest() {
	var unknown []string
	for _, f := range o.fields {
		if !f.taken {
			unknown = append(unknown, f.name)
		}
	}
	slices.Sort(unknown)
	for _, name := range unknown {
		o.refuse(name, "is not a field of this request")
	}
}

// done gives all mistakes as one error.
func (o *object) done() error {
	o.rest()
	return core.Invalid(*o.wrong...)
}
