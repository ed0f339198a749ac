package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"

	"github.com/redrive/redrive/adapters/httpapi"
	"github.com/redrive/redrive/adapters/oidc"
	"github.com/redrive/redrive/adapters/webui"
	"github.com/redrive/redrive/core"
)

// tokenFlags say how tokens are signed and what is in them. Secrets never appear in logs.
type tokenFlags struct {
	JWTSecret   string `group:"signin" secret:"" env:"REDRIVE_JWT_SECRET" placeholder:"SECRET" help:"Secret that signs bearer tokens (HS256), 32 bytes or more."`
	JWTSecrets  string `group:"signin" secret:"" env:"REDRIVE_JWT_SECRETS" placeholder:"SECRETS" help:"More secrets, separated by commas or blanks: tokens signed with any of them are accepted, and the first one signs if there is no --jwt-secret. So a secret can be changed while servers run."`
	JWTAudience string `group:"signin" env:"REDRIVE_JWT_AUDIENCE" placeholder:"NAME" help:"Name of this service, which the aud claim of every token must have. Without it, tokens with an aud claim are refused."`
	JWTIssuer   string `group:"signin" env:"REDRIVE_JWT_ISSUER" placeholder:"NAME" help:"What the iss claim of every token must be. Tokens of --oidc-issuer name that one instead."`

	JWTSubjectClaim string `group:"signin" env:"REDRIVE_JWT_SUBJECT_CLAIM" default:"sub" placeholder:"CLAIM" help:"Claim that says who it is. A claim inside others is named by a JSON Pointer, as /organization/id."`
	JWTTenantClaim  string `group:"signin" env:"REDRIVE_JWT_TENANT_CLAIM" default:"tenant" placeholder:"CLAIM" help:"Claim that has the tenant."`
	JWTRoleClaim    string `group:"signin" env:"REDRIVE_JWT_ROLE_CLAIM" default:"role" placeholder:"CLAIM" help:"Claim that has the role, or a list of roles, such as /realm_access/roles."`
	JWTRoles        string `group:"signin" env:"REDRIVE_JWT_ROLES" placeholder:"VALUE=ROLE,…" help:"What the values of the role claim mean: admins=customer_admin,users=customer_user. All others then mean nothing. Without it the values are the names of the roles."`
}

// secrets are all of them, the one that signs first.
func (f tokenFlags) secrets() [][]byte {
	var all [][]byte
	if f.JWTSecret != "" {
		all = append(all, []byte(f.JWTSecret))
	}
	for s := range strings.FieldsFuncSeq(f.JWTSecrets, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' || r == '\n' }) {
		all = append(all, []byte(s))
	}
	return all
}

// auth checks the secrets and gives the Auth that makes and reads tokens with them.
func (f tokenFlags) auth(more ...httpapi.AuthOption) (*httpapi.Auth, error) {
	roles, err := rolesOf(f.JWTRoles)
	if err != nil {
		return nil, fmt.Errorf("--jwt-roles (REDRIVE_JWT_ROLES): %w", err)
	}
	options := append([]httpapi.AuthOption{
		httpapi.WithAudience(f.JWTAudience), httpapi.WithIssuer(f.JWTIssuer),
		httpapi.WithClaims(httpapi.Claims{Subject: f.JWTSubjectClaim, Tenant: f.JWTTenantClaim, Role: f.JWTRoleClaim, Roles: roles}),
	}, more...)
	secrets := f.secrets()
	var first []byte
	if len(secrets) > 0 {
		first = secrets[0]
		options = append(options, httpapi.WithMoreSecrets(secrets[1:]...))
	}
	auth, err := httpapi.NewAuth(first, options...)
	if err != nil {
		return nil, fmt.Errorf("--jwt-secret, --jwt-secrets (REDRIVE_JWT_SECRET, REDRIVE_JWT_SECRETS) and the settings of tokens: %w", err)
	}
	return auth, nil
}

// rolesOf reads VALUE=ROLE,VALUE=ROLE. A value may have equals signs, and no comma.
func rolesOf(text string) (map[string]core.Role, error) {
	if text == "" {
		return nil, nil //nolint:nilnil // no translation
	}
	roles := map[string]core.Role{}
	for pair := range strings.SplitSeq(text, ",") {
		at := strings.LastIndexByte(pair, '=')
		if at < 1 {
			return nil, fmt.Errorf("%q is not of the form VALUE=ROLE", pair)
		}
		value, role := strings.TrimSpace(pair[:at]), core.Role(strings.TrimSpace(pair[at+1:]))
		if _, twice := roles[value]; twice || !role.Valid() {
			return nil, fmt.Errorf("%q: a value means one of bubble_admin, customer_admin and customer_user", pair)
		}
		roles[value] = role
	}
	return roles, nil
}

// signInFlags name the identity provider.
type signInFlags struct {
	OIDCIssuer       string `group:"signin" name:"oidc-issuer" env:"REDRIVE_OIDC_ISSUER" placeholder:"URL" help:"OpenID Connect provider whose tokens are accepted; its keys are found from there."`
	JWKSURL          string `group:"signin" name:"jwks-url" env:"REDRIVE_JWKS_URL" placeholder:"URL" help:"Keys that sign tokens, of an issuer that is no OpenID Connect provider; --jwt-issuer names it."`
	OIDCClientID     string `group:"signin" name:"oidc-client-id" env:"REDRIVE_OIDC_CLIENT_ID" placeholder:"ID" help:"This service as --oidc-issuer knows it. With it, people sign in to the page with the provider."`
	OIDCClientSecret string `group:"signin" name:"oidc-client-secret" secret:"" env:"REDRIVE_OIDC_CLIENT_SECRET" placeholder:"SECRET" help:"Its secret, unless it is a public client."`
	OIDCRedirectURL  string `group:"signin" name:"oidc-redirect-url" env:"REDRIVE_OIDC_REDIRECT_URL" placeholder:"URL" help:"Where the provider sends a browser back to: the page's public address with /ui/sign-in/oidc/callback."`
	OIDCScopes       string `group:"signin" name:"oidc-scopes" env:"REDRIVE_OIDC_SCOPES" default:"profile" placeholder:"SCOPES" help:"Scopes to ask for beside openid, separated by blanks."`
	OIDCName         string `group:"signin" name:"oidc-name" env:"REDRIVE_OIDC_NAME" placeholder:"NAME" help:"What the page calls the provider. Default: its host."`
}

// provider gives the identity provider; nil if none is configured.
func (f signInFlags) provider(log *slog.Logger) (*oidc.Provider, error) {
	if f.OIDCIssuer == "" && f.JWKSURL == "" {
		return nil, nil //nolint:nilnil // none
	}
	return oidc.New(oidc.Config{Issuer: f.OIDCIssuer, JWKS: f.JWKSURL, Log: log})
}

// authentication makes what reads bearer tokens, and the sign-in with the provider, which is
// nil if there is none.
func (c *serveCmd) authentication(log *slog.Logger) (*httpapi.Auth, webui.Provider, error) {
	provider, err := c.provider(log)
	if err != nil {
		return nil, nil, err
	}
	var options []httpapi.AuthOption
	if provider != nil {
		issuer := c.OIDCIssuer
		if issuer == "" {
			issuer = c.JWTIssuer
		}
		options = append(options, httpapi.WithKeys(issuer, provider))
	}
	auth, err := c.auth(options...)
	if err != nil || c.OIDCClientID == "" {
		return auth, nil, err
	}
	signIn, err := oidc.NewSignIn(provider, oidc.SignInConfig{
		ClientID: c.OIDCClientID, ClientSecret: c.OIDCClientSecret, RedirectURL: c.OIDCRedirectURL,
		Scopes: strings.Fields(c.OIDCScopes), Actor: auth.ActorOf,
	})
	return auth, signIn, err
}

// checkSignIn says what is wrong with how people and programs sign in.
func (c *serveCmd) checkSignIn(named func(field any) string) (wrong []error) {
	add := func(format string, args ...any) { wrong = append(wrong, fmt.Errorf(format, args...)) }
	secrets, issuer := c.secrets(), c.OIDCIssuer != "" || c.JWKSURL != ""
	if len(secrets) == 0 && !issuer && !c.Demo {
		wrong = append(wrong, errors.New("set REDRIVE_JWT_SECRET to a secret of 32 bytes or more (for example from 'openssl rand -hex 32'), or REDRIVE_OIDC_ISSUER to who makes your tokens, or try it with --demo"))
	}
	for i, secret := range secrets {
		if why := httpapi.WeakSecret(secret); why != "" && len(secret) >= httpapi.MinSecretBytes && !loopback(c.Listen) {
			add("secret %d of REDRIVE_JWT_SECRET and REDRIVE_JWT_SECRETS may be guessed (%s), and with it anyone who reaches %q can sign tokens for any user; make one with 'openssl rand -hex 32'",
				i+1, why, c.Listen)
		}
	}
	if c.OIDCIssuer != "" && c.JWKSURL != "" {
		add("%s finds its keys by itself; leave out %s", named(&c.OIDCIssuer), named(&c.JWKSURL))
	}
	if issuer && c.JWTAudience == "" {
		add("set %s to the name that the issuer's tokens for this service have as aud: it makes tokens for others too", named(&c.JWTAudience))
	}
	if c.JWKSURL != "" && c.JWTIssuer == "" {
		add("set %s to the iss of the tokens that the keys of %s sign", named(&c.JWTIssuer), named(&c.JWKSURL))
	}
	for _, address := range []*string{&c.OIDCIssuer, &c.JWKSURL, &c.OIDCRedirectURL} {
		if *address != "" {
			if err := oidc.CheckAddress(*address); err != nil {
				add("%s: %w", named(address), err)
			}
		}
	}
	switch {
	case c.OIDCClientID == "":
		for _, other := range []*string{&c.OIDCClientSecret, &c.OIDCRedirectURL} {
			if *other != "" {
				add("%s has no effect without %s", named(other), named(&c.OIDCClientID))
			}
		}
	case c.OIDCIssuer == "":
		add("%s needs %s", named(&c.OIDCClientID), named(&c.OIDCIssuer))
	default:
		if u, err := url.Parse(c.OIDCRedirectURL); err != nil || u.Path != webui.ProviderCallback {
			add("%s must be the public address of the page with %s", named(&c.OIDCRedirectURL), webui.ProviderCallback)
		}
	}
	return wrong
}

// providerName is what the page calls the provider.
func (f signInFlags) providerName() string {
	if f.OIDCName != "" {
		return f.OIDCName
	}
	u, err := url.Parse(f.OIDCIssuer)
	if err != nil {
		return f.OIDCIssuer
	}
	return u.Host
}
