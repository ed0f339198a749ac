package core

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Limits of the texts that callers send. They bound rows and logs, and are the same for
// every store.
const (
	MaxIDLength           = 64
	MaxNameLength         = 255
	MaxInstructionsLength = 100_000
	MaxKeyLength          = 255
)

// checkID accepts what can stand in a URL path and a message without quoting.
func checkID(field, id string) []FieldError {
	if id == "" || len(id) > MaxIDLength {
		return []FieldError{{field, fmt.Sprintf("must have 1 to %d characters", MaxIDLength)}}
	}
	if id == "." || id == ".." {
		return []FieldError{{field, "may not be '.' or '..', which stand for folders in a path"}}
	}
	for _, r := range id {
		switch {
		case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9', r == '-', r == '_', r == '.':
		default:
			return []FieldError{{field, "may have letters, digits, '-', '_' and '.' only"}}
		}
	}
	return nil
}

func checkName(field, name string) []FieldError {
	if strings.TrimSpace(name) == "" || utf8.RuneCountInString(name) > MaxNameLength {
		return []FieldError{{field, fmt.Sprintf("must have 1 to %d characters", MaxNameLength)}}
	}
	return checkText(field, name)
}

// checkText refuses characters that not every text column and JSON library can hold.
func checkText(field, text string) []FieldError {
	if !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
		return []FieldError{{field, "must be UTF-8 text without NUL"}}
	}
	return nil
}

// CheckKey says whether a caller's idempotency key can be used as one:
// 1 to 255 printable ASCII characters.
func CheckKey(field string, key Key) error {
	if key == "" || len(key) > MaxKeyLength {
		return InvalidField(field, "must have 1 to %d characters", MaxKeyLength)
	}
	for _, r := range key {
		if r <= ' ' || r > '~' {
			return InvalidField(field, "may have printable ASCII characters without spaces only")
		}
	}
	return nil
}
