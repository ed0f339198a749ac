package core

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Limits of the texts that callers send. They bound rows and logs, and are the same for
// every store.
const (
	MaxNameLength         = 255
	MaxInstructionsLength = 100_000
	MaxKeyLength          = 255
)

func checkName(field, name string) []FieldError {
	if strings.TrimSpace(name) == "" || utf8.RuneCountInString(name) > MaxNameLength {
		return []FieldError{{field, fmt.Sprintf("must have 1 to %d characters", MaxNameLength)}}
	}
	return checkText(field, name)
}

// checkText refuses characters that not every text column and JSON library can hold.
func checkText(field, text string) []FieldError {
	if !ValidText(text) {
		return []FieldError{{field, "must be UTF-8 text without NUL"}}
	}
	return nil
}

// CheckKey says whether a caller's idempotency key can be used as one:
// 1 to 255 printable ASCII characters.
func CheckKey(field string, key Key) error { return checkKey(field, key, MaxKeyLength) }

func checkKey(field string, key Key, most int) error {
	if key == "" || len(key) > most {
		return InvalidField(field, "must have 1 to %d characters", most)
	}
	for _, r := range key {
		if r <= ' ' || r > '~' {
			return InvalidField(field, "may have printable ASCII characters without spaces only")
		}
	}
	return nil
}
