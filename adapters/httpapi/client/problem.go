package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
)

// Error is an answer of 400 or above. A refusal has changed nothing, except for the codes
// enqueue_failed and outcome_unknown.
type Error struct {
	Status  int
	Problem Problem // without a code if a proxy answered and not Redrive
}

// Error gives the code, and the sentence that says what to do.
func (e *Error) Error() string {
	if e.Problem.Code == "" {
		return fmt.Sprintf("redrive: status %d", e.Status)
	}
	if e.Problem.Detail == nil {
		return fmt.Sprintf("redrive: %s (status %d)", e.Problem.Code, e.Status)
	}
	return fmt.Sprintf("redrive: %s (status %d): %s", e.Problem.Code, e.Status, *e.Problem.Detail)
}

// CodeOf gives the code of the refusal that err is; empty if it is none.
func CodeOf(err error) Code {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Problem.Code
	}
	return ""
}

// Response is what every generated response can say.
type Response interface {
	StatusCode() int
	GetBody() []byte
}

// Check turns an answer of 400 or above into an *Error, so that what is left of a response
// is its success:
//
//	run, err := client.Check(c.GetRunWithResponse(ctx, id, nil))
func Check[R Response](response R, err error) (R, error) {
	if err != nil {
		return response, err
	}
	return response, failed(response.StatusCode(), response.GetBody())
}

func failed(status int, body []byte) error {
	if status < http.StatusBadRequest {
		return nil
	}
	e := &Error{Status: status}
	if json.Unmarshal(body, &e.Problem) != nil {
		e.Problem = Problem{} // a proxy's page
	}
	return e
}
