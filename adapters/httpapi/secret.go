package httpapi

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strings"
)

// checkSecret refuses a secret that is too short, blank or one repeated byte.
func checkSecret(secret []byte) error {
	if len(secret) < MinSecretBytes {
		return fmt.Errorf("the secret has %d bytes and needs at least %d", len(secret), MinSecretBytes)
	}
	if len(bytes.TrimSpace(secret)) == 0 {
		return errors.New("the secret is blank; make one with 'openssl rand -hex 32'")
	}
	if bytes.Count(secret, secret[:1]) == len(secret) {
		return errors.New("the secret is one byte repeated; make one with 'openssl rand -hex 32'")
	}
	return nil
}

// weakBits is the least estimated entropy of a secret that is not called weak. A key of
// HS256 should have 256 bits; the estimate for 32 random hexadecimal digits is about 115.
const weakBits = 100

// exampleWords occur in the secrets of published examples.
var exampleWords = []string{
	"changeme", "change-me", "change_me", "example", "password", "passwort", "secret", "default", "qwerty", "letmein",
	"test", "demo", "sample", "placeholder", "redrive", "dummy", "insert", "replace", "todo", "foobar", "0123456789", "1234567890",
}

// WeakSecret says why a secret may be guessed; it is empty if it finds no reason. It is
// an estimate for a warning: a secret that it accepts may still have been published.
func WeakSecret(secret []byte) string {
	lower := strings.ToLower(string(secret))
	for _, word := range exampleWords {
		if strings.Contains(lower, word) {
			return fmt.Sprintf("it has %q in it, as secrets of examples have", word)
		}
	}
	if n := periodOf(secret); n < len(secret) {
		return fmt.Sprintf("it is %d bytes repeated", n)
	}
	if bits := entropyOf(secret); bits < weakBits {
		return fmt.Sprintf("it has about %d bits of entropy, as far as can be estimated", int(bits))
	}
	return ""
}

// periodOf gives the length of the shortest prefix that a text repeats, at least once in
// full; the text's own length if it repeats none.
func periodOf(text []byte) int {
	for n := 1; n <= len(text)/2; n++ {
		if bytes.Equal(text[n:], text[:len(text)-n]) {
			return n
		}
	}
	return len(text)
}

// entropyOf estimates the entropy of a text in bits, from how often each byte occurs.
// A byte that continues a sequence (abcd, 9876, aaaa) counts for nothing. A letter of a
// text that is words counts for two bits at most (Shannon found 0.6 to 1.3 for English).
func entropyOf(text []byte) float64 {
	var counts [256]int
	unpredicted := 0
	for i, b := range text {
		counts[b]++
		if i < 2 || b-text[i-1] != text[i-1]-text[i-2] {
			unpredicted++
		}
	}
	perByte := 0.0
	for _, n := range counts {
		if n > 0 {
			p := float64(n) / float64(len(text))
			perByte -= p * math.Log2(p)
		}
	}
	if words(text) {
		perByte = min(perByte, 2)
	}
	return perByte * float64(unpredicted)
}

// words reports whether a text is letters with at least two gaps between them.
func words(text []byte) bool {
	gaps := 0
	for _, b := range text {
		switch {
		case b == ' ' || b == '-' || b == '_' || b == '.' || b == ',':
			gaps++
		case b|0x20 < 'a' || b|0x20 > 'z':
			return false
		}
	}
	return gaps >= 2
}
