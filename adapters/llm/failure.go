package llm

import (
	"time"

	"github.com/redrive/redrive/core"
)

// Failure codes of files. They are stable: clients match on them. A file whose
// stored content cannot be read has core.FailureUnreadable, which is transient.
//
// Permanent: the file becomes error and is never continued, because the same
// file would fail again.
const (
	FailureEmpty    = "file_empty"        // no text, or white space only
	FailureTooLarge = "file_too_large"    // more than Config.MaxFileBytes, or than the model can take
	FailureNotText  = "file_undecodable"  // not UTF-8, or with NUL: a binary file, or another encoding
	FailureRefused  = "content_refused"   // the model declined, or a content filter stepped in
	FailureRejected = "provider_rejected" // any other 4xx
)

// Transient: the file becomes failed and may be continued.
const (
	FailureRateLimited = core.FailureRateLimited // 429
	FailureTimeout     = core.FailureTimeout     // no whole answer within Config.Timeout, 408 or 504
	FailureUnavailable = core.FailureUnavailable // 409 or 5xx
	FailureUnreachable = core.FailureUnreachable // no connection, or it broke before an answer
	FailureMalformed   = "malformed_response"    // truncated, not of the protocol, without a choice or without text
	FailureCutOff      = "output_truncated"      // the model stopped at its limit of output tokens
)

// Transient as well, though a Continue alone will not help: the fault is the
// operator's and not the file's, and must not cost a tenant the file for ever.
const (
	FailureUnauthorized  = core.FailureUnauthorized  // 401 or 403: our credential is wrong
	FailureMisconfigured = core.FailureMisconfigured // a redirect, or a model that the provider does not have
	FailureQuota         = core.FailureQuota         // our account with the provider is used up
)

// permanent and transient make results without an index, which the caller sets.
// A message is read by the tenant: it never quotes what came from elsewhere
// unless that went through sanitize or token.
func permanent(code, message string) core.FileResult {
	return core.FileResult{Outcome: core.OutcomePermanent, Failure: core.Failure{Code: code, Message: message}}
}

func transient(code, message string, retryAfter time.Duration) core.FileResult {
	return core.FileResult{
		Outcome: core.OutcomeTransient, Failure: core.Failure{Code: code, Message: message}, RetryAfter: retryAfter,
	}
}
