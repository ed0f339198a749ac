package oidc

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	gooidc "github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/redrive/redrive/core"
)

// Why a sign-in comes to nothing. Each is a *core.Error's code.
const (
	// CodeDenied: the person, or the provider, said no.
	CodeDenied core.Code = "sign_in_denied"
	// CodeExpired: the answer belongs to no sign-in that this browser has begun, or it took
	// too long.
	CodeExpired core.Code = "sign_in_expired"
	// CodeFailed: the provider's answer is not one that can be trusted, or says that it failed.
	CodeFailed core.Code = "sign_in_failed"
	// CodeNoAccess: the provider knows the person, and nothing says what they may do here.
	CodeNoAccess core.Code = "sign_in_no_access"
)

// signInFor is how long a person may take to sign in at the provider.
const signInFor = 10 * time.Minute

// SignInConfig is this service as the provider knows it.
type SignInConfig struct {
	ClientID     string
	ClientSecret string   // empty: a public client, which PKCE alone protects
	RedirectURL  string   // where the provider sends the browser back to
	Scopes       []string // beside openid
	// Actor gives who the claims of an ID token name.
	Actor func(claims []byte) (core.Actor, error)
}

// SignIn is a person's way to this service through the provider: an authorization code with
// PKCE (RFC 7636). Safe for use by many goroutines; it keeps no state between Begin and
// Finish, so that any server can finish what another has begun.
type SignIn struct {
	p   *Provider
	cfg SignInConfig
}

// NewSignIn makes a SignIn. The provider needs an issuer.
func NewSignIn(p *Provider, cfg SignInConfig) (*SignIn, error) {
	switch {
	case p.document == nil:
		return nil, errors.New("a sign-in needs the provider's issuer")
	case cfg.ClientID == "" || cfg.RedirectURL == "" || cfg.Actor == nil:
		return nil, errors.New("a sign-in needs a client's ID and the address to come back to")
	}
	if err := CheckAddress(cfg.RedirectURL); err != nil {
		return nil, err
	}
	return &SignIn{p: p, cfg: cfg}, nil
}

func (s *SignIn) oauth(d document) *oauth2.Config {
	return &oauth2.Config{
		ClientID: s.cfg.ClientID, ClientSecret: s.cfg.ClientSecret, Endpoint: d.provider.Endpoint(),
		RedirectURL: s.cfg.RedirectURL, Scopes: append([]string{gooidc.ScopeOpenID}, s.cfg.Scopes...),
	}
}

// Begin gives the address at the provider that the browser goes to, and a secret that the
// browser alone keeps until it comes back.
func (s *SignIn) Begin(ctx context.Context) (address, secret string, err error) {
	d, err := s.p.described(ctx)
	if err != nil {
		return "", "", err
	}
	state, nonce, verifier := rand.Text(), rand.Text(), oauth2.GenerateVerifier()
	address = s.oauth(d).AuthCodeURL(state, gooidc.Nonce(nonce), oauth2.S256ChallengeOption(verifier))
	kept := strings.Join([]string{state, nonce, verifier, strconv.FormatInt(s.p.cfg.Now().Unix(), 10)}, ".")
	return address, kept + "." + s.sign(kept), nil
}

// sign gives what shows that this service has begun a sign-in. Without it anybody could make
// up what a browser keeps, and have the provider asked about any code. The key comes from the
// client's secret, which all servers have. A public client has none: then it shows nothing.
func (s *SignIn) sign(kept string) string {
	mac := hmac.New(sha256.New, []byte("redrive sign-in\x00"+s.cfg.ClientID+"\x00"+s.cfg.ClientSecret))
	mac.Write([]byte(kept))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// begun gives the parts of what a browser kept of a sign-in that this service has begun not
// long ago.
func (s *SignIn) begun(secret string) (state, nonce, verifier string, ok bool) {
	at := strings.LastIndexByte(secret, '.')
	if at < 0 || !hmac.Equal([]byte(secret[at+1:]), []byte(s.sign(secret[:at]))) {
		return "", "", "", false
	}
	parts := strings.Split(secret[:at], ".")
	if len(parts) != 4 {
		return "", "", "", false
	}
	when, err := strconv.ParseInt(parts[3], 10, 64)
	now := s.p.cfg.Now()
	// Clocks of servers differ by a little.
	if err != nil || now.Sub(time.Unix(when, 0)) > signInFor || time.Unix(when, 0).Sub(now) > time.Minute {
		return "", "", "", false
	}
	return parts[0], parts[1], parts[2], true
}

// Finish gives who has signed in. The answer is the query with which the browser came back,
// and secret what it kept. A *core.Error says why nobody has; any other error is a fault,
// which wraps ports.ErrUnavailable if the provider cannot be reached.
func (s *SignIn) Finish(ctx context.Context, secret string, answer url.Values) (core.Actor, error) {
	state, nonce, verifier, ok := s.begun(secret)
	got, err := once(answer, "state")
	if err != nil || !ok || got == "" || subtle.ConstantTimeCompare([]byte(got), []byte(state)) != 1 {
		return core.Actor{}, &core.Error{Code: CodeExpired, Message: "this is not the end of a sign-in that this browser has begun a moment ago; begin again"}
	}
	d, err := s.p.described(ctx)
	if err != nil {
		return core.Actor{}, err
	}
	// Another provider's answer must not be taken for this one's (RFC 9207).
	if from, err := once(answer, "iss"); err != nil || from != s.p.cfg.Issuer && (from != "" || d.names) {
		return core.Actor{}, s.failed(ctx, "the answer is not this provider's", err)
	}
	if answer.Has("error") {
		return core.Actor{}, s.refused(ctx, answer)
	}
	code, err := once(answer, "code")
	if err != nil || code == "" {
		return core.Actor{}, s.failed(ctx, "the answer has no code", err)
	}
	claims, err := s.exchange(gooidc.ClientContext(ctx, s.p.client), d, code, nonce, verifier)
	if err != nil {
		return core.Actor{}, err
	}
	actor, err := s.cfg.Actor(claims)
	if err != nil {
		s.p.cfg.Log.InfoContext(ctx, "oidc: who signed in may not do anything here", "error", err)
		return core.Actor{}, &core.Error{Code: CodeNoAccess, Message: "your account is known, but it has no tenant and role here; ask your administrator for them"}
	}
	return actor, nil
}

// exchange gives the claims of the ID token that a code stands for.
func (s *SignIn) exchange(ctx context.Context, d document, code, nonce, verifier string) ([]byte, error) {
	tokens, err := s.oauth(d).Exchange(ctx, code, oauth2.VerifierOption(verifier))
	if refusal, ok := errors.AsType[*oauth2.RetrieveError](err); ok && refusal.Response.StatusCode < http.StatusInternalServerError {
		return nil, s.failed(ctx, "the code was refused", errors.New(refusal.ErrorCode)) // without the body, which may have secrets
	}
	if err != nil {
		return nil, unavailable("tokens", errors.New("they cannot be had"))
	}
	raw, _ := tokens.Extra("id_token").(string)
	if raw == "" {
		return nil, s.failed(ctx, "there is no ID token", nil)
	}
	token, err := d.provider.VerifierContext(ctx, &gooidc.Config{ClientID: s.cfg.ClientID, Now: s.p.cfg.Now}).Verify(ctx, raw)
	if err != nil {
		return nil, s.failed(ctx, "the ID token is not valid", err)
	}
	if subtle.ConstantTimeCompare([]byte(token.Nonce), []byte(nonce)) != 1 {
		return nil, s.failed(ctx, "the ID token is for another sign-in", nil)
	}
	if token.AccessTokenHash != "" {
		if err := token.VerifyAccessToken(tokens.AccessToken); err != nil {
			return nil, s.failed(ctx, "the tokens do not belong together", err)
		}
	}
	var claims json.RawMessage
	var party struct {
		AuthorizedParty string `json:"azp"`
	}
	if err := errors.Join(token.Claims(&claims), token.Claims(&party)); err != nil {
		return nil, s.failed(ctx, "the ID token cannot be read", err)
	}
	if party.AuthorizedParty != "" && party.AuthorizedParty != s.cfg.ClientID {
		return nil, s.failed(ctx, "the ID token was issued to another client", nil)
	}
	return claims, nil
}

// SignOut gives the address at the provider where a person signs out there too, and from
// which they come back; empty if there is none.
func (s *SignIn) SignOut(back string) string {
	d, at, _ := s.p.document.known()
	u, err := url.Parse(d.endSession)
	if at.IsZero() || d.endSession == "" || err != nil {
		return ""
	}
	q := u.Query()
	q.Set("client_id", s.cfg.ClientID)
	if base, err := url.Parse(s.cfg.RedirectURL); err == nil {
		q.Set("post_logout_redirect_uri", base.ResolveReference(&url.URL{Path: back}).String())
	}
	u.RawQuery = q.Encode()
	return u.String()
}

// refused turns the provider's refusal into one of ours. Its words go to the log, since
// anybody can write an address that has them.
func (s *SignIn) refused(ctx context.Context, answer url.Values) error {
	why := answer.Get("error")
	s.p.cfg.Log.InfoContext(ctx, "oidc: the provider let nobody in", "error", bound(why), "description", bound(answer.Get("error_description")))
	switch why {
	case "access_denied", "login_required", "consent_required", "interaction_required", "account_selection_required":
		return &core.Error{Code: CodeDenied, Message: "the sign-in was cancelled, or refused by your identity provider"}
	case "temporarily_unavailable", "server_error":
		return unavailable("sign-in", errors.New("it says so"))
	}
	return &core.Error{Code: CodeFailed, Message: failedWords}
}

const failedWords = "your identity provider did not say who you are in a way that can be trusted; try again, and tell your administrator if it goes on"

// failed logs what is wrong with the provider's answer, for the operator. The person learns
// that it failed.
func (s *SignIn) failed(ctx context.Context, what string, err error) error {
	s.p.cfg.Log.WarnContext(ctx, "oidc: a sign-in failed", "why", what, "error", err)
	return &core.Error{Code: CodeFailed, Message: failedWords}
}

// once gives a parameter that may be there once.
func once(q url.Values, name string) (string, error) {
	if len(q[name]) > 1 {
		return "", fmt.Errorf("%s is there %d times", name, len(q[name]))
	}
	return q.Get(name), nil
}

// bound shortens what anybody can send, for the log.
func bound(text string) string {
	const most = 200
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "…"
	}
	return text
}
