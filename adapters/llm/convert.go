package llm

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"unicode"

	"github.com/redrive/redrive/core"
)

// chatRequest is the request for one file: what every endpoint of the protocol takes,
// and nothing that one of them might refuse.
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

// userMessage puts the file's name on a line of its own before its text: names
// such as "2024-03 invoice.txt" tell a model something.
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

// idempotencyKey is the same for every try of one dispatch of a file, so that a
// provider that honours such keys does the work once, and is paid once, when an
// answer was lost on its way and the file is tried again. The epoch is part of
// it: a Continue, or a job that recovery sends again, is a new dispatch with a
// new epoch, and must neither be given an old failure that the provider
// remembers nor be refused because the template has changed in between. The try
// is no part of it, or every try would count as other work.
//
// It is hashed, because a job ID may be longer than a provider accepts and is
// not a provider's business.
func idempotencyKey(job core.Job, index int) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %d %d", job.ID, job.Epoch, index))
	return "redrive-" + hex.EncodeToString(sum[:16])
}

// idempotencyHeader is spelled in lower case on purpose. On the wire names have
// no case, but net/http takes a request with an "Idempotency-Key" for one that
// it may send again by itself when a kept connection breaks. Retries are
// core/app's, counted and spaced out; and not every provider honours the key, so
// a silent repeat can be paid for twice.
var idempotencyHeader = strings.ToLower("Idempotency-Key")
