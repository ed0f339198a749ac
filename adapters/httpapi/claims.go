package httpapi

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/golang-jwt/jwt/v5"
)

// claims are the claims of a token. They are read by exact names: encoding/json accepts
// "Role" for "role", and the last of two duplicates. The issuer, or a gateway, could
// then read one thing in a token and this server another.
type claims struct {
	names Claims // where subject, tenant and roles are

	subject, tenant       string
	roles                 []string
	issuer                string
	audience              []string
	hasAudience           bool
	bound                 bool // good only for who proves to have a key
	expires, from, issued *jwt.NumericDate
}

// claimNames are the names that have a meaning in JWT's own specification, and those that
// this service has unless others are configured.
var claimNames = []string{"sub", "tenant", "role", "exp", "nbf", "iat", "aud", "iss", "jti", "cnf"}

// headerNames are those of the header.
var headerNames = []string{"alg", "typ", "kid", "cty", "crit", "b64", "zip", "jku", "jwk", "x5u", "x5c", "x5t", "x5t#S256"}

// UnmarshalJSON implements json.Unmarshaler.
func (c *claims) UnmarshalJSON(payload []byte) error {
	members, err := exactMembers(payload, c.names.known(claimNames))
	if err != nil {
		return err
	}
	if c.subject, err = c.names.text(members, c.names.Subject); err != nil {
		return fmt.Errorf("subject: %w", err)
	}
	if c.tenant, err = c.names.text(members, c.names.Tenant); err != nil {
		return fmt.Errorf("tenant: %w", err)
	}
	if c.roles, err = c.names.texts(members, c.names.Role); err != nil {
		return fmt.Errorf("role: %w", err)
	}
	if raw, there := members["iss"]; there {
		if c.issuer, err = textOf(raw); err != nil {
			return fmt.Errorf("iss: %w", err)
		}
	}
	_, c.bound = members["cnf"]
	for name, into := range map[string]**jwt.NumericDate{"exp": &c.expires, "nbf": &c.from, "iat": &c.issued} {
		if raw, there := members[name]; there {
			if *into, err = dateOf(raw); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	if raw, there := members["aud"]; there {
		c.hasAudience = true
		if c.audience, err = textsOf(raw); err != nil {
			return fmt.Errorf("aud: %w", err)
		}
	}
	return nil
}

// madeFor refuses a token that was issued for another audience.
func (c *claims) madeFor(audience string) error {
	if audience == "" && !c.hasAudience || audience != "" && slices.Contains(c.audience, audience) {
		return nil
	}
	return jwt.ErrTokenInvalidAudience
}

// The methods of jwt.Claims, for its checks of time.

func (c *claims) GetExpirationTime() (*jwt.NumericDate, error) { return c.expires, nil }
func (c *claims) GetNotBefore() (*jwt.NumericDate, error)      { return c.from, nil }
func (c *claims) GetIssuedAt() (*jwt.NumericDate, error)       { return c.issued, nil }
func (c *claims) GetIssuer() (string, error)                   { return c.issuer, nil }
func (c *claims) GetSubject() (string, error)                  { return c.subject, nil }
func (c *claims) GetAudience() (jwt.ClaimStrings, error)       { return c.audience, nil }

// checkHeader refuses a token whose header has a duplicate name, or an extension that
// has to be understood and is not (RFC 7515, 4.1.11).
func checkHeader(token string) error {
	first, _, _ := strings.Cut(token, ".")
	header, err := base64.RawURLEncoding.Strict().DecodeString(first)
	if err != nil {
		return err
	}
	members, err := exactMembers(header, headerNames)
	if err != nil {
		return err
	}
	for _, name := range []string{"crit", "b64", "zip"} {
		if _, there := members[name]; there {
			return fmt.Errorf("the header has %q, which is not understood here", name)
		}
	}
	return nil
}

// exactMembers gives the members of a JSON object by name. It refuses duplicate names
// at any depth, and a name that differs from a known one in letter case only.
func exactMembers(object []byte, known []string) (map[string]jsontext.Value, error) {
	dec := jsontext.NewDecoder(bytes.NewReader(object)) // it refuses duplicate names
	if dec.PeekKind() != kindObject {
		return nil, errors.New("no JSON object")
	}
	if _, err := dec.ReadToken(); err != nil {
		return nil, err
	}
	members := map[string]jsontext.Value{}
	for dec.PeekKind() != kindObjectEnd {
		token, err := dec.ReadToken()
		if err != nil {
			return nil, err
		}
		name := token.String()
		raw, err := dec.ReadValue()
		if err != nil {
			return nil, err
		}
		if !slices.Contains(known, name) && slices.ContainsFunc(known, func(k string) bool { return strings.EqualFold(k, name) }) {
			return nil, fmt.Errorf("%q is another spelling of a known name", name)
		}
		members[name] = raw.Clone()
	}
	if _, err := dec.ReadToken(); err != nil {
		return nil, err
	}
	if _, err := dec.ReadToken(); !errors.Is(err, io.EOF) {
		return nil, errors.New("more than one JSON object")
	}
	return members, nil
}

func textOf(raw jsontext.Value) (string, error) {
	if raw.Kind() != kindString {
		return "", errors.New("must be a string")
	}
	text, err := jsontext.AppendUnquote(nil, raw)
	return string(text), err
}

// textsOf reads one string, or a list of them that is not empty.
func textsOf(raw jsontext.Value) ([]string, error) {
	if raw.Kind() != kindArray {
		text, err := textOf(raw)
		return []string{text}, err
	}
	dec := jsontext.NewDecoder(bytes.NewReader(raw))
	if _, err := dec.ReadToken(); err != nil {
		return nil, err
	}
	var texts []string
	for dec.PeekKind() != kindArrayEnd {
		element, err := dec.ReadValue()
		if err != nil {
			return nil, err
		}
		text, err := textOf(element)
		if err != nil {
			return nil, err
		}
		texts = append(texts, text)
	}
	return texts, nil
}

// latestDate is the end of the year 9999, in seconds since 1970. A later date is a
// mistake or an attack.
const latestDate = 253402300799

func dateOf(raw jsontext.Value) (*jwt.NumericDate, error) {
	if raw.Kind() != kindNumber {
		return nil, errors.New("must be a number")
	}
	seconds, err := strconv.ParseFloat(string(raw), 64)
	if err != nil || math.IsNaN(seconds) || seconds < 0 || seconds > latestDate {
		return nil, errors.New("must be seconds since 1970, up to the year 9999")
	}
	return jwt.NewNumericDate(time.Unix(int64(seconds), 0)), nil
}
