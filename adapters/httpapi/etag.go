package httpapi

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

// writeTagged answers a read with a value and the tag of what it is at the moment. A client
// that has it already, and says so by If-None-Match, gets 304 without a body.
func writeTagged(w http.ResponseWriter, r *request, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode the answer: %w", err)
	}
	body = line(body)
	if notModified(w, r, body) {
		return nil
	}
	write(w, http.StatusOK, "application/json", body)
	return nil
}

// notModified sets the tag of a content, and answers 304 if the client has it.
func notModified[T ~string | ~[]byte](w http.ResponseWriter, r *request, content T) bool {
	sum := sha256.Sum256([]byte(content))
	tag := `"` + hex.EncodeToString(sum[:16]) + `"`
	w.Header().Set("ETag", tag)
	if !matchesETag(r.Header.Values("If-None-Match"), tag) {
		return false
	}
	w.WriteHeader(http.StatusNotModified)
	return true
}

// matchesETag reports whether If-None-Match names the tag.
func matchesETag(header []string, tag string) bool {
	for _, line := range header {
		for word := range strings.SplitSeq(line, ",") {
			if word = strings.TrimPrefix(strings.TrimSpace(word), "W/"); word == tag || word == "*" {
				return true
			}
		}
	}
	return false
}
