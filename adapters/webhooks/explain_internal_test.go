package webhooks

import (
	"net"
	"net/url"
	"testing"

	"code.dny.dev/ssrf"
	"github.com/stretchr/testify/require"
)

// Nobody learns by trying which names there are inside: one that there is not and one that
// leads to an address inside are answered with the same words, with TLS and without.
func TestNamesInsideAreNotTold(t *testing.T) {
	t.Parallel()
	s := New(Config{})
	t.Cleanup(s.Close)
	of := func(cause error) error {
		return &url.Error{Op: "Post", URL: "https://db.corp.example", Err: &net.OpError{Op: "dial", Net: "tcp", Err: cause}}
	}
	notThere := of(&net.DNSError{Err: "no such host", Name: "db.corp.example", IsNotFound: true})
	for _, inside := range []error{ssrf.ErrProhibitedIP, ssrf.ErrProhibitedPort, ssrf.ErrProhibitedNetwork} {
		require.EqualError(t, s.explain(of(inside), false), s.explain(notThere, false).Error())
	}
	require.EqualError(t, s.explain(of(errPlain), true), s.explain(notThere, true).Error())
	require.NotEqual(t, s.explain(notThere, true), s.explain(notThere, false), "how to mend it without TLS is said")
}
