// Package llm is an executor (ports.Executor) that has a language model work on
// files, through any endpoint that speaks the OpenAI chat-completions protocol.
//
// One request per file: the template's instructions are the system message, the
// file's text is the user message, the first choice of the answer is the file's
// output. A job with several files (batch mode) makes its requests with bounded
// concurrency and answers for each file by itself.
//
// The client library's own retries are off. What failed transiently is told to
// core/app, which retries inside the job with its own backoff, its own limit and
// regard for what the provider asked for; two layers of retries would multiply.
//
// See failure.go for the codes that files fail with and classify.go for which
// answer of a provider means which.
package llm
