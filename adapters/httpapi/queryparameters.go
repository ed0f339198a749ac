package httpapi

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/redrive/redrive/core"
)

// parametersOfQueries are the names that the query of each operation may have, by the method
// and the path of the document, from its parameters.
var parametersOfQueries = sync.OnceValue(func() map[string][]string {
	doc, err := mergedOpenAPI()
	if err != nil {
		panic("httpapi: the OpenAPI document: " + err.Error())
	}
	all := map[string][]string{}
	for path, item := range doc.Paths {
		for method, o := range item.operations() {
			names := []string{}
			for _, p := range o.Parameters {
				if component := componentOf(p); component != "" {
					p = doc.Components.Parameters[component]
				}
				var parameter struct{ Name, In string }
				if err := json.Unmarshal(p, &parameter); err != nil {
					panic(fmt.Sprintf("httpapi: the OpenAPI document: %s %s: %s", method, path, err))
				}
				if parameter.In == "query" {
					names = append(names, parameter.Name)
				}
			}
			slices.Sort(names)
			all[method+" "+path] = names
		}
	}
	return all
})

// documentPath is the route's path as the document has it.
func (rt route) documentPath() string {
	segments := strings.Split(rt.pattern, "/")
	for i, s := range segments {
		if name, is := strings.CutPrefix(s, ":"); is {
			segments[i] = "{" + name + "}"
		}
	}
	return strings.Join(segments, "/")
}

// checkQuery refuses parameters that the route does not have: a maxPrice that is misspelled
// would be no limit, and a filter would leave nothing out.
func (rt route) checkQuery(r *request) error {
	if r.URL.RawQuery == "" {
		return nil
	}
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return core.InvalidField("query", "is not a valid query string")
	}
	names := parametersOfQueries()[rt.method+" "+rt.documentPath()]
	var wrong []core.FieldError
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if slices.Contains(names, name) || rt.stream && name == "ticket" {
			continue
		}
		message := "is not a parameter of this request, which has none"
		if len(names) > 0 {
			message = "is not a parameter of this request, which has " + strings.Join(names, ", ")
		}
		wrong = append(wrong, core.FieldError{Field: printableField(name), Message: message})
		if len(wrong) == maxFields {
			break
		}
	}
	return core.Invalid(wrong...)
}
