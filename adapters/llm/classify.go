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
	fault fault // what the provider said, if it said that something is wrong
	// bare says that the request was refused and nothing known was said of why: it
	// may be this file, or every file of this template. The executor's memory of
	// refusals decides which.
	bare bool
}

// classify decides whose fault it was that an answer is none, by the rule that
// stands in doc.go. now and limit are for the wait that a provider asks for.
func classify(a answer, now time.Time, limit time.Duration) verdict {
	switch {
	case a.status == 0:
		return verdict{FileResult: unreached(a)}
	case succeeded(a.status):
		return classifySuccess(a, now, limit)
	default:
		f := readFault(a.body, a.header.Get("Content-Type"))
		v := judge(f, a.status, waitOf(f, a.header, now, limit))
		// What could not be read to its end may have had a reason in it.
		v.bare = v.bare && a.err == nil
		return v
	}
}

// waitOf is what a provider asks for in its headers, or else in its words.
func waitOf(f fault, h http.Header, now time.Time, limit time.Duration) time.Duration {
	if d := retryAfter(h, now, limit); d > 0 {
		return d
	}
	return min(f.wait, limit)
}

// judge decides about an error answer. outer is its HTTP status; a success that has
// an error in it has none.
func judge(f fault, outer int, wait time.Duration) verdict {
	status := f.status
	if status == 0 || telling(outer) > telling(status) {
		status = outer
	}
	cause := f.cause(status)
	switch {
	case (cause == causeLimited || cause == causeTimeout || cause == causeBusy) && settled(status),
		cause == causeBusy && status != 0 && !vague(status): // the status says it more exactly
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
	case causeMoney:
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
		v.FileResult, v.bare = byStatus(f, status, wait)
	}
	return v
}

// settled statuses are not overruled by words of something in passing: whose fault
// it was is certain.
func settled(status int) bool {
	switch status {
	case http.StatusUnauthorized, http.StatusPaymentRequired, http.StatusForbidden, http.StatusNotFound, http.StatusMethodNotAllowed,
		http.StatusProxyAuthRequired, http.StatusRequestEntityTooLarge, http.StatusMisdirectedRequest:
		return true
	}
	return false
}

// byStatus is what an error means whose words say nothing.
func byStatus(f fault, status int, wait time.Duration) (r core.FileResult, bare bool) {
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

// rejected is the message of provider_rejected. Of what the provider said it has
// the code and the type alone: its free text may quote anything, a credential
// included.
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

// token gives a code or type of a provider if it looks like one, else nothing.
// Upper case and hyphens are not let through: keys have them.
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

// sanitize makes words from elsewhere fit for a message: one line, no control
// characters, no more than a sentence or two.
func sanitize(s string) string {
	runes := []rune(oneLine(s))
	if len(runes) > maxReason {
		return string(runes[:maxReason]) + "…"
	}
	return string(runes)
}
