package llm

import (
	"time"

	"github.com/redrive/redrive/core"
)

// Failure codes of files. They are stable: clients match on them. Which answer of a
// provider means which stands in doc.go.

// The content's fault: the file becomes error and is never continued, because the
// same file would fail again.
const (
	FailureEmpty    = "file_empty"       // no text: white space or invisible characters only
	FailureTooLarge = "file_too_large"   // more than Config.MaxFileBytes, or than the model can take
	FailureNotText  = "file_undecodable" // a binary file, or text in an unknown encoding
	FailureRefused  = "content_refused"  // the model declined, or a content filter stepped in
)

// The provider's fault, transient: the file becomes failed and may be continued.
const (
	FailureRateLimited = core.FailureRateLimited // it receives too many requests
	FailureTimeout     = core.FailureTimeout     // no complete answer within Config.Timeout, or it says that it was too slow
	FailureUnavailable = core.FailureUnavailable // it says that it cannot answer now, or gave up halfway
	FailureUnreachable = core.FailureUnreachable // no connection, or it broke before an answer
	FailureMalformed   = "malformed_response"    // not of the protocol, without text, or not known to be complete
	FailureCutOff      = "output_truncated"      // the model stopped at its limit of output tokens
	FailureRejected    = "provider_rejected"     // refused without a reason that is known: perhaps this file, perhaps every one
)

// Ours, the operator's: the file stays pending, and to continue it is free. Stored
// content that cannot be read is ours too, see core.FailureUnreadable.
const (
	FailureUnauthorized  = core.FailureUnauthorized   // the provider refuses our credential
	FailureMisconfigured = core.FailureMisconfigured  // there is no such model, or no such API, at our address
	FailureQuota         = core.FailureQuota          // our account with the provider is out of money
	FailureShape         = core.FailureRequestRefused // the model accepts no request of this shape, for any file
)

// free ends the message of every fault of ours.
const free = "; its operator has to fix this, and to continue is free"

// messages are for tenants: what happened and what it means for them, without details
// of the operator's setup.
var messages = map[string]string{
	FailureRefused:     "the provider refused the content of this file",
	FailureTooLarge:    "the file is longer than the model can take; split it and upload the parts",
	FailureRateLimited: "the provider is receiving too many requests",
	FailureTimeout:     "the provider did not answer in time",
	FailureUnavailable: "the provider could not answer",
	FailureUnreachable: "the provider could not be reached",
	FailureMalformed:   "the provider's answer was cut short or not understood",
	FailureCutOff:      "the model's output was longer than it may be and was cut off",

	FailureUnauthorized:  "the service's credential was refused by the provider" + free,
	FailureQuota:         "the service's account with the provider is used up" + free,
	FailureMisconfigured: "the service's address or model for this work is wrong" + free,
	FailureShape:         "the service's model does not accept requests of this kind, for any file" + free,

	core.FailureUnreadable: "the service could not read the file that it stored" + free,
}

// advice is for the operator, in the log.
var advice = map[string]string{
	FailureUnauthorized:    "the provider refuses the credential: check LLM_API_KEY and its permissions",
	FailureQuota:           "the account with the provider is out of money: top it up or raise its limit",
	FailureMisconfigured:   "no such model or API at this address: check LLM_BASE_URL (with its /v1), LLM_MODEL and any proxy between",
	FailureShape:           "the model accepts no request of this shape: check LLM_MODEL, the gateway's settings and the template",
	core.FailureUnreadable: "a stored content could not be read: check the storage of uploaded files",
}

// permanent, transient and ours make results without an index, which the caller sets.
// The tenant reads the message, so it quotes the provider only through sanitize or token.
func permanent(code, message string) core.FileResult {
	return core.FileResult{Outcome: core.OutcomePermanent, Failure: core.Failure{Code: code, Message: message}}
}

func transient(code, message string, retryAfter time.Duration) core.FileResult {
	return core.FileResult{
		Outcome: core.OutcomeTransient, Failure: core.Failure{Code: code, Message: message}, RetryAfter: retryAfter,
	}
}

func ours(code string) core.FileResult {
	return core.FileResult{Outcome: core.OutcomeInterrupted, Failure: core.Failure{Code: code, Message: messages[code]}}
}
