package httpapi

import (
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"sync"

	"go.yaml.in/yaml/v4"
)

// openAPIFiles are the parts of the OpenAPI document: api.json with what all of them
// share, and a part for each kind of resource, with its paths and schemas. An operation
// names the refusals of its own by their codes in x-problems; openapiproblems.go makes its
// responses of them.
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
	Paths      map[string]openAPIPath     `json:"paths,omitempty"`
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
	Examples        map[string]json.RawMessage `json:"examples,omitempty"`
	Schemas         map[string]json.RawMessage `json:"schemas,omitempty"`
}

// openAPIDocuments are the document under a prefix as JSON and as YAML, in the same order.
type openAPIDocuments struct{ json, yaml []byte }

// OpenAPI gives the OpenAPI document that GET /openapi.json serves.
func OpenAPI() []byte { return openAPIAtRoot().json }

var openAPIAtRoot = sync.OnceValue(func() openAPIDocuments { return openAPIAt("") })

// openAPIAt is the document of an API under a prefix. It panics if the parts do not fit
// together, which a test shows.
func openAPIAt(prefix string) openAPIDocuments {
	doc, err := mergedOpenAPI()
	if err == nil {
		doc.addExamples()
		err = errors.Join(doc.addHeaders(), doc.addProblems(prefix))
	}
	if err != nil {
		panic("httpapi: the OpenAPI document: " + err.Error())
	}
	if prefix != "" {
		doc.Servers = []openAPIServer{{prefix}}
	}
	var both openAPIDocuments
	if both.json, err = json.MarshalIndent(doc, "", "  "); err == nil {
		both.yaml, err = yamlOf(both.json)
	}
	if err != nil {
		panic("httpapi: the OpenAPI document: " + err.Error())
	}
	both.json = line(both.json)
	return both
}

// yamlOf is a JSON document in YAML's own style. JSON is YAML, so the order stays.
func yamlOf(document []byte) ([]byte, error) {
	var node yaml.Node
	if err := yaml.Unmarshal(document, &node); err != nil {
		return nil, err
	}
	inBlocks(&node)
	return yaml.Marshal(&node)
}

func inBlocks(n *yaml.Node) {
	if n.Kind != yaml.ScalarNode {
		n.Style = 0
	} else if n.Tag == "!!str" {
		n.Style = 0 // the encoder quotes what would be read as something else
	}
	for _, child := range n.Content {
		inBlocks(child)
	}
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
		if err := join(&doc.Paths, part.Paths); err != nil {
			return doc, fmt.Errorf("%s: %w", name, err)
		}
		for _, both := range []struct{ to, from *map[string]json.RawMessage }{
			{&doc.Webhooks, &part.Webhooks},
			{&doc.Components.SecuritySchemes, &part.Components.SecuritySchemes},
			{&doc.Components.Parameters, &part.Components.Parameters},
			{&doc.Components.Headers, &part.Components.Headers},
			{&doc.Components.Responses, &part.Components.Responses},
			{&doc.Components.Examples, &part.Components.Examples},
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
func join[V any](to *map[string]V, from map[string]V) error {
	for key := range from {
		if _, twice := (*to)[key]; twice {
			return fmt.Errorf("%q is defined twice", key)
		}
	}
	if *to == nil {
		*to = map[string]V{}
	}
	maps.Copy(*to, from)
	return nil
}

// openAPIJSON is GET /openapi.json.
func (a *api) openAPIJSON(w http.ResponseWriter, _ *request) error {
	write(w, http.StatusOK, "application/json", a.documents().json)
	return nil
}

// openAPIYAML is GET /openapi.yaml.
func (a *api) openAPIYAML(w http.ResponseWriter, _ *request) error {
	write(w, http.StatusOK, "application/yaml", a.documents().yaml)
	return nil
}
