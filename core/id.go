package core

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// MaxIDLength is the most characters of an ID.
const MaxIDLength = 64

// ValidID reports whether this can be the ID of a tenant, a template or a run at all: 1 to
// 64 ASCII letters, digits, '-', '_' and '.', but neither "." nor "..". So it can stand in
// a path, a message and a log without quoting. It is the only such rule; whatever else is
// asked for is not found.
func ValidID[T ~string](id T) bool { return faultOfID(string(id)) == "" }

// faultOfID says what is wrong with an ID; "" for nothing.
func faultOfID(id string) string {
	if id == "" || len(id) > MaxIDLength {
		return fmt.Sprintf("must have 1 to %d characters", MaxIDLength)
	}
	if id == "." || id == ".." {
		return "may not be '.' or '..', which stand for folders in a path"
	}
	for _, r := range id {
		switch {
		case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9', r == '-', r == '_', r == '.':
		default:
			return "may have letters, digits, '-', '_' and '.' only"
		}
	}
	return ""
}

func checkID(field, id string) []FieldError {
	if fault := faultOfID(id); fault != "" {
		return []FieldError{{field, fault}}
	}
	return nil
}

// ValidText reports whether every store and JSON library can hold s: UTF-8 without NUL.
// Whatever is a valid ID is that too.
func ValidText[T ~string](s T) bool {
	return utf8.ValidString(string(s)) && !strings.ContainsRune(string(s), 0)
}
