package httpapi_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/httpapi"
	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/internal/testkit/idp"
	"github.com/redrive/redrive/ports"
)

const (
	issuer   = "https://idp.example/realms/acme"
	audience = "redrive"
)

// published are an issuer's keys by their names.
type published struct {
	mu    sync.Mutex
	keys  map[string]idp.Key
	asked []string
	err   error
}

// Key implements httpapi.Keys as carelessly as it may be implemented: it gives a key whatever
// the algorithm.
func (p *published) Key(_ context.Context, kid, _ string) (crypto.PublicKey, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked = append(p.asked, kid)
	if k, there := p.keys[kid]; there {
		return k.Private.Public(), nil
	}
	return nil, p.err
}

// forger makes tokens of every kind.
type forger struct {
	t    testing.TB
	keys *published
}

func newForger(t testing.TB) *forger {
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	require.NoError(t, err)
	keys := map[string]idp.Key{"p384": {ID: "p384", Alg: "ES384", Private: p384}}
	for _, k := range []idp.Key{idp.RSA(t, "rsa", 2048), idp.RSA(t, "short", 1024), idp.EC(t, "ec"), idp.Ed(t, "ed")} {
		keys[k.ID] = k
	}
	return &forger{t: t, keys: &published{keys: keys}}
}

// claims are those of a good token, changed.
func (f *forger) claims(change map[string]any) jwt.MapClaims {
	c := jwt.MapClaims{
		"iss": issuer, "aud": audience, "sub": "ann", "tenant": "acme", "role": "customer_user", "exp": time.Now().Add(time.Hour).Unix(),
	}
	for name, value := range change {
		if value == nil {
			delete(c, name)
		} else {
			c[name] = value
		}
	}
	return c
}

// sign signs with one of the issuer's keys, or another one.
func (f *forger) sign(alg string, key any, header map[string]any, c jwt.MapClaims) string {
	token := jwt.NewWithClaims(jwt.GetSigningMethod(alg), c)
	maps.Copy(token.Header, header)
	signed, err := token.SignedString(key)
	require.NoError(f.t, err)
	return signed
}

func (f *forger) by(kid string, c jwt.MapClaims) string {
	k := f.keys.keys[kid]
	return f.sign(k.Alg, k.Private, map[string]any{"kid": kid}, c)
}

func (f *forger) secret(change map[string]any) string {
	return f.sign("HS256", []byte(testSecret), nil, f.claims(change))
}

// hs256 signs any text with HS256, which a library refuses to do with a public key.
func hs256(key []byte, header, payload string) string {
	encode := base64.RawURLEncoding.EncodeToString
	signed := encode([]byte(header)) + "." + encode([]byte(payload))
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(signed))
	return signed + "." + encode(mac.Sum(nil))
}

const olderSecret = "b7c1e0952fd84a63a1f7c05e9d3b2a6847e1f0c9"

func (f *forger) auth(options ...httpapi.AuthOption) *httpapi.Auth {
	options = append([]httpapi.AuthOption{
		httpapi.WithMoreSecrets([]byte(olderSecret)), httpapi.WithKeys(issuer, f.keys), httpapi.WithAudience(audience),
	}, options...)
	auth, err := httpapi.NewAuth([]byte(testSecret), options...)
	require.NoError(f.t, err)
	return auth
}

func TestTokensOfAnIssuer(t *testing.T) {
	t.Parallel()
	f := newForger(t)
	w := newWorld(t, func(o *options) { o.auth = f.auth() })
	exp := time.Now().Add(time.Hour).Unix()
	payload := func() string {
		text, err := json.Marshal(f.claims(nil))
		require.NoError(t, err)
		return string(text)
	}()
	rsaKey := f.keys.keys["rsa"].Private
	der, err := x509.MarshalPKIXPublicKey(rsaKey.Public())
	require.NoError(t, err)
	public := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	attacker := idp.EC(t, "ec")

	for name, token := range map[string]string{
		"RS256":           f.by("rsa", f.claims(nil)),
		"PS256":           f.sign("PS256", rsaKey, map[string]any{"kid": "rsa"}, f.claims(nil)),
		"RS512":           f.sign("RS512", rsaKey, map[string]any{"kid": "rsa"}, f.claims(nil)),
		"ES256":           f.by("ec", f.claims(nil)),
		"ES384":           f.by("p384", f.claims(nil)),
		"EdDSA":           f.by("ed", f.claims(nil)),
		"SeveralForUs":    f.by("ec", f.claims(map[string]any{"aud": []string{"account", audience}})),
		"AccessToken":     f.sign("ES256", f.keys.keys["ec"].Private, map[string]any{"kid": "ec", "typ": "at+jwt"}, f.claims(nil)),
		"NoType":          f.sign("ES256", f.keys.keys["ec"].Private, map[string]any{"kid": "ec", "typ": ""}, f.claims(nil)),
		"OtherClaims":     f.by("ec", f.claims(map[string]any{"realm_access": map[string]any{"roles": []string{"a"}}, "scope": "openid"})),
		"OurSecret":       f.secret(nil),
		"OurSecretAlone":  f.secret(map[string]any{"iss": nil}),
		"OurOtherSecret":  f.sign("HS256", []byte(olderSecret), nil, f.claims(nil)),
		"IssuedInASecond": f.by("ec", f.claims(map[string]any{"iat": time.Now().Add(2 * time.Second).Unix()})),
		"ValidInASecond":  f.by("ec", f.claims(map[string]any{"nbf": time.Now().Add(2 * time.Second).Unix()})),
	} {
		got := w.get(token, "/balance")
		require.Equal(t, http.StatusOK, got.status, "%s: %s", name, got.text())
	}

	attacks := map[string]string{
		// The algorithm.
		"None":                   f.sign("none", jwt.UnsafeAllowNoneSignatureType, map[string]any{"kid": "ec"}, f.claims(nil)),
		"NoneInCapitals":         hs256(nil, `{"alg":"NONE","kid":"ec"}`, payload),
		"PublicKeyAsSecret":      hs256(public, `{"alg":"HS256","kid":"rsa"}`, payload),
		"PublicKeyBytesAsSecret": hs256(der, `{"alg":"HS256","kid":"rsa"}`, payload),
		"ModulusAsSecret":        hs256(rsaKey.Public().(*rsa.PublicKey).N.Bytes(), `{"alg":"HS256","kid":"rsa"}`, payload),
		"HS512":                  f.sign("HS512", []byte(testSecret), map[string]any{"kid": "ec"}, f.claims(nil)),
		"HS256AsES256":           hs256([]byte(testSecret), `{"alg":"ES256","kid":"ec"}`, payload),
		"RS256NamesECKey":        f.sign("RS256", rsaKey, map[string]any{"kid": "ec"}, f.claims(nil)),
		"EdDSANamesECKey":        f.sign("EdDSA", f.keys.keys["ed"].Private, map[string]any{"kid": "ec"}, f.claims(nil)),
		"ES384WithP256":          hs256(nil, `{"alg":"ES384","kid":"ec"}`, payload),
		"ShortRSA":               f.by("short", f.claims(nil)),
		"AlgorithmTwice":         hs256([]byte(testSecret), `{"alg":"none","alg":"HS256"}`, payload),
		"AlgorithmMissing":       hs256([]byte(testSecret), `{"typ":"JWT"}`, payload),
		"AlgorithmUnknown":       hs256([]byte(testSecret), `{"alg":"XS256"}`, payload),
		// The key.
		"AnotherKeyOfThatName": f.sign("ES256", attacker.Private, map[string]any{"kid": "ec"}, f.claims(nil)),
		"UnknownKey":           f.sign("ES256", attacker.Private, map[string]any{"kid": "mine"}, f.claims(nil)),
		"KeyIsNoText":          f.sign("ES256", attacker.Private, map[string]any{"kid": []string{"ec"}}, f.claims(nil)),
		"KeyIsEmpty":           f.sign("ES256", attacker.Private, map[string]any{"kid": ""}, f.claims(nil)),
		"KeyIsAPath":           f.sign("ES256", attacker.Private, map[string]any{"kid": "../../dev/null"}, f.claims(nil)),
		"KeyIsSQL":             f.sign("ES256", attacker.Private, map[string]any{"kid": "' OR 1=1 --"}, f.claims(nil)),
		"KeyInTheHeader": f.sign("ES256", attacker.Private, map[string]any{"kid": "ec", "jwk": map[string]any{
			"kty": "EC", "crv": "P-256", "x": "AAAA", "y": "AAAA",
		}}, f.claims(nil)),
		"KeysElsewhere":        f.sign("ES256", attacker.Private, map[string]any{"kid": "x", "jku": "https://evil.example/keys"}, f.claims(nil)),
		"CertificateElsewhere": f.sign("ES256", attacker.Private, map[string]any{"kid": "x", "x5u": "https://evil.example/"}, f.claims(nil)),
		"ZeroSignature":        zeroSignature(f.by("ec", f.claims(nil))),
		"NoSignature":          strings.TrimRight(f.by("ec", f.claims(nil)), "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"),
		"SignatureOfAnother":   swapPayload(f.by("ec", f.claims(nil)), f.by("ec", f.claims(map[string]any{"role": "bubble_admin"}))),
		"PaddedSignature":      f.by("ec", f.claims(nil)) + "=",
		"FourParts":            f.by("ec", f.claims(nil)) + ".x",
		// The header's extensions.
		"Critical":       f.sign("ES256", f.keys.keys["ec"].Private, map[string]any{"kid": "ec", "crit": []string{"exp"}}, f.claims(nil)),
		"NotBase64":      f.sign("ES256", f.keys.keys["ec"].Private, map[string]any{"kid": "ec", "b64": false}, f.claims(nil)),
		"Packed":         f.sign("ES256", f.keys.keys["ec"].Private, map[string]any{"kid": "ec", "zip": "DEF"}, f.claims(nil)),
		"LogoutToken":    f.sign("ES256", f.keys.keys["ec"].Private, map[string]any{"kid": "ec", "typ": "logout+jwt"}, f.claims(nil)),
		"ProofToken":     f.sign("ES256", f.keys.keys["ec"].Private, map[string]any{"kid": "ec", "typ": "dpop+jwt"}, f.claims(nil)),
		"BoundToAKey":    f.by("ec", f.claims(map[string]any{"cnf": map[string]any{"jkt": "x"}})),
		"KidInOtherCase": f.sign("ES256", f.keys.keys["ec"].Private, map[string]any{"kid": "ec", "KID": "ed"}, f.claims(nil)),
		// Who made it, and for whom.
		"AnotherIssuer":      f.by("ec", f.claims(map[string]any{"iss": "https://evil.example"})),
		"IssuerWithASlash":   f.by("ec", f.claims(map[string]any{"iss": issuer + "/"})),
		"IssuerInCapitals":   f.by("ec", f.claims(map[string]any{"iss": strings.ToUpper(issuer)})),
		"NoIssuer":           f.by("ec", f.claims(map[string]any{"iss": nil})),
		"IssuerList":         f.by("ec", f.claims(map[string]any{"iss": []string{issuer}})),
		"IssuerTwice":        f.by("ec", f.claims(map[string]any{"iss": "x", "Iss": issuer})),
		"AnotherAudience":    f.by("ec", f.claims(map[string]any{"aud": "account"})),
		"AudienceIsAPart":    f.by("ec", f.claims(map[string]any{"aud": "redrive-eu"})),
		"NoAudience":         f.by("ec", f.claims(map[string]any{"aud": nil})),
		"NoAudienceSecret":   f.secret(map[string]any{"aud": nil}),
		"AudienceNumber":     f.by("ec", f.claims(map[string]any{"aud": 1})),
		"AudienceMixed":      f.by("ec", f.claims(map[string]any{"aud": []any{audience, 1}})),
		"AudienceOtherCase":  f.by("ec", f.claims(map[string]any{"aud": "Redrive"})),
		"AudienceOtherName":  f.by("ec", f.claims(map[string]any{"aud": nil, "Aud": audience})),
		"SecretOfNoOneElse":  f.sign("HS256", []byte(strings.Repeat("x1", 20)), nil, f.claims(nil)),
		"EmptySecret":        hs256(nil, `{"alg":"HS256"}`, payload),
		"OtherSecretCutOff":  f.sign("HS256", []byte(olderSecret[:32]), nil, f.claims(nil)),
		"RefreshTokenOfAKey": f.by("ec", f.claims(map[string]any{"role": nil, "tenant": nil})),
		// When.
		"Expired":     f.by("ec", f.claims(map[string]any{"exp": time.Now().Add(-time.Minute).Unix()})),
		"NoExpiry":    f.by("ec", f.claims(map[string]any{"exp": nil})),
		"ExpiryText":  f.by("ec", f.claims(map[string]any{"exp": fmt.Sprint(exp)})),
		"ExpiryMilli": f.by("ec", f.claims(map[string]any{"exp": exp * 1000})),
		"NotYet":      f.by("ec", f.claims(map[string]any{"nbf": time.Now().Add(time.Minute).Unix()})),
		"NotYetText":  f.by("ec", f.claims(map[string]any{"nbf": "0"})),
		// Who it is.
		"NoSubject":          f.by("ec", f.claims(map[string]any{"sub": nil})),
		"SubjectBreaksLines": f.by("ec", f.claims(map[string]any{"sub": "ann\nrole: bubble_admin"})),
		"SubjectOfAKey":      f.by("ec", f.claims(map[string]any{"sub": "key:Ab3"})),
		"SubjectTooLong":     f.by("ec", f.claims(map[string]any{"sub": strings.Repeat("a", 256)})),
		"NoTenant":           f.by("ec", f.claims(map[string]any{"tenant": nil})),
		"TenantIsAPath":      f.by("ec", f.claims(map[string]any{"tenant": "../globex"})),
		"TenantList":         f.by("ec", f.claims(map[string]any{"tenant": []string{"acme", "globex"}})),
		"TenantOtherCase":    f.by("ec", f.claims(map[string]any{"Tenant": "globex"})),
		"RoleUnknown":        f.by("ec", f.claims(map[string]any{"role": "root"})),
		"RoleList":           f.by("ec", f.claims(map[string]any{"role": []string{"customer_user"}})),
		"RoleOtherCase":      f.by("ec", f.claims(map[string]any{"ROLE": "bubble_admin"})),
		"RoleTwice":          hs256([]byte(testSecret), `{"alg":"HS256"}`, strings.Replace(payload, `{`, `{"role":"bubble_admin",`, 1)),
		"TooLong":            f.by("ec", f.claims(map[string]any{"x": strings.Repeat("a", 8192)})),
	}
	require.GreaterOrEqual(t, len(attacks), 40)
	for name, token := range attacks {
		got := w.get(token, "/balance")
		require.Equal(t, http.StatusUnauthorized, got.status, "%s: %s", name, got.text())
		require.NotContains(t, w.logs.String(), token, name)
	}

	f.keys.mu.Lock()
	f.keys.asked = nil
	f.keys.mu.Unlock()
	for _, stray := range []string{"AnotherIssuer", "NoIssuer", "LogoutToken", "BoundToAKey", "PublicKeyAsSecret", "Critical"} {
		w.get(attacks[stray], "/balance")
	}
	require.Empty(t, f.keys.asked, "the issuer is not asked for the key of a token that is refused anyway")
}

func zeroSignature(token string) string {
	at := strings.LastIndexByte(token, '.')
	return token[:at+1] + base64.RawURLEncoding.EncodeToString(make([]byte, 64))
}

func swapPayload(token, from string) string {
	a, b := strings.Split(token, "."), strings.Split(from, ".")
	return a[0] + "." + b[1] + "." + a[2]
}

// While the issuer cannot be asked, nothing is known of a token: 503, and not that it is
// wrong.
func TestIssuerIsDown(t *testing.T) {
	t.Parallel()
	f := newForger(t)
	w := newWorld(t, func(o *options) { o.auth = f.auth() })
	f.keys.mu.Lock()
	f.keys.err = fmt.Errorf("down: %w", ports.ErrUnavailable)
	f.keys.mu.Unlock()
	token := f.sign("ES256", idp.EC(t, "new").Private, map[string]any{"kid": "new"}, f.claims(nil))
	got := w.get(token, "/balance")
	require.Equal(t, http.StatusServiceUnavailable, got.status)
	require.Equal(t, "1", got.header.Get("Retry-After"))
	require.Equal(t, http.StatusOK, w.get(f.by("ec", f.claims(nil)), "/balance").status)
	require.Equal(t, http.StatusOK, w.get(f.secret(nil), "/balance").status)
}

// A secret is changed while clients go on: each step of it lets in everybody.
func TestSecretsAreRotated(t *testing.T) {
	t.Parallel()
	const old, next = testSecret, olderSecret
	make := func(first string, more ...string) *httpapi.Auth {
		var bytes [][]byte
		for _, s := range more {
			bytes = append(bytes, []byte(s))
		}
		a, err := httpapi.NewAuth([]byte(first), httpapi.WithMoreSecrets(bytes...))
		require.NoError(t, err)
		return a
	}
	actor := core.Actor{Subject: "ann", Tenant: acme, Role: core.RoleCustomerUser}
	steps := []*httpapi.Auth{make(old), make(old, next), make(next, old), make(next)}
	for i, signs := range steps {
		token, err := signs.Token(actor, time.Hour)
		require.NoError(t, err)
		for j := max(0, i-1); j <= min(i+1, 3); j++ {
			_, _, err := steps[j].Verify(token)
			require.NoError(t, err, "signed at step %d, read at step %d", i, j)
		}
	}
	token, err := steps[0].Token(actor, time.Hour)
	require.NoError(t, err)
	_, _, err = steps[3].Verify(token)
	require.Error(t, err, "the old secret is good for nothing in the end")

	_, err = httpapi.NewAuth([]byte(old), httpapi.WithMoreSecrets([]byte("short")))
	require.ErrorContains(t, err, "at least 32")
	many := [][]byte{}
	for range httpapi.MaxSecrets {
		many = append(many, []byte(rand.Text()+rand.Text()))
	}
	_, err = httpapi.NewAuth([]byte(old), httpapi.WithMoreSecrets(many...))
	require.ErrorContains(t, err, "8 at most")
}

func TestAuthWithoutASecret(t *testing.T) {
	t.Parallel()
	f := newForger(t)
	auth, err := httpapi.NewAuth(nil, httpapi.WithKeys(issuer, f.keys), httpapi.WithAudience(audience))
	require.NoError(t, err)
	_, _, err = auth.Verify(f.by("ec", f.claims(nil)))
	require.NoError(t, err)
	for _, token := range []string{f.secret(nil), hs256(nil, `{"alg":"HS256"}`, `{}`)} {
		_, _, err = auth.Verify(token)
		require.ErrorIs(t, err, jwt.ErrTokenSignatureInvalid, "without a secret nothing is signed with one")
	}
	_, err = auth.Token(core.Actor{Subject: "a", Tenant: acme, Role: core.RoleCustomerUser}, time.Hour)
	require.ErrorContains(t, err, "no secret")
	_, err = httpapi.NewAuth(nil)
	require.Error(t, err)
	_, err = httpapi.NewAuth(nil, httpapi.WithKeys(issuer, f.keys))
	require.ErrorContains(t, err, "name this one")
	_, err = httpapi.NewAuth(nil, httpapi.WithKeys("", f.keys), httpapi.WithAudience("x"))
	require.ErrorContains(t, err, "issuer")
}

func TestIssuerOfSecrets(t *testing.T) {
	t.Parallel()
	f := newForger(t)
	auth := f.auth(httpapi.WithIssuer("our-login"))
	token, err := auth.Token(core.Actor{Subject: "a", Tenant: acme, Role: core.RoleCustomerUser}, time.Hour)
	require.NoError(t, err)
	_, _, err = auth.Verify(token)
	require.NoError(t, err)
	for _, iss := range []any{nil, "other", issuer, "Our-Login", []string{"our-login"}} {
		_, _, err = auth.Verify(f.secret(map[string]any{"iss": iss}))
		require.Error(t, err, "%v", iss)
	}
	_, _, err = auth.Verify(f.by("ec", f.claims(map[string]any{"iss": "our-login"})))
	require.ErrorIs(t, err, jwt.ErrTokenInvalidIssuer, "the issuer of secrets is not that of keys")
}

// The claims as identity providers have them.
func TestClaimsElsewhere(t *testing.T) {
	t.Parallel()
	f := newForger(t)
	keycloak := httpapi.Claims{
		Subject: "preferred_username", Tenant: "/organization/id", Role: "/realm_access/roles",
		Roles: map[string]core.Role{"redrive-admins": core.RoleCustomerAdmin, "redrive-users": core.RoleCustomerUser, "redrive-operators": core.RolePlatformAdmin},
	}
	entra := httpapi.Claims{Subject: "oid", Tenant: "tid", Role: "roles", Roles: map[string]core.Role{"Redrive.Admin": core.RoleCustomerAdmin}}
	auth0 := httpapi.Claims{Tenant: "https://acme.example/tenant", Role: "https://acme.example/roles"}
	slashes := httpapi.Claims{Tenant: "/https:~1~1acme.example~1claims/tenant"}
	roles := func(names ...string) map[string]any {
		return map[string]any{"roles": names}
	}
	for name, c := range map[string]struct {
		claims httpapi.Claims
		token  map[string]any
		want   core.Actor // none: refused
	}{
		"Keycloak":      {keycloak, map[string]any{"preferred_username": "ann", "organization": map[string]any{"id": "acme"}, "realm_access": roles("offline_access", "redrive-users")}, core.Actor{Subject: "ann", Tenant: acme, Role: core.RoleCustomerUser}},
		"MostPowerful":  {keycloak, map[string]any{"preferred_username": "ann", "organization": map[string]any{"id": "acme"}, "realm_access": roles("redrive-users", "redrive-admins")}, core.Actor{Subject: "ann", Tenant: acme, Role: core.RoleCustomerAdmin}},
		"WhateverOrder": {keycloak, map[string]any{"preferred_username": "ann", "organization": map[string]any{"id": "acme"}, "realm_access": roles("redrive-admins", "redrive-users")}, core.Actor{Subject: "ann", Tenant: acme, Role: core.RoleCustomerAdmin}},
		"Operator":      {keycloak, map[string]any{"preferred_username": "ann", "realm_access": roles("redrive-operators")}, core.Actor{Subject: "ann", Role: core.RolePlatformAdmin}},
		"OneString":     {keycloak, map[string]any{"preferred_username": "ann", "organization": map[string]any{"id": "acme"}, "realm_access": map[string]any{"roles": "redrive-users"}}, core.Actor{Subject: "ann", Tenant: acme, Role: core.RoleCustomerUser}},
		"NoRoleOfOurs":  {keycloak, map[string]any{"preferred_username": "ann", "organization": map[string]any{"id": "acme"}, "realm_access": roles("offline_access")}, core.Actor{}},
		"OurNames":      {keycloak, map[string]any{"preferred_username": "ann", "organization": map[string]any{"id": "acme"}, "realm_access": roles("bubble_admin")}, core.Actor{}},
		"OtherCase":     {keycloak, map[string]any{"preferred_username": "ann", "organization": map[string]any{"id": "acme"}, "realm_access": roles("Redrive-Users")}, core.Actor{}},
		"PlainNames":    {keycloak, map[string]any{"preferred_username": "ann", "tenant": "acme", "role": "bubble_admin"}, core.Actor{}},
		"NoRoles":       {keycloak, map[string]any{"preferred_username": "ann", "organization": map[string]any{"id": "acme"}, "realm_access": roles()}, core.Actor{}},
		"RolesNumbers":  {keycloak, map[string]any{"preferred_username": "ann", "organization": map[string]any{"id": "acme"}, "realm_access": map[string]any{"roles": []any{"redrive-users", 1}}}, core.Actor{}},
		"NestedCase":    {keycloak, map[string]any{"preferred_username": "ann", "organization": map[string]any{"id": "acme", "ID": "globex"}, "realm_access": roles("redrive-users")}, core.Actor{}},
		"TopCase":       {keycloak, map[string]any{"preferred_username": "ann", "organization": map[string]any{"id": "acme"}, "Organization": map[string]any{"id": "globex"}, "realm_access": roles("redrive-users")}, core.Actor{}},
		"NoObject":      {keycloak, map[string]any{"preferred_username": "ann", "organization": "acme", "realm_access": roles("redrive-users")}, core.Actor{}},
		"NoTenant":      {keycloak, map[string]any{"preferred_username": "ann", "realm_access": roles("redrive-admins")}, core.Actor{}},
		"Entra":         {entra, map[string]any{"oid": "00000000-aaaa", "tid": "72f988bf-86f1-41af-91ab-2d7cd011db47", "roles": []string{"Redrive.Admin"}}, core.Actor{Subject: "00000000-aaaa", Tenant: "72f988bf-86f1-41af-91ab-2d7cd011db47", Role: core.RoleCustomerAdmin}},
		"Auth0":         {auth0, map[string]any{"sub": "auth0|1", "https://acme.example/tenant": "acme", "https://acme.example/roles": "customer_user"}, core.Actor{Subject: "auth0|1", Tenant: acme, Role: core.RoleCustomerUser}},
		"Auth0List":     {auth0, map[string]any{"sub": "auth0|1", "https://acme.example/tenant": "acme", "https://acme.example/roles": []string{"customer_user"}}, core.Actor{}},
		"EscapedSlash":  {slashes, map[string]any{"sub": "a", "role": "customer_user", "https://acme.example/claims": map[string]any{"tenant": "acme"}}, core.Actor{Subject: "a", Tenant: acme, Role: core.RoleCustomerUser}},
		"DotsAreNoPath": {httpapi.Claims{Tenant: "org.id"}, map[string]any{"sub": "a", "role": "customer_user", "org": map[string]any{"id": "acme"}}, core.Actor{}},
	} {
		auth := f.auth(httpapi.WithClaims(c.claims))
		change := map[string]any{"sub": nil, "tenant": nil, "role": nil}
		maps.Copy(change, c.token)
		for _, token := range []string{f.by("ec", f.claims(change)), f.secret(change)} {
			got, _, err := auth.Verify(token)
			require.Equal(t, c.want == core.Actor{}, err != nil, "%s: %v", name, err)
			require.True(t, err != nil || got == c.want, "%s: %v", name, got)
		}
		if c.want == (core.Actor{}) {
			continue
		}
		token, err := auth.Token(c.want, time.Hour)
		require.NoError(t, err, name)
		got, _, err := auth.Verify(token)
		require.NoError(t, err, "%s: tokens that are made here have the claims at the same place", name)
		require.Equal(t, c.want, got)
	}
	_, err := f.auth(httpapi.WithClaims(entra)).Token(core.Actor{Subject: "x", Role: core.RolePlatformAdmin}, time.Hour)
	require.ErrorContains(t, err, "bubble_admin")
	for _, bad := range []httpapi.Claims{
		{Tenant: "/"},
		{Role: "/a//b"},
		{Subject: "//"},
		{Role: strings.Repeat("a", 300)},
		{Roles: map[string]core.Role{"a": "root"}},
		{Roles: map[string]core.Role{"": core.RoleCustomerUser}},
	} {
		_, err := httpapi.NewAuth([]byte(testSecret), httpapi.WithClaims(bad))
		require.Error(t, err, "%v", bad)
	}
}

// FuzzTokens looks for a token that is accepted although none of our keys signed it, or for
// an actor that cannot be one. Its corpus is in testdata.
func FuzzTokens(f *testing.F) {
	forge := newForger(f)
	auth := forge.auth(httpapi.WithClaims(httpapi.Claims{Role: "/realm_access/roles", Roles: map[string]core.Role{"a": core.RoleCustomerUser}}))
	plain := forge.auth()
	payload := `{"iss":"` + issuer + `","aud":"redrive","sub":"ann","tenant":"acme","role":"customer_user","realm_access":{"roles":["a"]},"exp":4000000000}`
	for _, header := range []string{`{"alg":"HS256"}`, `{"alg":"none"}`, `{"alg":"ES256","kid":"ec"}`, `{"alg":"HS256","alg":"none"}`, `{"alg":"RS256","kid":["rsa"]}`, `[`} {
		for _, p := range []string{payload, `{}`, `[]`, strings.Replace(payload, `"a"`, `1`, 1), strings.Replace(payload, `{`, `{"Role":1,`, 1), "\xff"} {
			f.Add(header, p, true)
			f.Add(header, p, false)
		}
	}
	f.Fuzz(func(t *testing.T, header, payload string, signed bool) {
		key := []byte("no secret of this server, as long as one")
		if signed {
			key = []byte(testSecret)
		}
		token := hs256(key, header, payload)
		for _, a := range []*httpapi.Auth{auth, plain} {
			for _, text := range []string{token, header + "." + payload, payload} {
				actor, until, err := a.Verify(text)
				switch {
				case errors.Is(err, ports.ErrUnavailable):
					t.Fatalf("a fault: %v", err)
				case err != nil:
					continue
				case !signed:
					t.Fatalf("%q was let in as %v", text, actor)
				}
				if !actor.Role.Valid() || actor.Subject == "" || until.IsZero() || actor.Tenant != "" && !core.ValidID(actor.Tenant) {
					t.Fatalf("%q means %v until %v", text, actor, until)
				}
			}
		}
	})
}
