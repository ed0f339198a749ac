package llm

import (
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/redrive/redrive/core"
)

// verdict is what an answer means for the file.
type verdict struct {
	core.FileResult
	fault fault // the provider's error, if there was one
	// unexplained says that the provider refused the request without a reason that is
	// known. It may concern this file, or every file of this template: Executor.refusals
	// decides which.
	unexplained bool
}

// classify decides what an answer means for the file, and whose fault a failure is, by
// the rules of doc.go. now and limit are for the wait that a provider asks for.
func classify(a answer, now time.Time, limit time.Duration) verdict {
	switch {
	case a.status == 0:
		return verdict{FileResult: unreached(a)}
	case succeeded(a.status):
		return classifySuccess(a, now, limit)
	default:
		f := readFault(a.body, a.header.Get("Content-Type"))
		v := judge(f, a.status, waitOf(f, a.header, now, limit))
		// A body that could not be read to its end may have had a reason in it.
		v.unexplained = v.unexplained && a.err == nil
		return v
	}
}

// waitOf is the wait that a provider asks for in its headers, or else in its message.
func waitOf(f fault, h http.Header, now time.Time, limit time.Duration) time.Duration {
	if d := retryAfter(h, now, limit); d > 0 {
		return d
	}
	return min(f.wait, limit)
}

// judge decides about an error answer. outer is its HTTP status; 0 for an error inside
// a success.
func judge(f fault, outer int, wait time.Duration) verdict {
	status := f.status
	if status == 0 || specificity(outer) > specificity(status) {
		status = outer
	}
	cause := f.cause(status)
	switch {
	case (cause == causeLimited || cause == causeTimeout || cause == causeBusy) && certain(status),
		cause == causeBusy && status != 0 && !vague(status): // the status is more exact
		cause = causeUnknown
	}
	v := verdict{fault: f}
	switch cause {
	case causeContent:
		v.FileResult = permanent(FailureRefused, messages[FailureRefused])
	case causeLength:
		v.FileResult = permanent(FailureTooLarge, messages[FailureTooLarge])
	case causeCredential:
		v.FileResult = ours(FailureUnauthorized)
	case causeQuota:
		v.FileResult = ours(FailureQuota)
	case causeSetup:
		v.FileResult = ours(FailureMisconfigured)
	case causeShape:
		v.FileResult = ours(FailureShape)
	case causeLimited:
		v.FileResult = transient(FailureRateLimited, messages[FailureRateLimited], wait)
	case causeTimeout:
		v.FileResult = transient(FailureTimeout, messages[FailureTimeout], wait)
	case causeBusy:
		v.FileResult = unavailable(status, wait)
	case causeUnknown:
		v.FileResult, v.unexplained = byStatus(f, status, wait)
	}
	return v
}

// certain reports whether the status alone shows whose fault it was, so that a message
// about a temporary fault does not overrule it.
func certain(status int) bool {
	switch status {
	case http.StatusUnauthorized, http.StatusPaymentRequired, http.StatusForbidden, http.StatusNotFound, http.StatusMethodNotAllowed,
		http.StatusProxyAuthRequired, http.StatusRequestEntityTooLarge, http.StatusMisdirectedRequest:
		return true
	}
	return false
}

// byStatus decides about an error whose message and codes are not known.
func byStatus(f fault, status int, wait time.Duration) (r core.FileResult, unexplained bool) {
	switch status {
	case http.StatusRequestEntityTooLarge:
		return permanent(FailureTooLarge, messages[FailureTooLarge]), false
	case http.StatusRequestTimeout, http.StatusGatewayTimeout, 522, 524:
		return transient(FailureTimeout, messages[FailureTimeout], wait), false
	case http.StatusTooManyRequests:
		return transient(FailureRateLimited, messages[FailureRateLimited], wait), false
	case http.StatusConflict, http.StatusLocked, http.StatusFailedDependency, http.StatusTooEarly, 498, 499:
		return unavailable(status, wait), false
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusUnavailableForLegalReasons:
		return ours(FailureUnauthorized), false
	case http.StatusPaymentRequired:
		return ours(FailureQuota), false
	case http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusNotAcceptable, http.StatusProxyAuthRequired, http.StatusGone,
		http.StatusLengthRequired, http.StatusRequestURITooLong, http.StatusUnsupportedMediaType, http.StatusMisdirectedRequest,
		http.StatusUpgradeRequired, http.StatusPreconditionRequired, http.StatusRequestHeaderFieldsTooLarge:
		return ours(FailureMisconfigured), false
	}
	switch {
	case status >= 500:
		return unavailable(status, wait), false
	case f.markup, status >= 300 && status < 400:
		return ours(FailureMisconfigured), false
	case status == 0 && !slices.ContainsFunc(f.codes, blamesTheRequest):
		return unavailable(status, wait), false
	default:
		return transient(FailureRejected, rejected(f, status), wait), true
	}
}

func blamesTheRequest(code string) bool {
	switch code {
	case "invalidrequesterror", "badrequesterror", "badrequest", "invalidargument", "validationerror":
		return true
	}
	return false
}

func unavailable(status int, wait time.Duration) core.FileResult {
	message := messages[FailureUnavailable]
	if status != 0 {
		message += fmt.Sprintf(" (HTTP %d)", status)
	}
	return transient(FailureUnavailable, message, wait)
}

// rejected is the message of provider_rejected. It quotes the provider's code and type
// only: the provider's free text may contain anything, even a credential.
func rejected(f fault, status int) string {
	reason := "no reason"
	if status != 0 {
		reason = fmt.Sprintf("HTTP %d", status)
	}
	for _, t := range []string{token(f.code), token(f.kind)} {
		if t != "" {
			reason += ", " + t
		}
	}
	return "the provider rejected the request for this file (" + reason + ")"
}

// token gives a provider's code or type if it looks like one, else nothing. Upper case
// and hyphens are refused because API keys have them.
func token(s string) string {
	for _, r := range s {
		if r != '_' && (r < 'a' || r > 'z') && (r < '0' || r > '9') {
			return ""
		}
	}
	if len(s) > 64 {
		return ""
	}
	return s
}

// maxReason is in characters.
const maxReason = 200

// sanitize makes a provider's text fit for a message: one line, no control characters,
// no more than a sentence or two.
func sanitize(s string) string {
	runes := []rune(oneLine(s))
	if len(runes) > maxReason {
		return string(runes[:maxReason]) + "…"
	}
	return string(runes)
}
