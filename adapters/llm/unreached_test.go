package llm_test

import (
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/llm"
	"github.com/redrive/redrive/core"
)

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// TestNoAnswer: whose fault it was that there was no answer.
func TestNoAnswer(t *testing.T) {
	t.Parallel()
	handler := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	plain := httptest.NewServer(handler)
	t.Cleanup(plain.Close)
	secure := httptest.NewUnstartedServer(handler)
	secure.Config.ErrorLog = nil
	secure.StartTLS()
	t.Cleanup(secure.Close)
	refusing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusProxyAuthRequired)
	}))
	t.Cleanup(refusing.Close)
	fails := func(err error) func(*llm.Config) {
		return func(c *llm.Config) {
			c.Transport = roundTripper(func(*http.Request) (*http.Response, error) { return nil, err })
		}
	}
	at := func(url string) func(*llm.Config) { return func(c *llm.Config) { c.BaseURL = url } }
	for name, tc := range map[string]struct {
		change  func(*llm.Config)
		outcome core.Outcome
		code    string
	}{
		"NoSuchHost":            {fails(&net.DNSError{Err: "no such host", Name: "api.exmaple.com", IsNotFound: true}), core.OutcomeInterrupted, llm.FailureMisconfigured},
		"NameServerIsDown":      {fails(&net.DNSError{Err: "server misbehaving", Name: "api.example.com", IsTemporary: true}), core.OutcomeTransient, llm.FailureUnreachable},
		"ConnectionReset":       {fails(errors.New("connection reset by peer")), core.OutcomeTransient, llm.FailureUnreachable},
		"TLSToAPlainPort":       {at(strings.Replace(plain.URL, "http:", "https:", 1)), core.OutcomeInterrupted, llm.FailureMisconfigured},
		"PlainToATLSPort":       {at(strings.Replace(secure.URL, "https:", "http:", 1)), core.OutcomeInterrupted, llm.FailureMisconfigured},
		"UnknownCertificate":    {at(secure.URL), core.OutcomeInterrupted, llm.FailureMisconfigured},
		"EmptyAnswer":           {at(plain.URL), core.OutcomeTransient, llm.FailureMalformed},
		"RefusedByAnHTTPProxy":  {at(refusing.URL), core.OutcomeInterrupted, llm.FailureMisconfigured},
		"BaseURLEndsInASlash":   {at(plain.URL + "/"), core.OutcomeTransient, llm.FailureMalformed},
		"ClosedBeforeTheAnswer": {fails(net.ErrClosed), core.OutcomeTransient, llm.FailureUnreachable},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, nil, tc.change)
			got := r.one(t, textFile(0, "a.txt", "hello"))
			require.Equal(t, tc.outcome, got.Outcome, got.Failure)
			require.Equal(t, tc.code, got.Failure.Code)
		})
	}
}
