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

	// clockLeeway is how far the issuer's clock and this server's may differ.
	clockLeeway      = 5 * time.Second
	maxTokenBytes    = 4096
	maxSubjectLength = 255
)

// Auth makes and reads bearer tokens: JSON Web Tokens signed with HS256, with
// the claims sub, tenant, role and exp. A token of a bubble_admin may do without
// a tenant. It is an Authenticator, safe for use by many goroutines.
type Auth struct {
	secret   []byte
	audience string
	parser   *jwt.Parser
}

// AuthOption is an option of NewAuth.
type AuthOption func(*Auth)

// WithAudience names this service: tokens then have to be made for it, which their
// aud claim says. Without it, a token that is made for any audience is refused.
func WithAudience(audience string) AuthOption { return func(a *Auth) { a.audience = audience } }

// NewAuth takes the secret that tokens are signed with: at least MinSecretBytes,
// which are not all the same and not all blank. See WeakSecret for the rest.
func NewAuth(secret []byte, options ...AuthOption) (*Auth, error) {
	if err := checkSecret(secret); err != nil {
		return nil, err
	}
	a := &Auth{
		secret: append([]byte(nil), secret...),
		parser: jwt.NewParser(
			jwt.WithStrictDecoding(), // one token has one spelling
			// The algorithm in the token's header is not trusted: with "none", or
			// a public key used as a secret, anyone could forge a token.
			jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}),
			jwt.WithExpirationRequired(),
			jwt.WithLeeway(clockLeeway),
		),
	}
	for _, o := range options {
		o(a)
	}
	return a, nil
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
	said := jwt.MapClaims{"sub": actor.Subject, "role": string(actor.Role), "iat": now.Unix(), "exp": now.Add(ttl).Unix()}
	if actor.Tenant != "" {
		said["tenant"] = string(actor.Tenant)
	}
	if a.audience != "" {
		said["aud"] = a.audience
	}
	return jwt.NewWithClaims(jwt.SigningMethodHS256, said).SignedString(a.secret)
}

// Authenticate implements Authenticator. The refusal says no more about the token than
// that it has expired or is too long.
func (a *Auth) Authenticate(r *http.Request) (core.Actor, error) {
	const realm = `Bearer realm="redrive"`
	values := r.Header.Values("Authorization")
	if len(values) == 0 {
		return core.Actor{}, &Unauthenticated{realm, "send a token: Authorization: Bearer …"}
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	if len(values) > 1 || !strings.EqualFold(scheme, "Bearer") {
		return core.Actor{}, &Unauthenticated{realm, "send one token: Authorization: Bearer …"}
	}
	token = strings.TrimSpace(token)
	actor, err := a.read(token)
	switch {
	case errors.Is(err, jwt.ErrTokenExpired):
		return core.Actor{}, &Unauthenticated{realm + `, error="invalid_token", error_description="expired"`, "the token has expired; get a new one"}
	case errors.Is(err, errTokenTooLong):
		return core.Actor{}, &Unauthenticated{
			realm + `, error="invalid_token", error_description="too long"`,
			fmt.Sprintf("the token has %d bytes and may have at most %d; get one with fewer claims", len(token), maxTokenBytes),
		}
	case err != nil:
		return core.Actor{}, &Unauthenticated{realm + `, error="invalid_token"`, "the token is not valid; get a new one"}
	}
	return actor, nil
}

// errTokenTooLong is reported to the client, because its issuer can shorten the token.
var errTokenTooLong = errors.New("the token is too long")

// read checks a token and gives the actor that it was issued for.
func (a *Auth) read(token string) (core.Actor, error) {
	if len(token) > maxTokenBytes {
		return core.Actor{}, errTokenTooLong
	}
	var c claims
	_, err := a.parser.ParseWithClaims(token, &c, func(t *jwt.Token) (any, error) { return a.secret, checkHeader(t.Raw) })
	if err != nil {
		return core.Actor{}, err
	}
	if err := c.madeFor(a.audience); err != nil {
		return core.Actor{}, err
	}
	actor := core.Actor{Subject: c.subject, Tenant: core.TenantID(c.tenant), Role: core.Role(c.role)}
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
	case !core.ValidID(actor.Tenant):
		return fmt.Errorf("role %q needs a tenant", actor.Role)
	}
	return nil
}
