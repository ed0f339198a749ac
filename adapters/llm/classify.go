package llm

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/openai/openai-go/v3"

	"github.com/redrive/redrive/core"
)

// reply is what became of one request.
type reply struct {
	response   *http.Response         // nil if there was none
	completion *openai.ChatCompletion // may be nil without an error: a body of "null"
	err        error
	timedOut   bool // the request's own time was up
}

func (r reply) status() int {
	if r.response == nil {
		return 0
	}
	return r.response.StatusCode
}

func (r reply) apiError() openai.Error {
	var e *openai.Error
	if errors.As(r.err, &e) {
		return *e
	}
	return openai.Error{}
}

func (r reply) errorCode() string { return r.apiError().Code }
func (r reply) errorType() string { return r.apiError().Type }

// says reports whether the provider's error has one of these codes or types.
func (r reply) says(codes ...string) bool {
	e := r.apiError()
	for _, c := range codes {
		if e.Code == c || e.Type == c {
			return true
		}
	}
	return false
}

// classify decides what an answer means for the file. This is the whole rule:
//
//	no answer in time, 408, 504          transient  timeout
//	no connection, or it broke           transient  provider_unreachable
//	429                                  transient  rate_limited
//	409, 5xx                             transient  provider_unavailable
//	401, 403, invalid_api_key            transient  provider_unauthorized
//	3xx, model_not_found                 transient  provider_misconfigured
//	insufficient_quota                   transient  provider_quota_exhausted
//	4xx that refuses the content         permanent  content_refused
//	413, context_length_exceeded         permanent  file_too_large
//	other 4xx                            permanent  provider_rejected
//	200 that is no completion with text  transient  malformed_response
//	finish_reason length                 transient  output_truncated
//	refusal, finish_reason content_filter  permanent  content_refused
//	else                                 completed
//
// An error code of the provider goes before the HTTP status, as it says more.
//
// finish_reason length is transient: a beginning is not the output that was paid
// for, so the file is not completed; and nothing is wrong with the file, so it
// must stay possible to continue it, with a shorter task in the template or a
// larger limit of the provider.
//
// wait gives what a provider asks for in the headers of a transient failure.
func classify(r reply, wait func(http.Header) time.Duration) core.FileResult {
	status := r.status()
	again := func(code, message string) core.FileResult {
		var d time.Duration
		if r.response != nil {
			d = wait(r.response.Header)
		}
		return transient(code, message, d)
	}
	clientError := status >= 400 && status < 500
	switch {
	case status < 400 && r.timedOut, status == http.StatusRequestTimeout, status == http.StatusGatewayTimeout:
		return again(FailureTimeout, "the provider did not answer in time")
	case status == 0:
		return again(FailureUnreachable, "the provider could not be reached")
	case status >= 500:
		return again(FailureUnavailable, fmt.Sprintf("the provider is not available (HTTP %d)", status))
	case clientError && r.says("content_policy_violation", "content_filter"):
		return permanent(FailureRefused, "the provider refused the content of this file")
	case clientError && r.says("insufficient_quota"):
		return again(FailureQuota, "the service's account with the provider is used up; tell its operator")
	case status == http.StatusTooManyRequests:
		return again(FailureRateLimited, "the provider is receiving too many requests")
	case status == http.StatusConflict:
		return again(FailureUnavailable, "the provider is busy with a conflicting request")
	case status == http.StatusUnauthorized, status == http.StatusForbidden, clientError && r.says("invalid_api_key"):
		return again(FailureUnauthorized, "the provider does not accept the service's credential; tell its operator")
	case status >= 300 && status < 400, clientError && r.says("model_not_found"):
		return again(FailureMisconfigured, "the service is not set up for this provider; tell its operator")
	case status == http.StatusRequestEntityTooLarge, clientError && r.says("context_length_exceeded", "string_above_max_length"):
		return permanent(FailureTooLarge, "the file is longer than the model can take")
	case clientError:
		return permanent(FailureRejected, rejected(r))
	case r.err != nil:
		return again(FailureMalformed, "the provider's answer was cut short or not understood")
	default:
		return classifyCompletion(r.completion, again)
	}
}

// classifyCompletion looks into an answer that arrived whole.
func classifyCompletion(c *openai.ChatCompletion, again func(code, message string) core.FileResult) core.FileResult {
	if c == nil || len(c.Choices) == 0 {
		return again(FailureMalformed, "the provider's answer had nothing in it")
	}
	choice := c.Choices[0]
	text := choice.Message.Content
	switch {
	case choice.Message.Refusal != "":
		return permanent(FailureRefused, "the model declined to work on this file: "+sanitize(choice.Message.Refusal))
	case choice.FinishReason == "content_filter":
		return permanent(FailureRefused, "the provider's content filter stopped the work on this file")
	case choice.FinishReason == "length":
		return again(FailureCutOff, "the model's output was longer than it may be and was cut off")
	case strings.TrimSpace(text) == "":
		return again(FailureMalformed, "the provider's answer had no text")
	// The library accepts whatever stands where the text should; and no store
	// can keep text that is not UTF-8 or has NUL in it.
	case !strings.HasPrefix(choice.Message.JSON.Content.Raw(), `"`), !utf8.ValidString(text), strings.ContainsRune(text, 0):
		return again(FailureMalformed, "the provider's answer was not text")
	default:
		return core.FileResult{Outcome: core.OutcomeCompleted, Output: text}
	}
}

// rejected is the message of provider_rejected. Of what the provider said it has
// the code and the type alone: its free text may quote anything, a credential
// included.
func rejected(r reply) string {
	reason := fmt.Sprintf("HTTP %d", r.status())
	for _, t := range []string{token(r.errorCode()), token(r.errorType())} {
		if t != "" {
			reason += ", " + t
		}
	}
	return "the provider rejected the request for this file (" + reason + ")"
}

// token gives a code or type of a provider if it looks like one, else nothing.
// Upper case and hyphens are not let through: keys have them.
func token(s string) string {
	if len(s) > 64 || strings.ContainsFunc(s, func(r rune) bool {
		return r != '_' && (r < 'a' || r > 'z') && (r < '0' || r > '9')
	}) {
		return ""
	}
	return s
}

// maxReason is in characters.
const maxReason = 200

// sanitize makes a model's own words fit for a message: one line, no control
// characters, no more than a sentence or two.
func sanitize(s string) string {
	runes := []rune(oneLine(s))
	if len(runes) > maxReason {
		return string(runes[:maxReason]) + "…"
	}
	return string(runes)
}
