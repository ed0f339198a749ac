package llm

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"unicode"

	"github.com/redrive/redrive/core"
)

// chatRequest is the request for one file. It has only the fields that every endpoint
// of the protocol accepts.
type chatRequest struct {
	Model    string        `json:"model"`
	Messages []chatMessage `json:"messages"`
}

type chatMessage struct {
	Role    string `json:"role"`
	Content string `json:"content"`
}

func newChatRequest(model string, t core.Template, name, text string) chatRequest {
	r := chatRequest{Model: model}
	// Some endpoints refuse an empty system message.
	if strings.TrimSpace(t.Instructions) != "" {
		r.Messages = append(r.Messages, chatMessage{Role: "system", Content: t.Instructions})
	}
	r.Messages = append(r.Messages, chatMessage{Role: "user", Content: userMessage(name, text)})
	return r
}

// userMessage puts the file's name on a line of its own before its text: a name such as
// "2024-03 invoice.txt" is useful to a model.
func userMessage(name, text string) string {
	return "File: " + oneLine(name) + "\n\n" + text
}

// oneLine makes white space and control characters single spaces.
func oneLine(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
	return strings.Join(strings.Fields(s), " ")
}

// idempotencyKey is the same for every try of one dispatch of a file. If an answer is
// lost and the file is tried again, a provider that honours such keys does the work
// once, and is paid once. The number of the try is therefore not part of the key.
//
// The epoch is part of it: a Continue, or a job that recovery sends again, is a new
// dispatch with a new epoch. It must not get an old failure that the provider
// remembers, nor be refused because the template has changed in between.
//
// The key is hashed, because a job ID may be longer than a provider accepts, and to
// keep IDs from the provider.
func idempotencyKey(job core.Job, index int) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %d %d", job.ID, job.Epoch, index))
	return "redrive-" + hex.EncodeToString(sum[:16])
}

// idempotencyHeader is in lower case on purpose. Header names have no case on the wire,
// but net/http itself repeats a request with an "Idempotency-Key" when a kept connection
// breaks. core/app makes the retries, counted and with backoff. Not every provider
// honours the key, so a silent repeat can be paid for twice.
var idempotencyHeader = strings.ToLower("Idempotency-Key")
