package blobfiles

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/redrive/redrive/core"
)

const refPrefix = "sha256:"

// sum is the SHA-256 of a content.
type sum [sha256.Size]byte

func (s sum) ref() core.FileRef { return core.FileRef(refPrefix + hex.EncodeToString(s[:])) }

// parseRef reads a reference. It takes only what ref writes: two spellings of
// one reference would be two answers to whether a tenant has it.
func parseRef(ref core.FileRef) (s sum, ok bool) {
	digits, ok := strings.CutPrefix(string(ref), refPrefix)
	if !ok || len(digits) != hex.EncodedLen(len(s)) {
		return sum{}, false
	}
	if _, err := hex.Decode(s[:], []byte(digits)); err != nil {
		return sum{}, false
	}
	return s, s.ref() == ref
}

// keyOf says where a content of a tenant lies in the bucket.
func keyOf(tenant core.TenantID, s sum) (string, error) {
	// Only the length matters for a key; hex takes care of the characters.
	if tenant == "" || len(tenant) > core.MaxIDLength {
		return "", fmt.Errorf("blobfiles: a tenant's ID has 1 to %d characters, not %d", core.MaxIDLength, len(tenant))
	}
	digits := hex.EncodeToString(s[:])
	return hex.EncodeToString([]byte(tenant)) + "/" + digits[:2] + "/" + digits, nil
}
