package webhooks

import (
	"errors"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"github.com/redrive/redrive/core"
)

// maxHost is the longest name that the DNS has.
const maxHost = 253

// Check implements ports.WebhookSender. It is for a good message when an endpoint is made;
// what counts is the address at each connection.
func (s *Sender) Check(raw string) error {
	if strings.ContainsFunc(raw, encodedInURLs) {
		return errors.New("must have blanks, quotes, backslashes and whatever is not ASCII percent-encoded, and the host in Punycode")
	}
	return s.check(raw)
}

// encodedInURLs is what a URL has encoded (RFC 3986). Those who read it without may understand
// it in different ways.
func encodedInURLs(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune("\"<>\\^`{|}", r) }

// check is Check without the rule on how the address is written: endpoints that were made before
// that rule may have blanks.
func (s *Sender) check(raw string) error {
	if len(raw) > core.MaxWebhookURLLength {
		return errors.New("is too long")
	}
	u, err := url.Parse(raw)
	if err != nil || u.Opaque != "" {
		return errors.New("must be a whole address such as https://example.com/webhooks")
	}
	switch {
	case u.Scheme == "http" && len(s.allow) == 0, u.Scheme != "http" && u.Scheme != "https":
		return errors.New("must begin with https://")
	case u.User != nil:
		return errors.New("must have no user name and no password; requests are signed instead")
	case u.Fragment != "" || strings.Contains(raw, "#"):
		return errors.New("must have no part after a #")
	}
	host := strings.TrimSuffix(u.Hostname(), ".")
	if host == "" || len(host) > maxHost {
		return errors.New("must name a host")
	}
	port := u.Port()
	if strings.HasSuffix(u.Host, ":") {
		return errors.New("must name a port after the colon, or have no colon")
	}
	address, err := netip.ParseAddr(host)
	literal := err == nil
	if literal && s.allowed(address) {
		return checkAnyPort(port)
	}
	if literal {
		if u.Scheme == "http" {
			return errPlain
		}
		if s.public.Safe(networkOf(address), net.JoinHostPort(address.String(), "443"), nil) != nil {
			return errors.New("must not lead to an address that is private, local or reserved")
		}
		return checkPort(port)
	}
	if err := checkName(host, len(s.allow) > 0); err != nil {
		return err
	}
	if len(s.allow) > 0 { // what the name leads to is known when it is connected to
		return checkAnyPort(port)
	}
	return checkPort(port)
}

func networkOf(a netip.Addr) string {
	if a.Unmap().Is4() {
		return "tcp4"
	}
	return "tcp6"
}

func checkPort(port string) error {
	if port == "" {
		return nil
	}
	n, err := strconv.ParseUint(port, 10, 16)
	for _, p := range publicPorts {
		if err == nil && uint64(p) == n {
			return nil
		}
	}
	return errors.New("must use port 443 or 8443")
}

func checkAnyPort(port string) error {
	if n, err := strconv.ParseUint(port, 10, 16); port != "" && (err != nil || n == 0) {
		return errors.New("must use a port from 1 to 65535")
	}
	return nil
}

// checkName refuses what is no name of a host in the public DNS.
func checkName(host string, inside bool) error {
	for _, r := range host {
		switch {
		case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9', r == '-', r == '.', r == '_':
		default:
			return errors.New("must name its host in ASCII: letters, digits, '-' and '.' (punycode for others)")
		}
	}
	labels := strings.Split(host, ".")
	for _, l := range labels {
		if l == "" || len(l) > 63 {
			return errors.New("must name a host")
		}
	}
	last := strings.ToLower(labels[len(labels)-1])
	// Such as 127.1, 0x7f.1 or 2130706433, which some resolvers take for an address.
	if last[0] >= '0' && last[0] <= '9' {
		return errors.New("must write an address in the usual form, such as 192.0.2.1")
	}
	if !inside && (len(labels) == 1 || last == "localhost" || last == "local" || last == "internal" || last == "localdomain") {
		return errors.New("must name a host that is reached from the internet")
	}
	return nil
}
