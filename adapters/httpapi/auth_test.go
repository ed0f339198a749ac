package httpapi_test

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/httpapi"
	"github.com/redrive/redrive/core"
)

func TestNewAuth(t *testing.T) {
	t.Parallel()
	for _, length := range []int{0, 1, 31} {
		_, err := httpapi.NewAuth(make([]byte, length))
		require.ErrorContains(t, err, "at least 32")
	}
	for name, secret := range map[string]string{
		"equal letters": strings.Repeat("a", 64), "NULs": strings.Repeat("\x00", 32),
		"blanks": strings.Repeat(" ", 40), "blanks of several kinds": strings.Repeat(" \t\n", 20),
	} {
		_, err := httpapi.NewAuth([]byte(secret))
		require.ErrorContains(t, err, "openssl rand", name)
	}
	_, err := httpapi.NewAuth([]byte(testSecret))
	require.NoError(t, err)
}

func TestWeakSecret(t *testing.T) {
	t.Parallel()
	for secret, says := range map[string]string{
		"changeme-changeme-changeme-changeme":              "changeme",
		"your-256-bit-Secret-goes-in-here":                 "secret",
		"correct horse battery staple and more":            "entropy",
		"abcdefghijklmnopqrstuvwxyzabcdef":                 "entropy",
		"abcdefghijklmnopqrstuvwxyz987654":                 "entropy",
		"xK9!xK9!xK9!xK9!xK9!xK9!xK9!xK9!":                 "4 bytes repeated",
		"8f1d02c37a8f1d02c37a8f1d02c37a8f1d02c3":           "10 bytes repeated",
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab":                 "entropy",
		"aabbaabbbabaabbbaabbabababbaabab":                 "entropy",
		"01010101100101010110010101010110":                 "entropy",
		"                               x":                 "entropy",
		"Tr0ub4dor&3 Tr0ub4dor&3 Tr0ub4dor&3 Tr0ub4dor&3 ": "12 bytes repeated",
	} {
		require.Contains(t, httpapi.WeakSecret([]byte(secret)), says, secret)
	}
	for _, secret := range []string{
		"5f4dcc3b1aa765d61d8327deb882cf99", // openssl rand -hex 16
		"9b2f6c0e1d7a48c3b5e0f1a29d8c7b6412ef90ab34cd56785a6b7c8d9e0f1a2b",
		"Vt3xPz0qkU9dLr2WmYh7Gs5BnCeAf8Jo6IuXvKwQyZM=",
		rand.Text() + rand.Text(),
	} {
		require.Empty(t, httpapi.WeakSecret([]byte(secret)), secret)
	}
}

func TestNewNeedsAuth(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	require.Panics(t, func() { httpapi.New(w.svc, httpapi.Config{}) }, "a server without authentication")
	require.Panics(t, func() { httpapi.New(nil, httpapi.Config{Auth: w.auth}) })
}

func TestTokenRefusesActors(t *testing.T) {
	t.Parallel()
	auth, err := httpapi.NewAuth([]byte(testSecret))
	require.NoError(t, err)
	good := core.Actor{Subject: "ann", Tenant: acme, Role: core.RoleCustomerAdmin}
	for name, change := range map[string]func(*core.Actor){
		"no subject":                func(a *core.Actor) { a.Subject = "" },
		"subject too long":          func(a *core.Actor) { a.Subject = strings.Repeat("s", 256) },
		"subject breaking a line":   func(a *core.Actor) { a.Subject = "a\nb" },
		"unknown role":              func(a *core.Actor) { a.Role = "root" },
		"no tenant":                 func(a *core.Actor) { a.Tenant = "" },
		"tenant that cannot be one": func(a *core.Actor) { a.Tenant = "a/b" },
	} {
		actor := good
		change(&actor)
		_, err := auth.Token(actor, time.Hour)
		require.Error(t, err, name)
	}
	_, err = auth.Token(good, 0)
	require.Error(t, err, "a token that has expired when it is made")
	_, err = auth.Token(good, time.Hour)
	require.NoError(t, err)
}

func TestAuthentication(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	claims := func(change func(jwt.MapClaims)) jwt.MapClaims {
		c := jwt.MapClaims{"sub": "ann", "tenant": "acme", "role": "customer_admin", "exp": time.Now().Add(time.Hour).Unix()}
		change(c)
		return c
	}
	same := func(jwt.MapClaims) {}
	sign := func(method jwt.SigningMethod, secret any, c jwt.MapClaims) string {
		token, err := jwt.NewWithClaims(method, c).SignedString(secret)
		require.NoError(t, err)
		return token
	}
	hs256 := func(change func(jwt.MapClaims)) string {
		return "Bearer " + sign(jwt.SigningMethodHS256, []byte(testSecret), claims(change))
	}
	ask := func(authorization ...string) answer {
		t.Helper()
		req := w.request(call{method: http.MethodGet, path: "/balance"})
		req.Header["Authorization"] = authorization
		return w.exchange(req)
	}

	good := hs256(same)
	require.Equal(t, http.StatusOK, ask(good).status)
	require.Equal(t, http.StatusOK, ask("bearer "+strings.TrimPrefix(good, "Bearer ")).status, "the scheme's case does not matter")
	require.Equal(t, http.StatusOK, ask(hs256(func(c jwt.MapClaims) { c["exp"] = time.Now().Add(-2 * time.Second).Unix() })).status, "clocks may differ a little")
	header, rest, _ := strings.Cut(good, ".")
	payload, signature, _ := strings.Cut(rest, ".")

	for name, bad := range map[string][]string{
		"none":                   nil,
		"empty":                  {""},
		"no token":               {"Bearer"},
		"no scheme":              {strings.TrimPrefix(good, "Bearer ")},
		"another scheme":         {"Basic YTpi"},
		"two tokens":             {good, good},
		"garbage":                {"Bearer garbage"},
		"far too long":           {"Bearer " + strings.Repeat("a", 10_000)},
		"another secret":         {"Bearer " + sign(jwt.SigningMethodHS256, []byte("another secret of as many bytes as that"), claims(same))},
		"HS512":                  {"Bearer " + sign(jwt.SigningMethodHS512, []byte(testSecret), claims(same))},
		"alg none":               {"Bearer " + sign(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, claims(same))},
		"no signature":           {header + "." + payload + "."},
		"another payload":        {header + "." + strings.Replace(payload, "e", "f", 1) + "." + signature},
		"no expiry":              {hs256(func(c jwt.MapClaims) { delete(c, "exp") })},
		"expired":                {hs256(func(c jwt.MapClaims) { c["exp"] = time.Now().Add(-time.Minute).Unix() })},
		"not yet valid":          {hs256(func(c jwt.MapClaims) { c["nbf"] = time.Now().Add(time.Hour).Unix() })},
		"no subject":             {hs256(func(c jwt.MapClaims) { delete(c, "sub") })},
		"no tenant":              {hs256(func(c jwt.MapClaims) { delete(c, "tenant") })},
		"a tenant that is none":  {hs256(func(c jwt.MapClaims) { c["tenant"] = "a/b" })},
		"no role":                {hs256(func(c jwt.MapClaims) { delete(c, "role") })},
		"unknown role":           {hs256(func(c jwt.MapClaims) { c["role"] = "root" })},
		"a role of another type": {hs256(func(c jwt.MapClaims) { c["role"] = 1 })},
	} {
		got := ask(bad...)
		require.Equal(t, http.StatusUnauthorized, got.status, name)
		require.Equal(t, "unauthenticated", got.str("code"), name)
		challenge := got.header.Get("WWW-Authenticate")
		require.True(t, strings.HasPrefix(challenge, `Bearer realm="redrive"`), challenge)
		require.Equal(t, name == "expired", strings.Contains(challenge, "expired"), name)
		require.Equal(t, name == "far too long", strings.Contains(challenge, "too long"), name)
		require.Equal(t, name == "far too long", strings.Contains(got.text(), "10000 bytes"), name)
		for _, value := range bad {
			if _, token, ok := strings.Cut(value, " "); ok {
				require.NotContains(t, got.text(), token)
				require.NotContains(t, w.logs.String(), token, "a token is in the log")
			}
		}
	}
}

// Tokens that are signed with the right key and whose claims are ambiguous, have no
// meaning, or are meant for another service.
func TestAmbiguousTokens(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const goodHeader = `{"alg":"HS256","typ":"JWT"}`
	exp := strconv.FormatInt(time.Now().Add(time.Hour).Unix(), 10)
	with := func(more string) string {
		return `{"sub":"ann","tenant":"acme","role":"customer_user","exp":` + exp + more + `}`
	}
	expires := func(instead string) string { return strings.Replace(with(""), `"exp":`+exp, `"exp":`+instead, 1) }
	sign := func(header, payload string) string {
		encode := base64.RawURLEncoding.EncodeToString
		signed := encode([]byte(header)) + "." + encode([]byte(payload))
		mac := hmac.New(sha256.New, []byte(testSecret))
		mac.Write([]byte(signed))
		return signed + "." + encode(mac.Sum(nil))
	}
	ask := func(header, payload string) answer { return w.get(sign(header, payload), "/balance") }

	for name, payload := range map[string]string{
		"Plain":                with(""),
		"ClaimsOfOthers":       with(`,"iss":"idp","jti":"1","name":"Ann","groups":["a","a"],"x":{"Role":"bubble_admin"}`),
		"Fractions":            with(`,"iat":1700000000.25,"nbf":1.7e9`),
		"EscapedName":          strings.Replace(with(""), `"role"`, `"\u0072ole"`, 1),
		"BlanksBetween":        " " + with(" ") + "\n",
		"NamesThatAreNotCased": with(`,"roles":["x"],"subject":"y"`),
	} {
		got := ask(goodHeader, payload)
		require.Equal(t, http.StatusOK, got.status, "%s: %s", name, got.text())
	}
	for _, header := range []string{`{"alg":"HS256"}`, `{"alg":"HS256","typ":"at+jwt","kid":"1"}`} {
		require.Equal(t, http.StatusOK, ask(header, with("")).status, header)
	}

	for name, payload := range map[string]string{
		"RoleInAnotherCase":   with(`,"Role":"bubble_admin"`),
		"RoleInCapitals":      with(`,"ROLE":"bubble_admin"`),
		"RoleInThatCaseAlone": strings.Replace(with(""), `"role"`, `"Role"`, 1),
		"RoleTwice":           with(`,"role":"bubble_admin"`),
		"RoleTwiceTheSame":    with(`,"role":"customer_user"`),
		"RoleTwiceEscaped":    with(`,"r\u006fle":"bubble_admin"`),
		"TenantInAnotherCase": with(`,"Tenant":"globex"`),
		"TenantTwice":         with(`,"tenant":"globex"`),
		"SubjectTwice":        with(`,"sub":"bob"`),
		"LongS":               with(`,"\u017fub":"bob"`), // it folds to s
		"ExpiryTwice":         with(`,"exp":1`),
		"ExpiryInAnotherCase": with(`,"Exp":1`),
		"TwiceInside":         with(`,"x":{"a":1,"a":2}`),
		"TwiceDeepInside":     with(`,"x":[{"y":{"a":1,"a":2}}]`),
		"RoleList":            strings.Replace(with(""), `"customer_user"`, `["customer_user"]`, 1),
		"RoleNull":            strings.Replace(with(""), `"customer_user"`, `null`, 1),
		"RoleObject":          strings.Replace(with(""), `"customer_user"`, `{"role":"customer_user"}`, 1),
		"TenantNumber":        strings.Replace(with(""), `"acme"`, `1`, 1),
		"SubjectSurrogate":    strings.Replace(with(""), `"ann"`, `"\ud800"`, 1),
		"SubjectNotUTF8":      strings.Replace(with(""), `"ann"`, "\"a\xff\"", 1),
		"ExpiryText":          expires(`"` + exp + `"`),
		"ExpiryNull":          expires(`null`),
		"ExpiryList":          expires(`[` + exp + `]`),
		"ExpiryTrue":          expires(`true`),
		"ExpiryHuge":          expires(`1e300`),
		"ExpiryAboveFloats":   expires(`1e400`),
		"ExpiryAboveInt64":    expires(`9223372036854775808`),
		"ExpiryMillis":        expires(`` + exp + `000`),
		"ExpiryNegative":      expires(`-1`),
		"ExpiryNaN":           expires(`NaN`),
		"ExpiryInfinity":      expires(`Infinity`),
		"FromText":            with(`,"nbf":"0"`),
		"FromNegative":        with(`,"nbf":-1e10`),
		"IssuedText":          with(`,"iat":"now"`),
		"IssuedHuge":          with(`,"iat":1e300`),
		"IssuedNull":          with(`,"iat":null`),
		"ForOthers":           with(`,"aud":"another-service"`),
		"ForSeveralOthers":    with(`,"aud":["a","b"]`),
		"ForNothing":          with(`,"aud":""`),
		"ForNoOne":            with(`,"aud":[]`),
		"ForNull":             with(`,"aud":null`),
		"AudienceOtherCase":   with(`,"Aud":"x"`),
		"List":                `[` + with("") + `]`,
		"Null":                `null`,
		"TwoObjects":          with("") + with(""),
		"Empty":               ``,
	} {
		got := ask(goodHeader, payload)
		require.Equal(t, http.StatusUnauthorized, got.status, "%s: %s", name, got.text())
		require.NotContains(t, got.text(), "customer_user", name)
	}
	for name, header := range map[string]string{
		"Critical":          `{"alg":"HS256","crit":["exp"]}`,
		"CriticalEmpty":     `{"alg":"HS256","crit":[]}`,
		"CriticalOtherCase": `{"alg":"HS256","Crit":["x"]}`,
		"NotBase64":         `{"alg":"HS256","b64":false,"crit":["b64"]}`,
		"Packed":            `{"alg":"HS256","zip":"DEF"}`,
		"AlgorithmTwice":    `{"alg":"none","alg":"HS256"}`,
		"AlgorithmCase":     `{"Alg":"none","alg":"HS256"}`,
		"AlgorithmList":     `{"alg":["HS256"]}`,
		"None":              `{"alg":"none"}`,
		"NoneInCapitals":    `{"alg":"NONE"}`,
		"Another":           `{"alg":"HS384"}`,
		"TwiceInside":       `{"alg":"HS256","x":{"a":1,"a":2}}`,
		"Nothing":           `{}`,
		"List":              `["HS256"]`,
	} {
		require.Equal(t, http.StatusUnauthorized, ask(header, with("")).status, name)
	}

	token := sign(goodHeader, with(""))
	last := token[len(token)-1]
	// 256 bits leave two bits of the last letter unused: another letter would do.
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	other := token[:len(token)-1] + string(alphabet[strings.IndexByte(alphabet, last)|1])
	require.Equal(t, http.StatusUnauthorized, w.get(other, "/balance").status, "one token has one spelling")
}

// With an audience of our own, tokens have to name it.
func TestAudience(t *testing.T) {
	t.Parallel()
	auth, err := httpapi.NewAuth([]byte(testSecret), httpapi.WithAudience("redrive-eu"))
	require.NoError(t, err)
	w := newWorld(t, func(o *options) { o.auth = auth })
	claims := jwt.MapClaims{"sub": "ann", "tenant": "acme", "role": "customer_user", "exp": time.Now().Add(time.Hour).Unix()}
	ask := func(audience any) int {
		delete(claims, "aud")
		if audience != nil {
			claims["aud"] = audience
		}
		token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString([]byte(testSecret))
		require.NoError(t, err)
		return w.get(token, "/balance").status
	}
	require.Equal(t, http.StatusOK, ask("redrive-eu"))
	require.Equal(t, http.StatusOK, ask([]string{"others", "redrive-eu"}))
	for _, other := range []any{nil, "", "redrive", "Redrive-EU", []string{}, []string{"redrive"}, 1, []any{1, "redrive-eu"}, map[string]any{"redrive-eu": 1}} {
		require.Equal(t, http.StatusUnauthorized, ask(other), "%v", other)
	}
	token, err := auth.Token(core.Actor{Subject: "x", Tenant: acme, Role: core.RoleCustomerUser}, time.Minute)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, w.get(token, "/balance").status, "tokens that are made here name it")
}

// Who may do what, through every route; the state is compared after each refusal.
func TestRoles(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	done, failed := w.closed("a"), w.closed("fail-a")
	for _, c := range []struct {
		method, path string
		body         any
		user, admin  int
		stranger     int
	}{
		{"GET", "/workflow-runs", nil, 200, 200, 200},
		{"GET", "/workflow-runs?tenant=acme", nil, 200, 200, 403},
		{"GET", "/workflow-runs/" + done, nil, 200, 200, 403},
		{"GET", "/workflow-runs/" + done + "/files", nil, 200, 200, 403},
		{"GET", "/workflow-runs/" + done + "/receipt", nil, 200, 200, 403},
		{"GET", "/workflow-runs/" + failed + "/retry-failed", nil, 403, 200, 403},
		{"POST", "/workflow-runs/" + failed + "/retry-failed", nil, 403, 0, 403},
		{"POST", "/workflow-runs/" + done + "/cancel", nil, 403, 409, 403},
		{"PATCH", "/workflow-runs/" + failed, map[string]any{"maxRetryCount": 5}, 403, 403, 403},
		{"POST", "/workflow-runs?tenant=acme", inline("unknown", "a"), 404, 404, 403},
		{"POST", "/workflow-runs?tenant=acme", "not even JSON", 400, 400, 403}, // a stranger's upload is not read
		{"GET", "/balance?tenant=acme", nil, 200, 200, 403},
		{"GET", "/templates?tenant=acme", nil, 200, 200, 403},
		{"GET", "/templates/summarise?tenant=acme", nil, 200, 200, 403},
		{"GET", "/templates/summarise", nil, 200, 200, 404},
		{"POST", "/templates", "not even JSON", 403, 403, 403},
		{"PATCH", "/templates/summarise?tenant=acme", "not even JSON", 403, 403, 403},
		{"DELETE", "/templates/summarise?tenant=acme", nil, 403, 403, 403},
		{"POST", "/templates/summarise/publish?tenant=acme", nil, 403, 403, 403},
		{"GET", "/tenants", nil, 403, 403, 403},
		{"POST", "/tenants", "not even JSON", 403, 403, 403},
		{"GET", "/tenants/acme", nil, 200, 200, 403},
		{"GET", "/tenants/unknown", nil, 403, 403, 403},
		{"GET", "/tenants/acme/ledger", nil, 200, 200, 403},
		{"POST", "/tenants/acme/allowances", map[string]any{"period": "2026-11", "amount": 1}, 403, 403, 403},
		{"POST", "/tenants/acme/purchases", map[string]any{"amount": 1}, 403, 403, 403},
	} {
		for token, status := range map[string]int{w.user: c.user, w.admin: c.admin, w.stranger: c.stranger} {
			if status == 0 {
				continue // it succeeds, which other tests look at
			}
			before := w.state()
			got := w.write(c.method, token, c.path, c.body)
			require.Equal(t, status, got.status, "%s %s: %s", c.method, c.path, got.text())
			require.Equal(t, before, w.state())
			if token == w.stranger && status == http.StatusForbidden {
				require.Contains(t, []string{"wrong_tenant", "role_not_allowed"}, got.str("code"))
				require.NotContains(t, strings.ReplaceAll(got.text(), got.str("instance"), ""), "acme", c.path)
			}
		}
	}
}
