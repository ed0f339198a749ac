package httpapi

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/redrive/redrive/core"
)

// Bounds of a JSON body, in addition to its bytes. A value of two bytes takes a hundred
// times as many in memory, so values are counted as they are read, and a body is refused
// as soon as it is over its bounds.
const (
	maxDepth  = 8
	maxFields = 50 // of one object; no request has a quarter as many
	// leastElements is how many elements an array may have if runs have fewer files.
	leastElements = 100
	// valuesPerElement is how many values there may be for each element: the element
	// itself, its two fields, and one that is refused by name.
	valuesPerElement = 4
	// maxNumber is how many digits of a number are kept: more than a valid one has.
	maxNumber = 64
)

// value is a JSON value.
type value struct {
	kind   jsontext.Kind
	text   string // of a string, decoded, and of a number, as it was written
	list   []value
	object *object
}

// The kinds of values, and of what ends them, as jsontext writes them.
const (
	kindInvalid   jsontext.Kind = 0 // the reader's next answer is an error
	kindNull      jsontext.Kind = 'n'
	kindTrue      jsontext.Kind = 't'
	kindFalse     jsontext.Kind = 'f'
	kindString    jsontext.Kind = '"'
	kindNumber    jsontext.Kind = '0'
	kindArray     jsontext.Kind = '['
	kindArrayEnd  jsontext.Kind = ']'
	kindObject    jsontext.Kind = '{'
	kindObjectEnd jsontext.Kind = '}'
)

// objectReader makes the tree of one body.
type objectReader struct {
	dec         *jsontext.Decoder
	maxElements int
	left        int // values that there may still be
	wrong       *[]core.FieldError
}

// decodeObject reads one JSON object and nothing after it. It fails if the body is not
// JSON or exceeds the bounds; mistakes in fields are collected in the object.
func decodeObject(body io.Reader, maxElements int) (*object, error) {
	r := &objectReader{
		dec:         jsontext.NewDecoder(body, jsontext.AllowDuplicateNames(true)), // reported with the other mistakes
		maxElements: maxElements, left: valuesPerElement*maxElements + maxFields, wrong: new([]core.FieldError),
	}
	if kind := r.dec.PeekKind(); kind != kindObject && kind != kindInvalid {
		return nil, core.InvalidField("body", "must be a JSON object")
	}
	v, err := r.value("")
	if err != nil {
		return nil, err
	}
	if _, err := r.dec.ReadToken(); !errors.Is(err, io.EOF) {
		if err == nil {
			return nil, notOneObject()
		}
		return nil, r.fault(err)
	}
	return v.object, nil
}

func notOneObject() error {
	return core.InvalidField("body", "must be one JSON object and nothing after it")
}

// value reads one value; path is its name in error messages.
func (r *objectReader) value(path string) (value, error) {
	if r.left--; r.left < 0 {
		return value{}, core.InvalidField("body", "has too many values; %d is the most", valuesPerElement*r.maxElements+maxFields)
	}
	kind := r.dec.PeekKind()
	if kind == kindArray || kind == kindObject {
		if r.dec.StackDepth() >= maxDepth {
			return value{}, core.InvalidField(fieldName(path), "is nested too deeply; %d levels are the most", maxDepth)
		}
	}
	switch kind {
	case kindObject:
		o, err := r.object(path)
		return value{kind: kind, object: o}, err
	case kindArray:
		list, err := r.array(path)
		return value{kind: kind, list: list}, err
	default:
		token, err := r.dec.ReadToken()
		if err != nil {
			return value{}, r.fault(err)
		}
		v := value{kind: token.Kind()}
		switch v.kind {
		case kindString:
			v.text = token.String()
		case kindNumber:
			text := token.String()
			v.text = strings.Clone(text[:min(len(text), maxNumber)])
		default:
		}
		return v, nil
	}
}

func (r *objectReader) object(path string) (*object, error) {
	if _, err := r.dec.ReadToken(); err != nil {
		return nil, r.fault(err)
	}
	o := &object{wrong: r.wrong}
	if path != "" {
		o.path = path + "."
	}
	for r.dec.PeekKind() != kindObjectEnd {
		if len(o.fields) == maxFields {
			return nil, core.InvalidField(fieldName(path), "has too many fields; %d are the most", maxFields)
		}
		token, err := r.dec.ReadToken()
		if err != nil {
			return nil, r.fault(err)
		}
		name := token.String()
		v, err := r.value(o.path + printableField(name)) // cut, because it is copied for each value inside
		if err != nil {
			return nil, err
		}
		if twice := o.find(name); twice != nil {
			o.refuse(name, "is there twice")
			twice.value = v
			continue
		}
		o.fields = append(o.fields, field{name: name, value: v})
	}
	if _, err := r.dec.ReadToken(); err != nil {
		return nil, r.fault(err)
	}
	return o, nil
}

func (r *objectReader) array(path string) ([]value, error) {
	if _, err := r.dec.ReadToken(); err != nil {
		return nil, r.fault(err)
	}
	var list []value
	for r.dec.PeekKind() != kindArrayEnd {
		if len(list) == r.maxElements {
			return nil, core.InvalidField(fieldName(path), "may have at most %d elements", r.maxElements)
		}
		v, err := r.value(fmt.Sprintf("%s[%d]", path, len(list)))
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	if _, err := r.dec.ReadToken(); err != nil {
		return nil, r.fault(err)
	}
	return list, nil
}

// fault gives the refusal for an error of the decoder: invalid JSON, or a body that could
// not be read.
func (r *objectReader) fault(err error) error {
	syntax, ok := errors.AsType[*jsontext.SyntacticError](err)
	if !ok {
		if errors.Is(err, io.EOF) {
			return notOneObject() // there was none
		}
		return bodyError(err)
	}
	switch said := syntax.Err.Error(); {
	// encoding/json would silently replace these characters. The run would then process,
	// and charge for, a text that the client did not send.
	case strings.Contains(said, "surrogate"):
		return core.InvalidField(fieldAt(syntax.JSONPointer), `has one half of a surrogate pair (\ud800 to \udfff); write both halves, or the character itself`)
	case strings.Contains(said, "UTF-8"):
		return core.InvalidField(fieldAt(syntax.JSONPointer), "must be UTF-8")
	case errors.Is(err, io.ErrUnexpectedEOF):
		return core.InvalidField("body", "is not valid JSON: it ends before it is complete, at byte %d", syntax.ByteOffset)
	default:
		return core.InvalidField("body", "is not valid JSON; what is wrong is at byte %d", syntax.ByteOffset)
	}
}

// fieldAt names a value as the other messages do: files[3].name.
func fieldAt(p jsontext.Pointer) string {
	var b strings.Builder
	for step := range p.Tokens() {
		switch {
		case step != "" && strings.Trim(step, "0123456789") == "":
			b.WriteString("[" + step + "]")
		case b.Len() > 0:
			b.WriteString("." + step)
		default:
			b.WriteString(step)
		}
	}
	return fieldName(b.String())
}

// fieldName is printableField for what may be the body itself.
func fieldName(path string) string {
	if path == "" {
		return "body"
	}
	return printableField(path)
}
