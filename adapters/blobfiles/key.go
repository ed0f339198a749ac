package blobfiles

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/redrive/redrive/core"
)

const (
	refPrefix = "sha256:"
	// marksPrefix is where the marks of uploads are. No tenant's contents can be
	// there: it is not hex.
	marksPrefix = "uploads/"
	// runsFolder has a tenant's contents by run. The layout of earlier versions has
	// two hex digits in its place.
	runsFolder = "runs"
	// hexName begins the name of an upload whose ID is spelt in hex. Plain names have
	// no dot.
	hexName = "x."
)

// sum is the SHA-256 of a content.
type sum [sha256.Size]byte

func (s sum) hex() string { return hex.EncodeToString(s[:]) }

// place is a parsed reference: where a content is, and its sum.
type place struct {
	upload core.RunID // empty for a reference of an earlier version, which is by sum alone
	number int        // of the content in its upload, from 0
	sum    sum
}

func (p place) ref() core.FileRef {
	byContent := refPrefix + p.sum.hex()
	if p.upload == "" {
		return core.FileRef(byContent)
	}
	return core.FileRef(string(p.upload) + "/" + strconv.Itoa(p.number) + "/" + byContent)
}

// parseRef reads a reference. It accepts only the spelling that ref writes, so that each
// content has exactly one reference.
func parseRef(ref core.FileRef) (p place, ok bool) {
	text := string(ref)
	if !strings.HasPrefix(text, refPrefix) {
		parts := strings.SplitN(text, "/", 3)
		if len(parts) != 3 {
			return place{}, false
		}
		number, err := strconv.Atoi(parts[1])
		if err != nil || number < 0 {
			return place{}, false
		}
		p.upload, p.number, text = core.RunID(parts[0]), number, parts[2]
	}
	digits, ok := strings.CutPrefix(text, refPrefix)
	if !ok || len(digits) != hex.EncodedLen(len(p.sum)) {
		return place{}, false
	}
	if _, err := hex.Decode(p.sum[:], []byte(digits)); err != nil {
		return place{}, false
	}
	return p, p.ref() == ref
}

// key says where in the bucket a content of a tenant is.
func (p place) key(tenant core.TenantID) (string, error) {
	if p.upload == "" {
		folder, err := tenantName(tenant)
		digits := p.sum.hex()
		return folder + "/" + digits[:2] + "/" + digits, err
	}
	folder, err := contentsPrefix(tenant, p.upload)
	return folder + strconv.Itoa(p.number), err
}

// contentsPrefix begins the keys of an upload's contents, and ends in a slash.
func contentsPrefix(tenant core.TenantID, upload core.RunID) (string, error) {
	folder, err := tenantName(tenant)
	if err != nil {
		return "", err
	}
	name, err := uploadName(upload)
	return folder + "/" + runsFolder + "/" + name + "/", err
}

// markKey is where the mark of an upload is.
func markKey(tenant core.TenantID, upload core.RunID) (string, error) {
	folder, err := tenantName(tenant)
	if err != nil {
		return "", err
	}
	name, err := uploadName(upload)
	return marksPrefix + folder + "/" + name, err
}

// parseMarkKey is the inverse of markKey; ok is false if the key is not one of a mark.
func parseMarkKey(key string) (tenant core.TenantID, upload core.RunID, ok bool) {
	folder, name, ok := strings.Cut(strings.TrimPrefix(key, marksPrefix), "/")
	if !ok {
		return "", "", false
	}
	owner, err := hex.DecodeString(folder)
	if err != nil {
		return "", "", false
	}
	if digits, spelt := strings.CutPrefix(name, hexName); spelt {
		id, err := hex.DecodeString(digits)
		if err != nil {
			return "", "", false
		}
		name = string(id)
	}
	tenant, upload = core.TenantID(owner), core.RunID(name)
	again, err := markKey(tenant, upload)
	return tenant, upload, err == nil && again == key
}

func tenantName(tenant core.TenantID) (string, error) {
	// Only the length needs a check: in hex every character is valid.
	if tenant == "" || len(tenant) > core.MaxIDLength {
		return "", fmt.Errorf("blobfiles: a tenant's ID has 1 to %d characters, not %d", core.MaxIDLength, len(tenant))
	}
	return hex.EncodeToString([]byte(tenant)), nil
}

// uploadName is an upload's ID itself, so that an operator finds a run's folder, if it
// is unique on every file system and bucket; else the ID in hex.
func uploadName(upload core.RunID) (string, error) {
	if upload == "" || len(upload) > core.MaxIDLength {
		return "", fmt.Errorf("blobfiles: an upload's ID has 1 to %d characters, not %d", core.MaxIDLength, len(upload))
	}
	for i := range len(upload) {
		if c := upload[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return hexName + hex.EncodeToString([]byte(upload)), nil
		}
	}
	return string(upload), nil
}
