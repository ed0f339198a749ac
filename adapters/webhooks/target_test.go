package webhooks_test

import (
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/webhooks"
)

func TestTargets(t *testing.T) {
	t.Parallel()
	s := sender(t, webhooks.Config{})
	for _, url := range []string{
		"https://example.com", "https://example.com/", "HTTPS://Example.COM:443/a?b=c", "https://hooks.example.com:8443/x%20y", "https://8.8.8.8/",
		"https://[2606:4700:4700::1111]/", "https://xn--mnchen-3ya.de/", "https://example.com./",
	} {
		require.NoError(t, s.Check(url), url)
	}
	for _, url := range []string{
		"", "x", "/path", "example.com", "https:", "https://", "https:///path", "https:example.com", "//example.com", "ftp://example.com", "http://example.com",
		"javascript:alert(1)", "file:///etc/passwd", "https://user@example.com", "https://user:pass@example.com", "https://@example.com",
		"https://example.com/#part", "https://example.com/#", "https://example.com:", "https://example.com:0", "https://example.com:22", "https://example.com:80",
		"https://example.com:443443", "https://example.com:x", "https://localhost", "https://db", "https://a.localhost", "https://printer.local", "https://metadata.google.internal",
		"https://127.0.0.1", "https://127.1", "https://0x7f.0.0.1", "https://0x7f000001", "https://2130706433", "https://0", "https://1.1", "https://10.0.0.1", "https://172.16.0.1",
		"https://192.168.1.1", "https://169.254.169.254/latest/meta-data", "https://100.64.0.1", "https://0.0.0.0", "https://255.255.255.255", "https://224.0.0.1", "https://198.18.0.1",
		"https://192.0.2.1", "https://[::1]", "https://[::]", "https://[::ffff:127.0.0.1]", "https://[::ffff:10.0.0.1]", "https://[fe80::1]", "https://[fe80::1%25eth0]", "https://[fc00::1]",
		"https://[64:ff9b::7f00:1]", "https://[2002:7f00:1::]", "https://[2001:db8::1]", "https://[ff02::1]", "https://[::127.0.0.1]",
		"https://exämple.com", "https://ex ample.com", "https://example..com", "https://.example.com", "https://a%00b.com", "https://example.com\\@evil.com",
		"https://" + strings.Repeat("a", 64) + ".com", "https://" + strings.Repeat("a.", 127) + "com", "https://example.com/" + strings.Repeat("x", 2048),
	} {
		require.Error(t, s.Check(url), url)
	}
	// What a URL has encoded.
	for _, path := range []string{"a b", " ", "a\tb", "a\u00a0b", "ä", "a\"b", "a\\b", "a<b>", "{a}", "a|b", "a^b", "`"} {
		require.ErrorContains(t, s.Check("https://example.com/"+path), "percent-encoded", path)
		require.NoError(t, s.Check("https://example.com/"+url.PathEscape(path)), path)
	}

	inside := sender(t, webhooks.Config{Allow: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("fd00::/8")}})
	for _, url := range []string{"http://10.1.2.3:8080/", "https://[fd00::1]:9000/", "http://[::ffff:10.1.2.3]/", "http://service:8080/", "https://example.com:9000/"} {
		require.NoError(t, inside.Check(url), url)
	}
	for _, url := range []string{"http://10.2.0.1/", "https://10.2.0.1/", "http://8.8.8.8/", "https://8.8.8.8:9000/", "http://10.1.2.3:0/", "http://10.1.2.3:70000/", "http://127.1/"} {
		require.Error(t, inside.Check(url), url)
	}
}

// FuzzTarget: whatever is taken is an https address without credentials, whose host is a
// name of the public DNS or an address that is public by another opinion than the library's.
func FuzzTarget(f *testing.F) {
	for _, seed := range []string{
		"https://example.com/a?b=c", "https://8.8.8.8:8443", "https://[2606:4700:4700::1111]/", "https://127.0.0.1", "https://[::ffff:127.0.0.1]", "https://0x7f.1",
		"https://user@example.com", "http://example.com", "https://example.com#x", "https://[fe80::1%25eth0]/", "https://100.64.0.1/", "https://example.com:22", "https:\\\\example.com",
	} {
		f.Add(seed)
	}
	s := webhooks.New(webhooks.Config{})
	f.Fuzz(func(t *testing.T, raw string) {
		if s.Check(raw) != nil {
			return
		}
		u, err := url.Parse(raw)
		if err != nil || u.Scheme != "https" || u.User != nil || u.Fragment != "" || len(raw) > 2048 {
			t.Fatalf("%q is taken", raw)
		}
		if port := u.Port(); port != "" && port != "443" && port != "8443" {
			t.Fatalf("%q is taken, at port %s", raw, port)
		}
		host := strings.TrimSuffix(u.Hostname(), ".")
		a, err := netip.ParseAddr(host)
		if err != nil {
			if host == "" || !strings.Contains(host, ".") || strings.ContainsAny(host, "%:/\\@ \t\r\n\x00") || strings.HasSuffix(host, ".localhost") {
				t.Fatalf("%q is taken, with host %q", raw, host)
			}
			last := host[strings.LastIndexByte(host, '.')+1:]
			if last == "" || last[0] >= '0' && last[0] <= '9' {
				t.Fatalf("%q is taken, which some take for an address", raw)
			}
			return
		}
		a = a.Unmap()
		if !a.IsGlobalUnicast() || a.IsPrivate() || a.IsLoopback() || a.IsLinkLocalUnicast() || a.Zone() != "" ||
			netip.MustParsePrefix("100.64.0.0/10").Contains(a) || netip.MustParsePrefix("64:ff9b::/96").Contains(a) || netip.MustParsePrefix("0.0.0.0/8").Contains(a) {
			t.Fatalf("%q is taken, which leads to %s", raw, a)
		}
	})
}
