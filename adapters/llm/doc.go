// Package llm is an executor (ports.Executor) that has a language model work on
// files, through any endpoint that speaks the OpenAI chat-completions protocol. It
// says at the upload which files it takes (ports.Acceptor).
//
// One request per file: the template's instructions are the system message, the
// file's text is the user message, the first choice of the answer is the file's
// output. A job with several files (batch mode) makes its requests with bounded
// concurrency, and reports each file that ended while others are being worked on.
//
// # Whose fault it was
//
// A failure is classified by whose fault it was, since that decides who pays. The
// provider's codes and messages (words.go) come before the HTTP status, because gateways
// put a status of their own around a provider's error.
//
//	the content's: the file ends as error, and is never continued      OutcomePermanent
//	  the input was flagged, a content policy, with any status         content_refused
//	  the model declined; it ended content_filter, safety, refusal, …   content_refused
//	  longer than the context, 413                                      file_too_large
//	  a rate limit that this request alone is over                      file_too_large
//	  no text; more than Config.MaxFileBytes; not text                  file_empty, file_too_large, file_undecodable
//
//	the provider's, transient: failed, a Continue is charged           OutcomeTransient
//	  429, a rate limit in words                                        rate_limited
//	  408, 504, 522, 524, no whole answer within Config.Timeout         timeout
//	  409, 423, 424, 425, 498, 499, other 5xx; it ended error, abort, … provider_unavailable
//	  no connection, or it broke before an answer                       provider_unreachable
//	  an answer that is not a completion with text, or ended unknown    malformed_response
//	  it ended length, max_tokens, …                                    output_truncated
//	  longer than Config.MaxResponseBytes                               output_too_large
//	  400, 422 and other 4xx without a reason that is known             provider_rejected
//
//	ours, the operator's: pending, to continue is free                  OutcomeInterrupted
//	  401, 403, 451, a wrong key, a banned account                      provider_unauthorized
//	  402, out of money, credits or budget                              provider_quota_exhausted
//	  404, 405, 407, 421 and the like, a redirect, a proxy's page,      provider_misconfigured
//	  no such model, no such host, a wrong certificate, http to https
//	  a parameter, a role or streaming that the model insists on        request_refused
//	  provider_rejected of 3 files of 2 runs of one template, with      request_refused
//	  none completed in between (refusals.go)
//	  the stored content cannot be read                                 file_unreadable
//
// A file ends as error only if the provider says that its content is at fault. It is
// completed only if the answer is known to be complete: a success with valid JSON to its
// last byte, no error at the top or in the choice, text, and a finish reason that means
// a normal end: stop, eos, end_turn, stop_sequence or none, in any spelling
// (completion.go). An error object inside a success is classified as any other error.
//
// testdata/answers has some two hundred answers of providers and gateways, each with
// where it was documented or reported and what it means here.
//
// # Retries
//
// The executor makes one request per file. It reports transient failures to core/app,
// which retries inside the job with its own backoff and limit, and with the wait that
// the provider asked for. Two layers of retries would multiply.
//
// If several files of a batch in a row meet the same fault of ours, and the other files
// would meet it too, those get the same result without a request (halt.go). Until the
// provider is known to accept a template's requests, one request goes first and the
// others wait for it briefly (pilot.go). So a credential that is refused costs one
// request, and not one for every worker.
package llm
