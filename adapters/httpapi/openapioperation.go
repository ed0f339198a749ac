package httpapi

import (
	"bytes"
	"encoding/json"
	"maps"
	"strings"

	"github.com/redrive/redrive/core"
)

// openAPIPath is the operations of a path.
type openAPIPath struct {
	Get    *openAPIOperation `json:"get,omitempty"`
	Put    *openAPIOperation `json:"put,omitempty"`
	Post   *openAPIOperation `json:"post,omitempty"`
	Patch  *openAPIOperation `json:"patch,omitempty"`
	Delete *openAPIOperation `json:"delete,omitempty"`
}

func (p openAPIPath) operations() map[string]*openAPIOperation {
	all := map[string]*openAPIOperation{"GET": p.Get, "PUT": p.Put, "POST": p.Post, "PATCH": p.Patch, "DELETE": p.Delete}
	maps.DeleteFunc(all, func(_ string, o *openAPIOperation) bool { return o == nil })
	return all
}

// openAPIOperation is an operation of the document, in the order of its fields. Problems
// are the codes of its own refusals; in the document they are responses.
type openAPIOperation struct {
	OperationID string                     `json:"operationId"`
	Summary     string                     `json:"summary"`
	Description string                     `json:"description,omitempty"`
	Tags        []string                   `json:"tags"`
	Security    *[]json.RawMessage         `json:"security,omitempty"` // nil: that of the document
	Parameters  []json.RawMessage          `json:"parameters,omitempty"`
	RequestBody *openAPIBody               `json:"requestBody,omitempty"`
	Responses   map[string]openAPIResponse `json:"responses"`
	Problems    []core.Code                `json:"x-problems,omitempty"`
}

type openAPIBody struct {
	Description string                    `json:"description,omitempty"`
	Required    bool                      `json:"required,omitempty"`
	Content     map[string]openAPIContent `json:"content"`
}

type openAPIResponse struct {
	Ref         string                    `json:"$ref,omitempty"`
	Description string                    `json:"description,omitempty"`
	Codes       []core.Code               `json:"x-codes,omitempty"`
	Headers     json.RawMessage           `json:"headers,omitempty"`
	Content     map[string]openAPIContent `json:"content,omitempty"`
}

type openAPIContent struct {
	Schema   json.RawMessage `json:"schema,omitempty"`
	Encoding json.RawMessage `json:"encoding,omitempty"`
	Example  json.RawMessage `json:"example,omitempty"`
	Examples json.RawMessage `json:"examples,omitempty"`
}

type openAPIRef struct {
	Ref string `json:"$ref"`
}

// UnmarshalJSON refuses what is none of the fields: it would be lost.
func (o *openAPIOperation) UnmarshalJSON(text []byte) error {
	type plain openAPIOperation
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	return d.Decode((*plain)(o))
}

// addExamples gives each content that has no example of its own the component example that
// has its schema's name.
func (doc *openAPIPart) addExamples() {
	add := func(contents map[string]openAPIContent) {
		for kind, c := range contents {
			var schema openAPIRef
			if c.Example != nil || c.Examples != nil || json.Unmarshal(c.Schema, &schema) != nil {
				continue
			}
			name := strings.TrimPrefix(schema.Ref, "#/components/schemas/")
			if _, has := doc.Components.Examples[name]; has {
				c.Examples = encoded(map[string]openAPIRef{name: {"#/components/examples/" + name}})
				contents[kind] = c
			}
		}
	}
	for _, item := range doc.Paths {
		for _, o := range item.operations() {
			if o.RequestBody != nil {
				add(o.RequestBody.Content)
			}
			for _, r := range o.Responses {
				add(r.Content)
			}
		}
	}
}

// encoded is a value that always can be encoded.
func encoded(v any) json.RawMessage {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return text
}
