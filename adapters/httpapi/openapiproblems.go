package httpapi

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/redrive/redrive/core"
)

// The refusals that come of what an operation is, and that it therefore need not name.
var (
	problemsOfAll   = []core.Code{codeInternal, codeOutcomeUnknown, codeUnavailable}
	problemsOfInput = []core.Code{core.CodeInvalidRequest}                   // with parameters, or no GET
	problemsOfWrite = []core.Code{codeRequestTimeout}                        // no GET: it may have a body
	problemsOfBody  = []core.Code{codePayloadTooLarge, codeUnsupportedMedia} // with a body
	problemsOfActor = []core.Code{codeUnauthenticated, codeRateLimited}      // not public

	// problemsOfParameters are those that a parameter of the document's components brings.
	problemsOfParameters = map[string][]core.Code{
		"Tenant":         {core.CodeTenantNotFound, core.CodeWrongTenant},
		"TenantID":       {core.CodeTenantNotFound, core.CodeWrongTenant},
		"BulkID":         {core.CodeBulkNotFound, core.CodeWrongTenant},
		"RunID":          {core.CodeRunNotFound, core.CodeWrongTenant},
		"TemplateID":     {core.CodeTemplateNotFound},
		"EndpointID":     {core.CodeWebhookEndpointNotFound},
		"EventID":        {core.CodeWebhookDeliveryNotFound},
		"MaxPrice":       {core.CodePriceChanged},
		"IdempotencyKey": {core.CodeIdempotencyKeyReused, core.CodeIdempotencyInProgress},
		"RequiredKey":    {core.CodeIdempotencyKeyReused},
	}

	// problemHeaders are headers that come with a code, besides Retry-After.
	problemHeaders = map[core.Code][]string{
		codeUnauthenticated: {"WWW-Authenticate"},
		codeRateLimited:     {"RateLimit", "RateLimit-Policy"},
	}
)

const problemsPath = "/problems/"

// addProblems makes the responses of all operations' refusals, and an example of each code.
func (doc *openAPIPart) addProblems(prefix string) error {
	for path, item := range doc.Paths {
		for method, o := range item.operations() {
			if err := o.addProblems(method); err != nil {
				return fmt.Errorf("%s %s: %w", method, path, err)
			}
		}
	}
	if doc.Components.Examples == nil {
		doc.Components.Examples = map[string]json.RawMessage{}
	}
	for code, to := range problems {
		doc.Components.Examples[string(code)] = encoded(map[string]any{"summary": to.title, "value": exampleOf(code, prefix)})
	}
	return nil
}

// answering gives the operations that may be answered with each code, by path.
func (doc *openAPIPart) answering() map[core.Code][]operationRefJSON {
	all := map[core.Code][]operationRefJSON{}
	for _, path := range slices.Sorted(maps.Keys(doc.Paths)) {
		operations := doc.Paths[path].operations()
		for _, method := range slices.Sorted(maps.Keys(operations)) {
			o := operations[method]
			for _, response := range o.Responses {
				for _, code := range response.Codes {
					all[code] = append(all[code], operationRefJSON{ID: o.OperationID, Method: method, Path: path, Tag: o.Tags[0]})
				}
			}
		}
	}
	return all
}

// exampleOf is a problem as a client might get it.
func exampleOf(code core.Code, prefix string) problemJSON {
	to := problems[code]
	p := toProblem(&core.Error{Code: code, Message: to.do}, to, prefix, "/workflow-runs/run-1", "K2J7QWEXAMPLE4XVHZ5T3B6NRM")
	p.factsJSON = to.facts
	return p
}

func (o *openAPIOperation) addProblems(method string) error {
	codes := slices.Clone(o.Problems)
	o.Problems = nil
	for status, response := range o.Responses {
		if status == "default" || status[0] >= '4' {
			codes = append(codes, codesIn(response.Description)...)
			delete(o.Responses, status)
		}
	}
	codes = append(codes, problemsOfAll...)
	if o.Security == nil || len(*o.Security) > 0 {
		codes = append(codes, problemsOfActor...)
	}
	if o.RequestBody != nil {
		codes = append(codes, problemsOfBody...)
	}
	if method != "GET" {
		codes = append(codes, problemsOfWrite...)
	}
	input := method != "GET"
	for _, p := range o.Parameters {
		name := componentOf(p)
		codes = append(codes, problemsOfParameters[name]...)
		input = input || !strings.HasSuffix(name, "ID") && !inPath.Match(p)
	}
	if input {
		codes = append(codes, problemsOfInput...)
	}
	byStatus := map[int][]core.Code{}
	for _, code := range codes {
		to, known := problems[code]
		if !known {
			return fmt.Errorf("%q is no code of the table", code)
		}
		if of := byStatus[to.status]; !slices.Contains(of, code) {
			byStatus[to.status] = append(of, code)
		}
	}
	for status, of := range byStatus {
		o.Responses[strconv.Itoa(status)] = problemResponse(of)
	}
	return nil
}

// componentOf is the name of the component that a parameter refers to; empty if it is
// written out.
func componentOf(parameter json.RawMessage) string {
	var ref openAPIRef
	if json.Unmarshal(parameter, &ref) != nil { // not reached: it was read with the part
		return ""
	}
	_, name, _ := strings.Cut(ref.Ref, "#/components/parameters/")
	return name
}

var inPath = regexp.MustCompile(`"in": ?"path"`)

var codeLike = regexp.MustCompile(`[a-z_]+`)

// codesIn gives the codes that a response's description names.
func codesIn(description string) (codes []core.Code) {
	for _, word := range codeLike.FindAllString(description, -1) {
		if _, known := problems[core.Code(word)]; known {
			codes = append(codes, core.Code(word))
		}
	}
	return codes
}

// problemResponse is the response of a status that these codes have. x-codes lists them for
// programs, the tests among them.
func problemResponse(codes []core.Code) openAPIResponse {
	slices.Sort(codes)
	var description strings.Builder
	examples, headers := map[string]openAPIRef{}, map[string]openAPIRef{}
	for _, code := range codes {
		to := problems[code]
		if description.Len() > 0 {
			description.WriteString("\n\n")
		}
		fmt.Fprintf(&description, "`%s`: %s", code, to.when)
		examples[string(code)] = openAPIRef{"#/components/examples/" + string(code)}
		if to.waits {
			headers["Retry-After"] = openAPIRef{"#/components/headers/RetryAfter"}
		}
		for _, name := range problemHeaders[code] {
			headers[name] = openAPIRef{"#/components/headers/" + strings.ReplaceAll(name, "-", "")}
		}
	}
	r := openAPIResponse{Description: description.String(), Codes: codes, Content: map[string]openAPIContent{
		"application/problem+json": {Schema: encoded(openAPIRef{"#/components/schemas/Problem"}), Examples: encoded(examples)},
	}}
	if len(headers) > 0 {
		r.Headers = encoded(headers)
	}
	return r
}
