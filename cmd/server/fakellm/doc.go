// Package fakellm is a real HTTP server with the chat-completions protocol
// (POST /v1/chat/completions, GET /v1/models) that fails by a script: rate limits with
// Retry-After, timeouts, 5xx, malformed and truncated bodies, refusals, dropped
// connections. It is the provider of the program's demo, and of tests.
//
// Without a script, or for requests that the script does not cover, the answer is a short
// summary of the file, always the same for the same file.
//
// The server finds the file by the convention of adapters/llm: the last user message
// begins with a line "File: <name>", then an empty line, then the text.
package fakellm
