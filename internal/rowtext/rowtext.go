// Package rowtext is how SQL stores keep what has no columns of its own, as text and JSON.
package rowtext

import (
	"encoding/json"
	"strings"
	"unicode/utf8"

	"github.com/redrive/redrive/core"
)

// Clean makes anything storable: databases keep no NUL and no broken character in text.
func Clean(s string) string {
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "\uFFFD")
	}
	return strings.ReplaceAll(s, "\x00", "\uFFFD")
}

// Facts is what an audit event says, as a JSON object.
func Facts(facts map[string]string) (string, error) {
	clean := make(map[string]string, len(facts)) // no null
	for name, fact := range facts {
		clean[Clean(name)] = Clean(fact)
	}
	data, err := json.Marshal(clean)
	return string(data), err
}

// ParseFacts reads what Facts gave; nil if there are none.
func ParseFacts(data []byte) (facts map[string]string, err error) {
	if err = json.Unmarshal(data, &facts); len(facts) == 0 {
		facts = nil
	}
	return facts, err
}

// Tries is the log of a webhook's delivery, as a JSON array.
func Tries(log []core.DeliveryTry) (string, error) {
	clean := append([]core.DeliveryTry{}, log...) // no null, and not the caller's
	for i := range clean {
		clean[i].Error, clean[i].Answer = Clean(clean[i].Error), Clean(clean[i].Answer)
	}
	data, err := json.Marshal(clean)
	return string(data), err
}

// ParseTries reads what Tries gave; nil if there are none.
func ParseTries(data []byte) (log []core.DeliveryTry, err error) {
	if err = json.Unmarshal(data, &log); len(log) == 0 {
		log = nil
	}
	return log, err
}
