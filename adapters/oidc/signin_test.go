package oidc_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/oidc"
	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/internal/testkit/idp"
	"github.com/redrive/redrive/ports"
)

const back = "https://redrive.example/ui/sign-in/oidc/callback"

func (w *world) signIn(t *testing.T) *oidc.SignIn {
	w.idp.Do(func(p *idp.Provider) {
		p.Back = back
		p.Claims = map[string]any{"sub": "ann"}
	})
	s, err := oidc.NewSignIn(w.p, oidc.SignInConfig{
		ClientID: w.idp.Client, ClientSecret: w.idp.Secret, RedirectURL: back,
		Actor: func(claims []byte) (core.Actor, error) {
			var c struct {
				Sub string `json:"sub"`
			}
			if err := json.Unmarshal(claims, &c); err != nil {
				return core.Actor{}, err
			}
			if c.Sub != "ann" {
				return core.Actor{}, errors.New("nobody")
			}
			return core.Actor{Subject: c.Sub, Tenant: "acme", Role: core.RoleCustomerUser}, nil
		},
	})
	require.NoError(t, err)
	return s
}

// through goes to the provider, as a browser, and gives the query with which it is sent back.
func (w *world) through(t *testing.T, address string) url.Values {
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := client.Get(address)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	require.Equal(t, http.StatusFound, res.StatusCode)
	to, err := res.Location()
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(to.String(), back+"?"), to)
	return to.Query()
}

func code(err error) core.Code {
	if e, ok := errors.AsType[*core.Error](err); ok {
		return e.Code
	}
	return ""
}

func TestSignIn(t *testing.T) {
	t.Parallel()
	for _, key := range []idp.Key{idp.EC(t, "e"), idp.Ed(t, "d"), idp.RSA(t, "r", 2048)} {
		w := newWorld(t, key)
		s := w.signIn(t)
		address, secret, err := s.Begin(t.Context())
		require.NoError(t, err)
		require.NotContains(t, address, strings.Split(secret, ".")[2], "the verifier stays with the browser")
		answer := w.through(t, address)
		actor, err := s.Finish(t.Context(), secret, answer)
		require.NoError(t, err, key.Alg)
		require.Equal(t, core.Actor{Subject: "ann", Tenant: "acme", Role: core.RoleCustomerUser}, actor)
		require.Contains(t, s.SignOut("/ui/sign-in"), w.idp.URL+"/sign-out?client_id=redrive&post_logout_redirect_uri=https%3A%2F%2Fredrive.example%2Fui%2Fsign-in")

		_, err = s.Finish(t.Context(), secret, answer)
		require.Equal(t, oidc.CodeFailed, code(err), "a code is good once")
		require.NotContains(t, w.log.String(), answer.Get("code"))
		require.NotContains(t, w.log.String(), "with a secret in it")
	}
}

// part gives what changes one part of what the browser keeps.
func part(i int, to string) func(string) string {
	return func(secret string) string {
		parts := strings.Split(secret, ".")
		parts[i] = to
		return strings.Join(parts, ".")
	}
}

// What was begun is good for ten minutes, at every server of the same client.
func TestSignInIsBoundToItsBeginning(t *testing.T) {
	t.Parallel()
	w := newWorld(t, idp.EC(t, "e"))
	first, second := w.signIn(t), w.signIn(t)
	address, secret, err := first.Begin(t.Context())
	require.NoError(t, err)
	_, err = second.Finish(t.Context(), secret, w.through(t, address))
	require.NoError(t, err)

	address, secret, err = first.Begin(t.Context())
	require.NoError(t, err)
	answer := w.through(t, address)
	w.clock.advance(10*time.Minute + 2*time.Second)
	_, err = first.Finish(t.Context(), secret, answer)
	require.Equal(t, oidc.CodeExpired, code(err))

	w.idp.Do(func(p *idp.Provider) { p.Secret = "another" })
	other, err := oidc.NewSignIn(w.p, oidc.SignInConfig{
		ClientID: w.idp.Client, ClientSecret: "another", RedirectURL: back,
		Actor: func([]byte) (core.Actor, error) { return core.Actor{}, nil },
	})
	require.NoError(t, err)
	address, secret, err = first.Begin(t.Context())
	require.NoError(t, err)
	_, err = other.Finish(t.Context(), secret, w.through(t, address))
	require.Equal(t, oidc.CodeExpired, code(err), "it may be forged without the client's secret")
}

// What an attacker, or a broken provider, may send back.
func TestSignInRefuses(t *testing.T) {
	t.Parallel()
	good, other := idp.EC(t, "e"), idp.EC(t, "other")
	for name, c := range map[string]struct {
		answer func(url.Values)
		secret func(string) string
		claims func(jwt.MapClaims)
		idp    func(*idp.Provider)
		want   core.Code
	}{
		"AnotherState":     {answer: func(q url.Values) { q.Set("state", "x") }, want: oidc.CodeExpired},
		"NoState":          {answer: func(q url.Values) { q.Del("state") }, want: oidc.CodeExpired},
		"StateTwice":       {answer: func(q url.Values) { q.Add("state", q.Get("state")) }, want: oidc.CodeExpired},
		"NoSecret":         {secret: func(string) string { return "" }, want: oidc.CodeExpired},
		"EmptySecret":      {secret: func(string) string { return ".." }, answer: func(q url.Values) { q.Set("state", "") }, want: oidc.CodeExpired},
		"AnotherBrowser":   {secret: func(string) string { return "a.b.c" }, want: oidc.CodeExpired},
		"AnotherVerifier":  {secret: part(2, "x"), want: oidc.CodeExpired},
		"AnotherBeginning": {secret: part(3, "99999999999"), want: oidc.CodeExpired},
		"Unsigned":         {secret: part(4, ""), want: oidc.CodeExpired},
		"WithoutSignature": {secret: func(s string) string { return s[:strings.LastIndexByte(s, '.')] }, want: oidc.CodeExpired},
		"NoCode":           {answer: func(q url.Values) { q.Del("code") }, want: oidc.CodeFailed},
		"CodeTwice":        {answer: func(q url.Values) { q.Add("code", "x") }, want: oidc.CodeFailed},
		"ForgedCode":       {answer: func(q url.Values) { q.Set("code", "x") }, want: oidc.CodeFailed},
		"AnotherProvider":  {answer: func(q url.Values) { q.Set("iss", "https://evil.example") }, want: oidc.CodeFailed},
		"NoProvider":       {answer: func(q url.Values) { q.Del("iss") }, want: oidc.CodeFailed},
		"Denied":           {idp: func(p *idp.Provider) { p.Refuse = "access_denied" }, want: oidc.CodeDenied},
		"Refused":          {idp: func(p *idp.Provider) { p.Refuse = "invalid_scope" }, want: oidc.CodeFailed},
		"DeniedByAnyone":   {answer: func(q url.Values) { q.Set("error", "access_denied"); q.Set("state", "x") }, want: oidc.CodeExpired},
		"AnotherNonce":     {claims: func(c jwt.MapClaims) { c["nonce"] = "x" }, want: oidc.CodeFailed},
		"NoNonce":          {claims: func(c jwt.MapClaims) { delete(c, "nonce") }, want: oidc.CodeFailed},
		"AnotherAudience":  {claims: func(c jwt.MapClaims) { c["aud"] = "x" }, want: oidc.CodeFailed},
		"AnotherParty":     {claims: func(c jwt.MapClaims) { c["aud"] = []string{"redrive", "x"}; c["azp"] = "x" }, want: oidc.CodeFailed},
		"AnotherIssuer":    {claims: func(c jwt.MapClaims) { c["iss"] = "https://evil.example" }, want: oidc.CodeFailed},
		"Expired":          {claims: func(c jwt.MapClaims) { c["exp"] = time.Now().Add(-time.Hour).Unix() }, want: oidc.CodeFailed},
		"NotYet":           {claims: func(c jwt.MapClaims) { c["nbf"] = time.Now().Add(time.Hour).Unix() }, want: oidc.CodeFailed},
		"AnotherToken":     {claims: func(c jwt.MapClaims) { c["at_hash"] = "AAAA" }, want: oidc.CodeFailed},
		"UnpublishedKey":   {idp: func(p *idp.Provider) { p.Change = nil }, want: oidc.CodeFailed},
		"NobodyHere":       {claims: func(c jwt.MapClaims) { c["sub"] = "bob" }, want: oidc.CodeNoAccess},
		"ClientIsNotKnown": {idp: func(p *idp.Provider) { p.Secret = "changed" }, want: oidc.CodeFailed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, good)
			s := w.signIn(t)
			if name == "UnpublishedKey" {
				w.idp.Add(other, true)
			}
			w.idp.Do(func(p *idp.Provider) {
				p.Change = c.claims
				if c.idp != nil {
					c.idp(p)
				}
			})
			address, secret, err := s.Begin(t.Context())
			require.NoError(t, err)
			answer := w.through(t, address)
			if c.answer != nil {
				c.answer(answer)
			}
			if c.secret != nil {
				secret = c.secret(secret)
			}
			_, err = s.Finish(t.Context(), secret, answer)
			require.Equal(t, c.want, code(err), "%v", err)
			require.NotContains(t, err.Error(), "evil")
		})
	}
}

func TestSignInWithoutAProvider(t *testing.T) {
	t.Parallel()
	w := newWorld(t, idp.EC(t, "e"))
	s := w.signIn(t)
	w.idp.Down(true)
	_, _, err := s.Begin(t.Context())
	require.ErrorIs(t, err, ports.ErrUnavailable)
	require.Empty(t, s.SignOut("/"), "nothing is known of it yet")
	w.idp.Down(false)
	w.clock.advance(time.Minute)
	address, secret, err := s.Begin(t.Context())
	require.NoError(t, err)
	answer := w.through(t, address)
	w.idp.Down(true)
	_, err = s.Finish(t.Context(), secret, answer)
	require.ErrorIs(t, err, ports.ErrUnavailable)

	keysOnly, err := oidc.New(oidc.Config{JWKS: w.idp.URL + "/keys"})
	require.NoError(t, err)
	_, err = oidc.NewSignIn(keysOnly, oidc.SignInConfig{})
	require.Error(t, err)
	_, err = oidc.NewSignIn(w.p, oidc.SignInConfig{ClientID: "x", RedirectURL: "http://redrive.example/", Actor: func([]byte) (core.Actor, error) { return core.Actor{}, nil }})
	require.ErrorContains(t, err, "https://")
}
