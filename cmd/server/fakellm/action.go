package fakellm

import (
	"encoding/json"
	"math"
	"net/http"
	"strconv"
	"time"
)

// Action is one way to answer a request. The zero value answers with Summary.
type Action struct {
	name  string
	serve func(exchange)
}

// String names the action, for messages of tests.
func (a Action) String() string {
	if a.serve == nil {
		return "OK"
	}
	return a.name
}

// exchange is one request while it is being answered.
type exchange struct {
	w    http.ResponseWriter
	r    *http.Request
	in   Request
	done <-chan struct{} // closed when the server closes
}

// OK answers with Summary.
func OK() Action { return Action{} }

// Answer completes with a text of the script's choice.
func Answer(text string) Action {
	return Action{"Answer", func(x exchange) { x.complete(message{Content: &text}, "stop") }}
}

// RateLimit is a 429 that asks for a wait, both in whole seconds, rounded up,
// and in milliseconds; 0 asks for none.
func RateLimit(retryAfter time.Duration) Action {
	return Action{"RateLimit", func(x exchange) {
		if retryAfter > 0 {
			x.w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(retryAfter.Seconds()))))
			x.w.Header().Set("Retry-After-Ms", strconv.FormatInt(retryAfter.Milliseconds(), 10))
		}
		x.fail(http.StatusTooManyRequests, "requests", "rate_limit_exceeded", "rate limit reached, try again later")
	}}
}

// Status is an error answer with this HTTP status and error code; the code may
// be empty.
func Status(status int, code string) Action {
	return Action{"Status " + strconv.Itoa(status), func(x exchange) {
		x.fail(status, "scripted_error", code, "failing on purpose")
	}}
}

// BadRequest is a 400: the request itself is at fault.
func BadRequest() Action {
	return Action{"BadRequest", func(x exchange) {
		x.fail(http.StatusBadRequest, "invalid_request_error", "invalid_value", "the request is not valid")
	}}
}

// Unauthorized is a 401 that, as real ones do, repeats the credential.
func Unauthorized() Action {
	return Action{"Unauthorized", func(x exchange) {
		x.fail(http.StatusUnauthorized, "invalid_request_error", "invalid_api_key",
			"incorrect API key provided: "+x.r.Header.Get("Authorization"))
	}}
}

// Respond gives exactly this answer. The default Content-Type is application/json; a
// Content-Type without values sends none.
func Respond(status int, header http.Header, body string) Action {
	return Action{"Respond " + strconv.Itoa(status), func(x exchange) {
		for name, values := range header {
			x.w.Header()[name] = values
		}
		if _, ok := x.w.Header()["Content-Type"]; !ok {
			x.w.Header().Set("Content-Type", "application/json")
		}
		x.send(status, body)
	}}
}

// Malformed is a 200 whose body is not JSON.
func Malformed() Action {
	return Action{"Malformed", func(x exchange) {
		x.w.Header().Set("Content-Type", "application/json")
		x.send(http.StatusOK, `{"choices": [{"message": {"content": "so far so`)
	}}
}

// Truncated announces a complete answer, sends half of it and drops the connection.
func Truncated() Action {
	return Action{"Truncated", func(x exchange) {
		text := Summary(x.in.File, x.in.Text)
		body := completion(x.in.Model, message{Content: &text}, "stop")
		x.w.Header().Set("Content-Type", "application/json")
		x.w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		x.send(http.StatusOK, string(body[:len(body)/2]))
		if err := http.NewResponseController(x.w).Flush(); err != nil {
			return // the client disconnected, as intended
		}
		drop()
	}}
}

// NoChoices is a well-formed completion without a choice.
func NoChoices() Action {
	return Respond(http.StatusOK, nil, `{"id":"fake","object":"chat.completion","model":"fake","choices":[]}`)
}

// Length is a completion that was cut off at the limit of output tokens.
func Length() Action {
	return Action{"Length", func(x exchange) {
		text := "only the beg"
		x.complete(message{Content: &text}, "length")
	}}
}

// Refuse is a completion in which the model declines with a sentence.
func Refuse(reason string) Action {
	return Action{"Refuse", func(x exchange) { x.complete(message{Refusal: &reason}, "stop") }}
}

// ContentFilter is a completion that the provider's filter withheld.
func ContentFilter() Action {
	return Action{"ContentFilter", func(x exchange) {
		text := ""
		x.complete(message{Content: &text}, "content_filter")
	}}
}

// ContentPolicy is a 400 that refuses the content of the request.
func ContentPolicy() Action { return Status(http.StatusBadRequest, "content_policy_violation") }

// Drop closes the connection without an answer.
func Drop() Action { return Action{"Drop", func(exchange) { drop() }} }

// Hang never answers: it ends when the client gives up or the server closes.
func Hang() Action {
	return Action{"Hang", func(x exchange) {
		select {
		case <-x.r.Context().Done():
		case <-x.done:
		}
		drop()
	}}
}

// Slow waits and then does what the next action says; a client that gives up
// or a server that closes ends it earlier.
func Slow(d time.Duration, then Action) Action {
	return Action{"Slow", func(x exchange) {
		timer := time.NewTimer(d)
		defer timer.Stop()
		x.waitFor(timer.C)
		then.do(x)
	}}
}

// Hold waits until release is closed and then does what the next action says,
// so that a test decides how long requests overlap.
func Hold(release <-chan struct{}, then Action) Action {
	return Action{"Hold", func(x exchange) {
		select {
		case <-release:
		case <-x.r.Context().Done():
			drop()
		case <-x.done:
			drop()
		}
		then.do(x)
	}}
}

func (x exchange) waitFor(c <-chan time.Time) {
	select {
	case <-c:
	case <-x.r.Context().Done():
		drop()
	case <-x.done:
		drop()
	}
}

func (a Action) do(x exchange) {
	if a.serve == nil {
		Answer(Summary(x.in.File, x.in.Text)).serve(x)
		return
	}
	a.serve(x)
}

// drop ends the handler and closes the connection; net/http knows this panic.
func drop() { panic(http.ErrAbortHandler) }

// message is an answer on the wire; a nil field is null.
type message struct {
	Role    string  `json:"role"`
	Content *string `json:"content"`
	Refusal *string `json:"refusal"`
}

type choice struct {
	Index        int     `json:"index"`
	Message      message `json:"message"`
	FinishReason string  `json:"finish_reason"`
}

func completion(model string, m message, finish string) []byte {
	m.Role = "assistant"
	return encode(struct {
		ID      string   `json:"id"`
		Object  string   `json:"object"`
		Created int64    `json:"created"`
		Model   string   `json:"model"`
		Choices []choice `json:"choices"`
	}{"chatcmpl-fake", "chat.completion", 1, model, []choice{{0, m, finish}}})
}

func (x exchange) complete(m message, finish string) {
	x.w.Header().Set("Content-Type", "application/json")
	x.send(http.StatusOK, string(completion(x.in.Model, m, finish)))
}

// fail answers with the error object of the protocol.
func (x exchange) fail(status int, kind, code, text string) {
	type wireError struct {
		Message string  `json:"message"`
		Type    string  `json:"type"`
		Param   *string `json:"param"`
		Code    *string `json:"code"`
	}
	e := wireError{Message: text, Type: kind}
	if code != "" {
		e.Code = &code
	}
	x.w.Header().Set("Content-Type", "application/json")
	x.send(status, string(encode(map[string]wireError{"error": e})))
}

func (x exchange) send(status int, body string) {
	x.w.WriteHeader(status)
	if _, err := x.w.Write([]byte(body)); err != nil {
		drop() // the client has disconnected
	}
}

// encode cannot fail: its values are strings, numbers and structs of this package.
func encode(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic("fakellm: " + err.Error())
	}
	return b
}

func count(n int, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return strconv.Itoa(n) + " " + noun
}
