package oidc

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
)

const (
	// keysAge is how long keys are used before the provider is asked for them again, so that
	// one that it has taken back is refused within that time.
	keysAge = 15 * time.Minute
	// keysTrusted is how long keys are used while the provider cannot be asked.
	keysTrusted = 24 * time.Hour
	// maxKeys is far above what a provider has.
	maxKeys = 100
)

// keySet are a provider's public keys that sign tokens.
type keySet []jose.JSONWebKey

// Key implements httpapi.Keys. A key that is known is given at once, also while the provider
// is down. For one that is not known the provider is asked, at most once in ten seconds
// however many tokens name one.
func (p *Provider) Key(ctx context.Context, kid, alg string) (crypto.PublicKey, error) {
	keys, at, _ := p.keys.known()
	if age := p.cfg.Now().Sub(at); !at.IsZero() && age < keysTrusted {
		if key := keys.find(kid, alg); key != nil {
			if age > keysAge {
				p.keys.begin(ctx)
			}
			return key, nil
		}
	}
	p.keys.refresh(ctx)
	keys, at, failed := p.keys.known()
	if at.IsZero() || p.cfg.Now().Sub(at) >= keysTrusted {
		return nil, unavailable("keys", failed)
	}
	if key := keys.find(kid, alg); key != nil {
		return key, nil
	}
	if failed != nil { // it may have begun to sign with a new key: that is not the token's fault
		return nil, unavailable("keys", failed)
	}
	return nil, nil //nolint:nilnil // as the interface says
}

// find gives the key that a token names. One that names none is checked with the only key
// there is for its algorithm; if there are several it is not known which.
func (s keySet) find(kid, alg string) crypto.PublicKey {
	var found crypto.PublicKey
	for _, k := range s {
		if !signs(k, alg) || kid != "" && k.KeyID != kid {
			continue
		}
		if found != nil {
			return nil // ambiguous
		}
		found = k.Key
	}
	return found
}

// signs reports whether a key is one for an algorithm.
func signs(k jose.JSONWebKey, alg string) bool {
	if k.Algorithm != "" {
		return k.Algorithm == alg
	}
	switch key := k.Key.(type) {
	case *rsa.PublicKey:
		return strings.HasPrefix(alg, "RS") || strings.HasPrefix(alg, "PS")
	case *ecdsa.PublicKey:
		return alg == map[string]string{"P-256": "ES256", "P-384": "ES384", "P-521": "ES512"}[key.Params().Name]
	case ed25519.PublicKey:
		return alg == "EdDSA"
	}
	return false
}

// fetchKeys fetches the keys. One that cannot be used is left out, so that it takes no other
// with it: providers publish kinds that not everybody knows.
func (p *Provider) fetchKeys(ctx context.Context) (keySet, error) {
	address := p.cfg.JWKS
	if address == "" {
		d, err := p.described(ctx)
		if err != nil {
			return nil, err
		}
		address = d.jwks
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/jwk-set+json, application/json")
	res, err := p.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, err
	}
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answered %s", address, res.Status)
	}
	return parseKeys(body)
}

func parseKeys(body []byte) (keySet, error) {
	var raw struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(body, &raw); err != nil {
		return nil, fmt.Errorf("no set of keys: %w", err)
	}
	if len(raw.Keys) > maxKeys {
		return nil, fmt.Errorf("a set of %d keys, more than the %d that are read", len(raw.Keys), maxKeys)
	}
	keys := keySet{}
	for _, one := range raw.Keys {
		var k jose.JSONWebKey
		// What is secret is no key of a public set: a signature by it proves nothing.
		if k.UnmarshalJSON(one) != nil || !k.Valid() || !k.IsPublic() || k.Use != "" && k.Use != "sig" {
			continue
		}
		keys = append(keys, k)
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("none of its %d keys can be used", len(raw.Keys))
	}
	return keys, nil
}
