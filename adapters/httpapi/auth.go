package httpapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

const (
	// MinSecretBytes is the least length of a secret: that of the hash.
	MinSecretBytes = 32
	// MaxSecrets is the most secrets at once: a forged token costs a hash for each.
	MaxSecrets = 8

	// clockLeeway is how far the issuer's clock and this server's may differ.
	clockLeeway      = 5 * time.Second
	maxTokenBytes    = 8192
	maxSubjectLength = 255
)

// Auth makes and reads bearer tokens: JSON Web Tokens with the claims sub, tenant, role and
// exp, or those that WithClaims names. They are signed with HS256 and a secret, or by an
// issuer whose public keys WithKeys gives. A token of a bubble_admin may do without a
// tenant. It is an Authenticator, safe for use by many goroutines.
type Auth struct {
	secrets  jwt.VerificationKeySet // of []byte; the first one signs
	audience string
	issuer   string // of tokens that a secret signs; empty: any
	keys     *issuerKeys
	claims   Claims
	parser   *jwt.Parser
}

// AuthOption is an option of NewAuth.
type AuthOption func(*Auth)

// WithAudience names this service: tokens then have to be made for it, which their
// aud claim says. Without it, a token that is made for any audience is refused.
func WithAudience(audience string) AuthOption { return func(a *Auth) { a.audience = audience } }

// WithIssuer names who makes the tokens that a secret signs, which their iss claim then has
// to say. Without it the claim does not matter.
func WithIssuer(issuer string) AuthOption { return func(a *Auth) { a.issuer = issuer } }

// WithMoreSecrets accepts tokens that are signed with these secrets as well. To change the
// secret while servers run: give all of them the new one here, then sign with it and keep
// the old one here, then leave the old one out once its last token has expired.
func WithMoreSecrets(secrets ...[]byte) AuthOption {
	return func(a *Auth) {
		for _, s := range secrets {
			a.secrets.Keys = append(a.secrets.Keys, append([]byte(nil), s...))
		}
	}
}

// NewAuth takes the secret that tokens are signed with: at least MinSecretBytes,
// which are not all the same and not all blank. See WeakSecret for the rest. Without a
// secret, which is nil, WithKeys is required, and Token makes none.
func NewAuth(secret []byte, options ...AuthOption) (*Auth, error) {
	a := &Auth{claims: Claims{}.withDefaults()}
	if secret != nil {
		WithMoreSecrets(secret)(a)
	}
	for _, o := range options {
		o(a)
	}
	if err := a.check(); err != nil {
		return nil, err
	}
	// The algorithm in the token's header is not trusted: with "none", or a public key used
	// as a secret, anyone could forge a token. See keyOf for what belongs to which.
	var methods []string
	if len(a.secrets.Keys) > 0 {
		methods = append(methods, jwt.SigningMethodHS256.Alg())
	}
	if a.keys != nil {
		methods = append(methods, publicMethods...)
	}
	a.parser = jwt.NewParser(
		jwt.WithStrictDecoding(), // one token has one spelling
		jwt.WithValidMethods(methods),
		jwt.WithExpirationRequired(),
		jwt.WithLeeway(clockLeeway),
	)
	return a, nil
}

func (a *Auth) check() error {
	if len(a.secrets.Keys) == 0 && a.keys == nil {
		return checkSecret(nil)
	}
	if len(a.secrets.Keys) > MaxSecrets {
		return fmt.Errorf("there are %d secrets and may be %d at most", len(a.secrets.Keys), MaxSecrets)
	}
	for _, s := range a.secrets.Keys {
		if err := checkSecret(s.([]byte)); err != nil {
			return err
		}
	}
	if a.keys != nil {
		if err := a.keys.check(a.audience); err != nil {
			return err
		}
	}
	return a.claims.check()
}

// Token makes a token for the actor that expires after ttl. It fails if the
// actor would not be let in with it, and without a secret.
func (a *Auth) Token(actor core.Actor, ttl time.Duration) (string, error) {
	if err := checkActor(actor); err != nil {
		return "", err
	}
	if ttl <= 0 {
		return "", fmt.Errorf("a token cannot last %s", ttl)
	}
	if len(a.secrets.Keys) == 0 {
		return "", errors.New("there is no secret to sign a token with")
	}
	now := time.Now()
	said := jwt.MapClaims{"iat": now.Unix(), "exp": now.Add(ttl).Unix()}
	if err := a.claims.say(said, actor); err != nil {
		return "", err
	}
	if a.audience != "" {
		said["aud"] = a.audience
	}
	if a.issuer != "" {
		said["iss"] = a.issuer
	}
	return jwt.NewWithClaims(jwt.SigningMethodHS256, said).SignedString(a.secrets.Keys[0])
}

// Authenticate implements Authenticator. The refusal says no more about the token than
// that it has expired or is too long. That an issuer's keys cannot be had is a fault.
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
	actor, _, err := a.read(r.Context(), token)
	switch {
	case errors.Is(err, ports.ErrUnavailable):
		return core.Actor{}, err
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

// read checks a token and gives the actor that it was issued for, and when it expires.
func (a *Auth) read(ctx context.Context, token string) (core.Actor, time.Time, error) {
	if len(token) > maxTokenBytes {
		return core.Actor{}, time.Time{}, errTokenTooLong
	}
	c := claims{names: a.claims}
	_, err := a.parser.ParseWithClaims(token, &c, func(t *jwt.Token) (any, error) { return a.keyOf(ctx, t, &c) })
	if err != nil {
		return core.Actor{}, time.Time{}, err
	}
	if err := c.madeFor(a.audience); err != nil {
		return core.Actor{}, time.Time{}, err
	}
	actor, err := a.claims.actor(&c)
	return actor, c.expires.Time, err
}

// ActorOf gives the actor that the claims of a token name, by the same rules as for a bearer
// token. The caller has checked the token: its signature, issuer, audience and times.
func (a *Auth) ActorOf(payload []byte) (core.Actor, error) {
	c := claims{names: a.claims}
	if err := c.UnmarshalJSON(payload); err != nil {
		return core.Actor{}, err
	}
	return a.claims.actor(&c)
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
