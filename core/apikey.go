package core

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Bounds of API keys.
const (
	// MaxAPIKeys is how many keys of a tenant may be in use, neither revoked nor expired.
	MaxAPIKeys = 50
	// MaxKeptAPIKeys bounds those of a tenant that are kept in all.
	MaxKeptAPIKeys = 500
	// KeepAPIKeys is how long a key is still listed after it ended.
	KeepAPIKeys = 90 * 24 * time.Hour
	// MaxAPIKeyNameLength is in characters.
	MaxAPIKeyNameLength = 100
	// MaxAPIKeyLife is how far ahead an expiry may be.
	MaxAPIKeyLife = 10 * 365 * 24 * time.Hour
	// APIKeyUseEvery is how often the use of a key is noted: it is a write.
	APIKeyUseEvery = time.Minute
)

// The form of a key's token: rdk_TENANT_ID_SECRET+CHECK, the last two without anything
// between them. The tenant is in it because that is where the key is looked up; the check
// tells a mistyped or invented token from a real one without a look-up, and a secret
// scanner from other words.
const (
	APIKeyPrefix       = "rdk_"
	APIKeyIDLength     = 12
	APIKeySecretLength = 32
	apiKeyCheckLength  = 6
	// MaxAPIKeyTokenLength is in bytes.
	MaxAPIKeyTokenLength = len(APIKeyPrefix) + MaxIDLength + 1 + APIKeyIDLength + 1 + APIKeySecretLength + apiKeyCheckLength

	// Base62 is what the ID, the secret and the check of a token are made of.
	Base62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
)

// APIKeyID names a key within its tenant. It is no secret.
type APIKeyID string

// APIKey lets programs act for a tenant with a role. Of its token only the hash is kept.
type APIKey struct {
	ID        APIKeyID
	Tenant    TenantID
	Name      string
	Role      Role
	Hash      string // APIKeyHash of the token
	CreatedBy Actor
	CreatedAt time.Time
	ExpiresAt time.Time // zero: never
	RevokedAt time.Time // zero: not revoked
	// LastUsedAt is the last use that was noted, at most APIKeyUseEvery before the last
	// one; zero: never used.
	LastUsedAt time.Time
}

// APIKeyToken puts a token together. The ID and the secret are random letters of Base62, of
// their lengths.
func APIKeyToken(tenant TenantID, id APIKeyID, secret string) string {
	token := APIKeyPrefix + string(tenant) + "_" + string(id) + "_" + secret
	return token + apiKeyCheck(token)
}

// apiKeyCheck is the CRC-32 of what is before it.
func apiKeyCheck(before string) string {
	sum := crc32.ChecksumIEEE([]byte(before))
	var digits [apiKeyCheckLength]byte
	for i := len(digits) - 1; i >= 0; i-- {
		digits[i] = Base62[sum%62]
		sum /= 62
	}
	return string(digits[:])
}

// ParseAPIKey gives the tenant and the ID that a token names; ok is false for what cannot
// be a token. It does not say that there is such a key.
func ParseAPIKey(token string) (tenant TenantID, id APIKeyID, ok bool) {
	rest, prefixed := strings.CutPrefix(token, APIKeyPrefix)
	// From the end: a tenant's ID may have any of these characters too.
	const tail = 1 + APIKeyIDLength + 1 + APIKeySecretLength + apiKeyCheckLength
	if !prefixed || len(token) > MaxAPIKeyTokenLength || len(rest) <= tail {
		return "", "", false
	}
	tenant, rest = TenantID(rest[:len(rest)-tail]), rest[len(rest)-tail:]
	id = APIKeyID(rest[1 : 1+APIKeyIDLength])
	secret := rest[1+APIKeyIDLength+1:]
	before := token[:len(token)-apiKeyCheckLength]
	if rest[0] != '_' || rest[1+APIKeyIDLength] != '_' || !ValidID(tenant) || !isBase62(string(id)) || !isBase62(secret) ||
		apiKeyCheck(before) != token[len(before):] {
		return "", "", false
	}
	return tenant, id, true
}

func isBase62(s string) bool { return strings.Trim(s, Base62) == "" }

// APIKeyHash is what is kept of a token. The token has 190 random bits, so that neither a
// salt nor a slow hash would make it any harder to guess.
func APIKeyHash(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

// Visible is the beginning of the key's token, by which people recognize it.
func (k APIKey) Visible() string { return APIKeyPrefix + string(k.Tenant) + "_" + string(k.ID) }

// apiKeySubject begins the subject of an actor that is a key.
const apiKeySubject = "key:"

// Actor is who acts with the key.
func (k APIKey) Actor() Actor {
	return Actor{Subject: apiKeySubject + string(k.ID), Tenant: k.Tenant, Role: k.Role}
}

// IsAPIKey reports whether the actor is a key, and no person or service with credentials
// of its own.
func (a Actor) IsAPIKey() bool { return strings.HasPrefix(a.Subject, apiKeySubject) }

// Owns reports whether the token is that of the key, in a time that does not depend on how
// much of it is right.
func (k APIKey) Owns(token string) bool {
	return subtle.ConstantTimeCompare([]byte(k.Hash), []byte(APIKeyHash(token))) == 1
}

// Live reports whether the key can be used.
func (k APIKey) Live(now time.Time) bool {
	return k.RevokedAt.IsZero() && (k.ExpiresAt.IsZero() || now.Before(k.ExpiresAt))
}

// APIKeyStatus is what has become of a key.
type APIKeyStatus string

const (
	APIKeyActive  APIKeyStatus = "active"
	APIKeyExpired APIKeyStatus = "expired"
	APIKeyRevoked APIKeyStatus = "revoked" // whether it has expired as well or not
)

// Status gives what has become of the key.
func (k APIKey) Status(now time.Time) APIKeyStatus {
	switch {
	case k.Live(now):
		return APIKeyActive
	case k.RevokedAt.IsZero():
		return APIKeyExpired
	default:
		return APIKeyRevoked
	}
}

// UseDue reports whether a use is to be noted now.
func (k APIKey) UseDue(now time.Time) bool { return now.Sub(k.LastUsedAt) >= APIKeyUseEvery }

// APIKeyRequest is what a new key is to be.
type APIKeyRequest struct {
	Tenant    TenantID
	Name      string
	Role      Role
	ExpiresAt time.Time // zero: never
	By        Actor
}

// NewAPIKey decides about a new key beside those that the tenant has, revoked and expired
// ones included. CodeWrongTenant, CodeRoleNotAllowed, CodeInvalidRequest,
// CodeTooManyAPIKeys.
func NewAPIKey(q APIKeyRequest, have []APIKey, now time.Time) (APIKey, error) {
	if err := q.Check(now); err != nil {
		return APIKey{}, err
	}
	live := 0
	for _, k := range have {
		if k.Live(now) {
			live++
		}
	}
	if live >= MaxAPIKeys {
		return APIKey{}, &Error{Code: CodeTooManyAPIKeys, Message: fmt.Sprintf("the tenant has %d API keys, and may have no more; revoke those that are not used", live)}
	}
	if len(have) >= MaxKeptAPIKeys {
		return APIKey{}, &Error{Code: CodeTooManyAPIKeys, Message: fmt.Sprintf("%d API keys were made within %d days; wait until old ones are removed", len(have), int(KeepAPIKeys.Hours()/24))}
	}
	return APIKey{Tenant: q.Tenant, Name: q.Name, Role: q.Role, CreatedBy: q.By, CreatedAt: now, ExpiresAt: q.ExpiresAt}, nil
}

// Check is NewAPIKey as far as it does not depend on the keys that there are.
func (q APIKeyRequest) Check(now time.Time) error {
	if err := AuthorizeAPIKey(q.By, q.Tenant, q.Role); err != nil {
		return err
	}
	wrong := checkAPIKeyName(q.Name)
	if !q.ExpiresAt.IsZero() && (!q.ExpiresAt.After(now) || q.ExpiresAt.After(now.Add(MaxAPIKeyLife))) {
		wrong = append(wrong, FieldError{"expiresAt", "must be ahead, by 10 years at most; leave it out for a key that does not expire"})
	}
	if !q.Role.Valid() {
		wrong = append(wrong, FieldError{"role", "must be bubble_admin, customer_admin or customer_user"})
	}
	return Invalid(wrong...)
}

// AuthorizeAPIKey decides whether the actor may make, rename or revoke a key of this role:
// nobody has to do with more than its own. A key makes no keys and revokes none, so that
// who has found one keeps nothing when it is revoked.
func AuthorizeAPIKey(by Actor, tenant TenantID, role Role) error {
	if err := Authorize(by, ActionManageAPIKeys, tenant); err != nil {
		return err
	}
	if by.IsAPIKey() {
		return &Error{Code: CodeRoleNotAllowed, Message: "API keys are managed by people, not with an API key; sign in, or use a token"}
	}
	if role == RolePlatformAdmin && by.Role != RolePlatformAdmin {
		return &Error{Code: CodeRoleNotAllowed, Message: "a key of role bubble_admin is for a bubble_admin to manage"}
	}
	return nil
}

// Rename gives the key with another name. CodeInvalidRequest.
func (k APIKey) Rename(name string) (APIKey, error) {
	k.Name = name
	return k, Invalid(checkAPIKeyName(name)...)
}

// Revoke gives the key as it is once it is revoked; the first time counts.
func (k APIKey) Revoke(now time.Time) APIKey {
	if k.RevokedAt.IsZero() {
		k.RevokedAt = now
	}
	return k
}

func checkAPIKeyName(name string) []FieldError {
	if strings.TrimSpace(name) == "" || utf8.RuneCountInString(name) > MaxAPIKeyNameLength {
		return []FieldError{{"name", fmt.Sprintf("must have 1 to %d characters", MaxAPIKeyNameLength)}}
	}
	return checkText("name", name)
}

// SortAPIKeys puts the newest first.
func SortAPIKeys(keys []APIKey) {
	slices.SortFunc(keys, func(a, b APIKey) int {
		if c := b.CreatedAt.Compare(a.CreatedAt); c != 0 {
			return c
		}
		return strings.Compare(string(a.ID), string(b.ID))
	})
}
