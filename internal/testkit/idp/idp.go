// Package idp is an OpenID Connect provider for tests: it signs with real keys, over HTTP,
// and does wrong what a test wants it to do wrong.
package idp

import (
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"
)

// Key is one of the provider's keys.
type Key struct {
	ID      string
	Alg     string // such as RS256
	Private crypto.Signer
}

// Provider is a running provider. Set its fields before it is used, or under Do.
type Provider struct {
	URL    string // the issuer
	Client string // the one client that it knows
	Secret string
	Back   string // the one address that it sends a browser back to

	// Claims are those of the person who signs in, beside those of the protocol.
	Claims map[string]any
	// Refuse is the error that it answers instead of a code; "" for none.
	Refuse string
	// Change changes the claims of an ID token before it is signed; nil: as they are.
	Change func(claims jwt.MapClaims)
	// Ask shows a page with a button, as a provider does; else the browser is sent back at
	// once.
	Ask bool

	mu      sync.Mutex
	down    bool
	keys    []Key
	hidden  map[string]bool // keys that are not published
	codes   map[string]request
	fetches int // of keys
	outs    int // sign-outs
}

// request is one that a browser came with.
type request struct {
	challenge, nonce string
}

// Start starts a provider with these keys; the last one signs.
func Start(t testing.TB, keys ...Key) *Provider {
	t.Helper()
	p := &Provider{Client: "redrive", Secret: rand.Text(), keys: keys, codes: map[string]request{}, hidden: map[string]bool{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", p.configuration)
	mux.HandleFunc("GET /keys", p.publish)
	mux.HandleFunc("GET /authorize", p.authorize)
	mux.HandleFunc("GET /go", p.sendBack)
	mux.HandleFunc("POST /token", p.token)
	mux.HandleFunc("GET /sign-out", p.signOut)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.down {
			http.Error(w, "down", http.StatusServiceUnavailable)
			return
		}
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	p.URL = server.URL
	return p
}

// Do changes the provider while it runs.
func (p *Provider) Do(change func(*Provider)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(p)
}

// Down makes it answer 503 to everything, or ends that.
func (p *Provider) Down(down bool) { p.Do(func(p *Provider) { p.down = down }) }

// Add adds a key, which signs from now on; it is published at once unless hidden.
func (p *Provider) Add(key Key, hidden bool) {
	p.Do(func(p *Provider) {
		p.keys = append(p.keys, key)
		p.hidden[key.ID] = hidden
	})
}

// Remove takes a key back.
func (p *Provider) Remove(id string) {
	p.Do(func(p *Provider) {
		kept := []Key{}
		for _, k := range p.keys {
			if k.ID != id {
				kept = append(kept, k)
			}
		}
		p.keys = kept
	})
}

// Fetches is how often its keys were fetched.
func (p *Provider) Fetches() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.fetches
}

// SignOuts is how many people have signed out.
func (p *Provider) SignOuts() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.outs
}

// Sign signs claims with a key.
func Sign(t testing.TB, key Key, claims jwt.MapClaims) string {
	t.Helper()
	signed, err := sign(key, claims)
	require.NoError(t, err)
	return signed
}

func sign(key Key, claims jwt.MapClaims) (string, error) {
	token := jwt.NewWithClaims(jwt.GetSigningMethod(key.Alg), claims)
	token.Header["kid"] = key.ID
	return token.SignedString(key.Private)
}

func (p *Provider) configuration(w http.ResponseWriter, _ *http.Request) {
	algs := []string{}
	for _, k := range p.keys {
		algs = append(algs, k.Alg)
	}
	answer(w, map[string]any{
		"issuer": p.URL, "jwks_uri": p.URL + "/keys", "authorization_endpoint": p.URL + "/authorize", "token_endpoint": p.URL + "/token",
		"end_session_endpoint": p.URL + "/sign-out", "id_token_signing_alg_values_supported": algs,
		"authorization_response_iss_parameter_supported": true,
	})
}

func (p *Provider) publish(w http.ResponseWriter, _ *http.Request) {
	p.fetches++
	set := []any{map[string]any{"kty": "oct", "kid": "secret", "alg": "HS256", "k": "AAAA"}, map[string]any{"kty": "new-kind"}}
	for _, k := range p.keys {
		// A private key, which must not be there and so is good for nothing.
		set = append(set, jose.JSONWebKey{Key: k.Private, KeyID: "private-" + k.ID, Algorithm: k.Alg, Use: "sig"})
		if !p.hidden[k.ID] {
			set = append(set, jose.JSONWebKey{Key: k.Private.Public(), KeyID: k.ID, Algorithm: k.Alg, Use: "sig"})
		}
	}
	answer(w, map[string]any{"keys": set})
}

func (p *Provider) authorize(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if q.Get("client_id") != p.Client || q.Get("redirect_uri") != p.Back || q.Get("response_type") != "code" ||
		q.Get("code_challenge_method") != "S256" || q.Get("code_challenge") == "" || q.Get("state") == "" || q.Get("nonce") == "" {
		http.Error(w, "bad request: "+r.URL.RawQuery, http.StatusBadRequest)
		return
	}
	to := url.Values{"state": {q.Get("state")}, "iss": {p.URL}}
	if p.Refuse != "" {
		to.Set("error", p.Refuse)
	} else {
		code := rand.Text()
		p.codes[code] = request{challenge: q.Get("code_challenge"), nonce: q.Get("nonce")}
		to.Set("code", code)
	}
	if p.Ask {
		w.Header().Set("Content-Type", "text/html")
		_, _ = fmt.Fprintf(w, `<!doctype html><title>Provider</title><a id="go" href="/go?%s">Sign in as Ann</a>`, to.Encode())
		return
	}
	http.Redirect(w, r, p.Back+"?"+to.Encode(), http.StatusFound)
}

func (p *Provider) sendBack(w http.ResponseWriter, r *http.Request) {
	http.Redirect(w, r, p.Back+"?"+r.URL.RawQuery, http.StatusFound)
}

func (p *Provider) token(w http.ResponseWriter, r *http.Request) {
	id, secret, basic := r.BasicAuth()
	if !basic {
		id, secret = r.FormValue("client_id"), r.FormValue("client_secret")
	}
	asked, known := p.codes[r.FormValue("code")]
	delete(p.codes, r.FormValue("code"))
	sum := sha256.Sum256([]byte(r.FormValue("code_verifier")))
	if !known || id != p.Client || secret != p.Secret || r.FormValue("redirect_uri") != p.Back ||
		base64.RawURLEncoding.EncodeToString(sum[:]) != asked.challenge {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusBadRequest)
		_, _ = fmt.Fprint(w, `{"error":"invalid_grant","error_description":"with a secret in it"}`)
		return
	}
	claims := jwt.MapClaims{
		"iss": p.URL, "aud": p.Client, "nonce": asked.nonce, "iat": time.Now().Unix(), "exp": time.Now().Add(5 * time.Minute).Unix(),
	}
	maps.Copy(claims, p.Claims)
	if p.Change != nil {
		p.Change(claims)
	}
	signed, err := sign(p.keys[len(p.keys)-1], claims)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	answer(w, map[string]any{"access_token": "opaque", "token_type": "Bearer", "expires_in": 300, "id_token": signed})
}

func (p *Provider) signOut(w http.ResponseWriter, r *http.Request) {
	p.outs++
	http.Redirect(w, r, r.URL.Query().Get("post_logout_redirect_uri"), http.StatusFound)
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // a test whose client is gone has ended
}
