// Package fakellm is a real HTTP server that speaks the chat-completions
// protocol (POST /v1/chat/completions, GET /v1/models) and fails as a script
// tells it to: rate limits with Retry-After, timeouts, 5xx, malformed and
// truncated bodies, refusals, dropped connections. Tests and the demo of
// cmd/server use it in place of a provider, so it imports nothing of testing.
//
// Without a script, or where the script has nothing to say, a request is
// answered with a short summary of the file, the same for the same file always.
//
// A file is known by the convention of adapters/llm: the last user message
// begins with a line "File: <name>", then an empty line, then the text.
package fakellm
