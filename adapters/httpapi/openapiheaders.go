package httpapi

import (
	"encoding/json"
	"fmt"
	"strings"
)

// headersOfParameters are the headers of accepted answers that a parameter of the document's
// components brings.
var headersOfParameters = map[string]string{
	"IdempotencyKey": "Idempotency-Replayed",
	"RequiredKey":    "Idempotency-Replayed",
	"Cursor":         "Link",
	"IfNoneMatch":    "ETag",
}

// addHeaders makes the headers that come of what an operation takes, so that it need not name
// them.
func (doc *openAPIPart) addHeaders() error {
	for path, item := range doc.Paths {
		for method, o := range item.operations() {
			for _, p := range o.Parameters {
				if name, brings := headersOfParameters[componentOf(p)]; brings {
					if err := o.addHeader(name); err != nil {
						return fmt.Errorf("%s %s: %w", method, path, err)
					}
				}
				if componentOf(p) == "IfNoneMatch" {
					o.Responses["304"] = openAPIResponse{
						Description: "It is the same as before.",
						Headers:     encoded(map[string]openAPIRef{"ETag": {"#/components/headers/ETag"}}),
					}
				}
			}
		}
	}
	return nil
}

// addHeader adds a header of the document's components to the operation's accepted answers.
func (o *openAPIOperation) addHeader(name string) error {
	for status, response := range o.Responses {
		if status[0] != '2' {
			continue
		}
		headers := map[string]json.RawMessage{}
		if response.Headers != nil {
			if err := json.Unmarshal(response.Headers, &headers); err != nil {
				return err
			}
		}
		headers[name] = encoded(openAPIRef{"#/components/headers/" + strings.ReplaceAll(name, "-", "")})
		response.Headers = encoded(headers)
		o.Responses[status] = response
	}
	return nil
}
