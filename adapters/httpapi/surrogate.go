package httpapi

import (
	"strconv"
	"unicode/utf16"
)

// loneSurrogate finds half of a surrogate pair among the escapes of a valid JSON
// string, such as \ud83d without the \ude00 that would make it a character.
// encoding/json puts U+FFFD in its place, which was not sent.
func loneSurrogate(raw []byte) (escape string, found bool) {
	for i := 0; i < len(raw); i++ {
		if raw[i] != '\\' {
			continue
		}
		r, ok := escaped(raw[i:])
		if !ok {
			i++ // an escape of one letter; it may be that of a backslash
			continue
		}
		if !utf16.IsSurrogate(r) {
			i += escapeLength - 1
			continue
		}
		if i+escapeLength <= len(raw) {
			if low, ok := escaped(raw[i+escapeLength:]); ok && utf16.DecodeRune(r, low) != '\uFFFD' {
				i += 2*escapeLength - 1
				continue
			}
		}
		return string(raw[i : i+escapeLength]), true
	}
	return "", false
}

const escapeLength = len(`\u0000`)

// escaped reads the escape of four digits that text begins with.
func escaped(text []byte) (rune, bool) {
	if len(text) < escapeLength || text[0] != '\\' || text[1] != 'u' {
		return 0, false
	}
	n, err := strconv.ParseUint(string(text[2:escapeLength]), 16, 16)
	return rune(n), err == nil
}
