package httpapi

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/redrive/redrive/core"
)

const (
	// MinSecretBytes is the least length of the secret: that of the hash.
	MinSecretBytes = 32

	// clockLeeway is how far the clocks of who made a token and who reads it may differ.
	clockLeeway      = 5 * time.Second
	maxTokenBytes    = 4096
	maxSubjectLength = 255
)

// Auth makes and reads bearer tokens: JSON Web Tokens signed with HS256, with
// the claims sub, tenant, role and exp. A token of a bubble_admin may do without
// a tenant. It is safe for use by many goroutines.
type Auth struct {
	secret []byte
	parser *jwt.Parser
}

// claims is what a token says.
type claims struct {
	jwt.RegisteredClaims
	Tenant string `json:"tenant,omitempty"`
	Role   string `json:"role"`
}

// NewAuth takes the secret that tokens are signed with, at least MinSecretBytes.
func NewAuth(secret []byte) (*Auth, error) {
	if len(secret) < MinSecretBytes {
		return nil, fmt.Errorf("the secret has %d bytes and needs at least %d", len(secret), MinSecretBytes)
	}
	return &Auth{
		secret: append([]byte(nil), secret...),
		parser: jwt.NewParser(
			// The token's own word for its algorithm is not believed: "none", or
			// a public key used as a secret, would let everybody in.
			jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}),
			jwt.WithExpirationRequired(),
			jwt.WithLeeway(clockLeeway),
		),
	}, nil
}

// Token makes a token for the actor that expires after ttl. It fails if the
// actor would not be let in with it.
func (a *Auth) Token(actor core.Actor, ttl time.Duration) (string, error) {
	if err := checkActor(actor); err != nil {
		return "", err
	}
	if ttl <= 0 {
		return "", fmt.Errorf("a token cannot last %s", ttl)
	}
	now := time.Now()
	return jwt.NewWithClaims(jwt.SigningMethodHS256, claims{
		RegisteredClaims: jwt.RegisteredClaims{
			Subject:   actor.Subject,
			IssuedAt:  jwt.NewNumericDate(now),
			ExpiresAt: jwt.NewNumericDate(now.Add(ttl)),
		},
		Tenant: string(actor.Tenant),
		Role:   string(actor.Role),
	}).SignedString(a.secret)
}

// actorOf says who asks, or refuses with the challenge for WWW-Authenticate.
// Neither says anything about the token but whether it has expired.
func (a *Auth) actorOf(h http.Header) (actor core.Actor, challenge string, err error) {
	const realm = `Bearer realm="redrive"`
	values := h.Values("Authorization")
	if len(values) == 0 {
		return core.Actor{}, realm, refused(codeUnauthenticated, "send a token: Authorization: Bearer …")
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	if len(values) > 1 || !strings.EqualFold(scheme, "Bearer") {
		return core.Actor{}, realm, refused(codeUnauthenticated, "send one token: Authorization: Bearer …")
	}
	actor, err = a.read(strings.TrimSpace(token))
	switch {
	case errors.Is(err, jwt.ErrTokenExpired):
		return core.Actor{}, realm + `, error="invalid_token", error_description="expired"`,
			refused(codeUnauthenticated, "the token has expired; get a new one")
	case err != nil:
		return core.Actor{}, realm + `, error="invalid_token"`, refused(codeUnauthenticated, "the token is not valid; get a new one")
	}
	return actor, "", nil
}

// read checks a token and gives whom it is for.
func (a *Auth) read(token string) (core.Actor, error) {
	if len(token) > maxTokenBytes {
		return core.Actor{}, jwt.ErrTokenMalformed
	}
	var c claims
	if _, err := a.parser.ParseWithClaims(token, &c, func(*jwt.Token) (any, error) { return a.secret, nil }); err != nil {
		return core.Actor{}, err
	}
	actor := core.Actor{Subject: c.Subject, Tenant: core.TenantID(c.Tenant), Role: core.Role(c.Role)}
	return actor, checkActor(actor)
}

// checkActor says whether a token for the actor makes sense.
func checkActor(actor core.Actor) error {
	switch {
	case !actor.Role.Valid():
		return fmt.Errorf("%q is no role", actor.Role)
	case actor.Subject == "" || len(actor.Subject) > maxSubjectLength || strings.ContainsFunc(actor.Subject, isControl):
		return errors.New("the subject needs 1 to 255 characters without control characters")
	case actor.Tenant == "" && actor.Role == core.RolePlatformAdmin:
		return nil
	case !validID(string(actor.Tenant)):
		return fmt.Errorf("role %q needs a tenant", actor.Role)
	}
	return nil
}
