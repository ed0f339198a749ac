package httpapi

import (
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
)

// openAPIFiles are the parts of the OpenAPI document: api.json with what all of them
// share, and a part for each kind of resource, with its paths and schemas.
//
//go:embed openapi/*.json
var openAPIFiles embed.FS

// openAPIPart is one file of them, and the whole document.
type openAPIPart struct {
	OpenAPI    string                     `json:"openapi,omitempty"`
	Info       json.RawMessage            `json:"info,omitempty"`
	Servers    []openAPIServer            `json:"servers,omitempty"`
	Security   json.RawMessage            `json:"security,omitempty"`
	Tags       []json.RawMessage          `json:"tags,omitempty"`
	Paths      map[string]json.RawMessage `json:"paths,omitempty"`
	Webhooks   map[string]json.RawMessage `json:"webhooks,omitempty"`
	Components openAPIComponents          `json:"components"`
}

type openAPIServer struct {
	URL string `json:"url"`
}

type openAPIComponents struct {
	SecuritySchemes map[string]json.RawMessage `json:"securitySchemes,omitempty"`
	Parameters      map[string]json.RawMessage `json:"parameters,omitempty"`
	Headers         map[string]json.RawMessage `json:"headers,omitempty"`
	Responses       map[string]json.RawMessage `json:"responses,omitempty"`
	Schemas         map[string]json.RawMessage `json:"schemas,omitempty"`
}

// OpenAPI gives the OpenAPI document that GET /openapi.json serves.
func OpenAPI() []byte { return openAPIAt("") }

// openAPIAt is the document of an API under a prefix. It panics if the parts do not fit
// together, which a test shows.
func openAPIAt(prefix string) []byte {
	doc, err := mergedOpenAPI()
	if err != nil {
		panic("httpapi: the OpenAPI document: " + err.Error())
	}
	if prefix != "" {
		doc.Servers = []openAPIServer{{prefix}}
	}
	text, err := json.MarshalIndent(doc, "", "  ")
	if err != nil {
		panic("httpapi: the OpenAPI document: " + err.Error())
	}
	return append(text, '\n')
}

// mergedOpenAPI puts the parts together. No two of them may define the same thing.
func mergedOpenAPI() (openAPIPart, error) {
	var doc openAPIPart
	names, err := fs.Glob(openAPIFiles, "openapi/*.json")
	if err != nil {
		return doc, err
	}
	for _, name := range names {
		text, err := openAPIFiles.ReadFile(name)
		if err != nil {
			return doc, err
		}
		var part openAPIPart
		if err := json.Unmarshal(text, &part); err != nil {
			return doc, fmt.Errorf("%s: %w", name, err)
		}
		if part.OpenAPI != "" {
			doc.OpenAPI, doc.Info, doc.Servers, doc.Security = part.OpenAPI, part.Info, part.Servers, part.Security
		}
		doc.Tags = append(doc.Tags, part.Tags...)
		for _, both := range []struct{ to, from *map[string]json.RawMessage }{
			{&doc.Paths, &part.Paths},
			{&doc.Webhooks, &part.Webhooks},
			{&doc.Components.SecuritySchemes, &part.Components.SecuritySchemes},
			{&doc.Components.Parameters, &part.Components.Parameters},
			{&doc.Components.Headers, &part.Components.Headers},
			{&doc.Components.Responses, &part.Components.Responses},
			{&doc.Components.Schemas, &part.Components.Schemas},
		} {
			if err := join(both.to, *both.from); err != nil {
				return doc, fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	return doc, nil
}

// join adds a part's definitions to the document's.
func join(to *map[string]json.RawMessage, from map[string]json.RawMessage) error {
	for key := range from {
		if _, twice := (*to)[key]; twice {
			return fmt.Errorf("%q is defined twice", key)
		}
	}
	if *to == nil {
		*to = map[string]json.RawMessage{}
	}
	maps.Copy(*to, from)
	return nil
}

// openAPI is GET /openapi.json.
func (a *api) openAPI(w http.ResponseWriter, _ *request) error {
	write(w, http.StatusOK, "application/json", a.openAPIDocument)
	return nil
}
