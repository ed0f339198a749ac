package httpapi

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"errors"
	"fmt"
	"strings"

	"github.com/golang-jwt/jwt/v5"
)

// Keys are the public keys of an issuer of tokens.
type Keys interface {
	// Key gives the key that a token's header names, for this algorithm; kid may be empty.
	// nil says that the issuer has no such key. An error, which wraps ports.ErrUnavailable,
	// says that it cannot be known now. It is called for forged tokens as well. Safe for use
	// by many goroutines.
	Key(ctx context.Context, kid, alg string) (crypto.PublicKey, error)
}

// publicMethods are the algorithms of tokens that an issuer signs.
var publicMethods = []string{
	"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA",
}

// minRSABits is the least length of an RSA key (RFC 7518, 3.3).
const minRSABits = 2048

// issuerKeys are the keys of one issuer.
type issuerKeys struct {
	issuer string
	keys   Keys
}

// WithKeys accepts tokens that this issuer has signed with one of its keys: RS, PS, ES or
// EdDSA. Their iss claim has to name it exactly. An issuer makes tokens for other services
// too, so that WithAudience is required.
func WithKeys(issuer string, keys Keys) AuthOption {
	return func(a *Auth) { a.keys = &issuerKeys{issuer, keys} }
}

func (k *issuerKeys) check(audience string) error {
	switch {
	case k.keys == nil || k.issuer == "":
		return errors.New("keys need an issuer")
	case audience == "":
		return errors.New("an issuer makes tokens for other services too: name this one, which the aud claim of its tokens must have")
	}
	return nil
}

// keyOf gives what may have signed a token. An algorithm with secrets is only ever checked
// with the secrets, and one with public keys only with the issuer's keys of its kind.
func (a *Auth) keyOf(ctx context.Context, t *jwt.Token, c *claims) (any, error) {
	if err := checkHeader(t.Raw); err != nil {
		return nil, err
	}
	if t.Method.Alg() == jwt.SigningMethodHS256.Alg() {
		if a.issuer != "" && c.issuer != a.issuer {
			return nil, jwt.ErrTokenInvalidIssuer
		}
		return a.secrets, nil
	}
	// Before a key is asked for: a stray token must not make this server ask the issuer.
	if c.issuer != a.keys.issuer {
		return nil, jwt.ErrTokenInvalidIssuer
	}
	if typ, _ := t.Header["typ"].(string); !accessType(typ) {
		return nil, fmt.Errorf("a token of the type %q is no access token", cut(typ, maxLogged))
	}
	if c.bound {
		return nil, errors.New("the token is bound to a key (cnf), and a bearer proves nothing")
	}
	kid, _ := t.Header["kid"].(string)
	if _, there := t.Header["kid"]; there && kid == "" {
		return nil, errors.New("the token names its key by something that is no text")
	}
	key, err := a.keys.keys.Key(ctx, kid, t.Method.Alg())
	switch {
	case err != nil:
		return nil, err
	case key == nil:
		return nil, errors.New("the issuer has no such key")
	}
	return key, checkKey(key, t.Method.Alg())
}

// accessType reports whether a token's typ is one of those that access and ID tokens have,
// and not that of another kind of token that the same keys sign, such as logout+jwt.
func accessType(typ string) bool {
	switch strings.ToLower(strings.TrimPrefix(strings.ToLower(typ), "application/")) {
	case "", "jwt", "at+jwt":
		return true
	}
	return false
}

// checkKey refuses a key that is not one for the algorithm, or is too short for any.
func checkKey(key crypto.PublicKey, alg string) error {
	switch k := key.(type) {
	case *rsa.PublicKey:
		if (strings.HasPrefix(alg, "RS") || strings.HasPrefix(alg, "PS")) && k.N.BitLen() >= minRSABits {
			return nil
		}
	case *ecdsa.PublicKey:
		if map[string]string{"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}[alg] == k.Params().Name {
			return nil
		}
	case ed25519.PublicKey:
		if alg == jwt.SigningMethodEdDSA.Alg() && len(k) == ed25519.PublicKeySize {
			return nil
		}
	}
	return fmt.Errorf("the issuer's key is none for %s", alg)
}
