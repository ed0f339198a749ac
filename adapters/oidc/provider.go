package oidc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	gooidc "github.com/coreos/go-oidc/v3/oidc"
)

// Config names a provider.
type Config struct {
	// Issuer is the provider's address: tokens have it as iss, and its document is below it
	// at /.well-known/openid-configuration. Empty: there is only JWKS.
	Issuer string
	// JWKS is the address of the provider's keys; empty: the one that its document names.
	JWKS string

	Transport http.RoundTripper // nil: http.DefaultTransport
	Now       func() time.Time  // nil: time.Now
	Log       *slog.Logger      // nil: slog.Default()
}

func (c Config) withDefaults() (Config, error) {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.Issuer == "" && c.JWKS == "" {
		return c, errors.New("the address of an issuer, or of its keys, is required")
	}
	for _, address := range []string{c.Issuer, c.JWKS} {
		if address == "" {
			continue
		}
		if err := CheckAddress(address); err != nil {
			return c, err
		}
	}
	return c, nil
}

// CheckAddress refuses an address of a provider that anybody on the way could answer for:
// https is required, except to this machine.
func CheckAddress(address string) error {
	u, err := url.Parse(address)
	switch {
	case err != nil || u.Host == "" || u.User != nil || u.Fragment != "":
		return fmt.Errorf("%q is no address", address)
	case u.Scheme == "https", u.Scheme == "http" && loopback(u.Host):
		return nil
	}
	return fmt.Errorf("%q must begin with https://: who can answer in the provider's place can sign in as anybody", address)
}

// loopback reports whether a host is this machine.
func loopback(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil && ip.IsLoopback()
}

// Provider is an OpenID Connect provider, or any issuer of tokens that publishes its keys.
type Provider struct {
	cfg      Config
	client   *http.Client
	document *fetched[document] // nil without an issuer
	keys     *fetched[keySet]
}

// document is what is needed of the provider's document.
type document struct {
	provider   *gooidc.Provider
	jwks       string
	endSession string
	names      bool // its answers name it (RFC 9207)
}

// New makes a Provider. Nothing is fetched yet.
func New(cfg Config) (*Provider, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	p := &Provider{cfg: cfg, client: client(cfg.Transport)}
	if cfg.Issuer != "" {
		p.document = newFetched("document", cfg.Now, cfg.Log, p.discover)
	}
	p.keys = newFetched("keys", cfg.Now, cfg.Log, p.fetchKeys)
	return p, nil
}

// Issuer is the issuer that its tokens name; empty if it is known by its keys alone.
func (p *Provider) Issuer() string { return p.cfg.Issuer }

// documentAge is for how long a document is good while its provider answers.
const documentAge = 24 * time.Hour

// described gives the provider's document, from the cache or from the provider.
func (p *Provider) described(ctx context.Context) (document, error) {
	d, at, _ := p.document.known()
	if at.IsZero() || p.cfg.Now().Sub(at) > documentAge {
		p.document.refresh(ctx)
		var failed error
		if d, at, failed = p.document.known(); at.IsZero() {
			return document{}, unavailable("document", failed)
		}
	}
	return d, nil
}

// discover fetches the document. Its addresses are followed, and so are held to the same
// rule as the configured one.
func (p *Provider) discover(ctx context.Context) (document, error) {
	provider, err := gooidc.NewProvider(gooidc.ClientContext(ctx, p.client), p.cfg.Issuer)
	if err != nil {
		return document{}, err
	}
	var more struct {
		JWKS       string `json:"jwks_uri"`
		EndSession string `json:"end_session_endpoint"`
		Names      bool   `json:"authorization_response_iss_parameter_supported"`
	}
	if err := provider.Claims(&more); err != nil {
		return document{}, err
	}
	for name, address := range map[string]string{
		"jwks_uri": more.JWKS, "authorization_endpoint": provider.Endpoint().AuthURL, "token_endpoint": provider.Endpoint().TokenURL,
	} {
		if err := CheckAddress(address); err != nil {
			return document{}, fmt.Errorf("%s: %w", name, err)
		}
	}
	if more.EndSession != "" && CheckAddress(more.EndSession) != nil {
		more.EndSession = ""
	}
	return document{provider: provider, jwks: more.JWKS, endSession: more.EndSession, names: more.Names}, nil
}
