package main

import (
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The API and the page share the limits of a caller, and wrong credentials are bounded at
// both doors.
func TestRateLimits(t *testing.T) {
	t.Parallel()
	p := start(t, "--demo", "--max-credential-requests=4", "--max-failed-logins=3", "--trusted-proxies=127.0.0.0/8")
	for range 2 {
		status, _ := p.call(t, demoAdmin, http.MethodGet, "/balance", "")
		require.Equal(t, http.StatusOK, status)
	}
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	browser := &http.Client{Jar: jar}
	post := func(path string, form url.Values, from string) *http.Response {
		req, err := http.NewRequest(http.MethodPost, p.url+path, strings.NewReader(form.Encode()))
		require.NoError(t, err)
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("X-Forwarded-For", from)
		res, err := browser.Do(req)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		return res
	}
	require.Equal(t, http.StatusOK, post("/ui/sign-in", url.Values{"token": {p.token(t, demoAdmin)}}, "192.0.2.7").StatusCode)
	var res *http.Response
	for range 2 {
		res, err = browser.Get(p.url + "/ui/runs")
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
	}
	require.Equal(t, http.StatusTooManyRequests, res.StatusCode)
	require.NotEmpty(t, res.Header.Get("Retry-After"))
	status, answer := p.call(t, demoAdmin, http.MethodGet, "/balance", "")
	require.Equal(t, http.StatusTooManyRequests, status)
	require.Equal(t, "rate_limited", answer["code"])

	browser.Jar = nil
	for range 3 {
		require.Equal(t, http.StatusUnprocessableEntity, post("/ui/sign-in", url.Values{"token": {"guess"}}, "192.0.2.8").StatusCode)
	}
	require.Equal(t, http.StatusTooManyRequests, post("/ui/sign-in", url.Values{"token": {"guess"}}, "192.0.2.8").StatusCode)
	require.Equal(t, http.StatusUnprocessableEntity, post("/ui/sign-in", url.Values{"token": {"guess"}}, "192.0.2.9").StatusCode)
}

// Headers that are too long are refused, and shorter ones are not. net/http leaves a margin.
func TestHeaderLimit(t *testing.T) {
	t.Parallel()
	p := start(t, "--demo")
	for n, want := range map[int]int{28 << 10: http.StatusOK, 33 << 10: http.StatusRequestHeaderFieldsTooLarge} {
		req, err := http.NewRequest(http.MethodGet, p.url+"/healthz", nil)
		require.NoError(t, err)
		req.Header.Set("X-Long", strings.Repeat("x", n))
		res, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		require.Equal(t, want, res.StatusCode, n)
	}
}

// A browser that came by HTTPS stays with it.
func TestStrictTransport(t *testing.T) {
	t.Parallel()
	for hsts, want := range map[string]string{"1h": "max-age=3600", "0s": ""} {
		p := start(t, "--demo", "--hsts="+hsts)
		for _, path := range []string{"/healthz", "/ui/sign-in"} {
			for proto, want := range map[string]string{"": "", "http": "", "https": want} {
				req, err := http.NewRequest(http.MethodGet, p.url+path, nil)
				require.NoError(t, err)
				if proto != "" {
					req.Header.Set("X-Forwarded-Proto", proto)
				}
				res, err := http.DefaultClient.Do(req)
				require.NoError(t, err)
				require.NoError(t, res.Body.Close())
				require.Equal(t, want, res.Header.Get("Strict-Transport-Security"), "%s %s", path, proto)
			}
		}
	}
}
