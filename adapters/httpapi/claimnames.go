package httpapi

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/golang-jwt/jwt/v5"

	"github.com/redrive/redrive/core"
)

// Claims says where a token has what this service needs to know. A name is exact, dots and
// slashes included; one that begins with a slash is a JSON Pointer (RFC 6901) to a claim
// inside others, such as /realm_access/roles. Every part of a name is exact in its letter
// case. An empty field means its default.
type Claims struct {
	Subject string // default sub
	Tenant  string // default tenant
	Role    string // default role; a string, or a list of strings
	// Roles gives the role for each value of the role claim that means one, such as the
	// groups of an identity provider; all others mean nothing. If several of a token's
	// values mean a role, the one that may do most counts. Empty: the values are the names
	// of the roles, and the claim is one string.
	Roles map[string]core.Role
}

// WithClaims says where tokens have their subject, tenant and role.
func WithClaims(c Claims) AuthOption { return func(a *Auth) { a.claims = c.withDefaults() } }

func (c Claims) withDefaults() Claims {
	for field, name := range map[*string]string{&c.Subject: "sub", &c.Tenant: "tenant", &c.Role: "role"} {
		if *field == "" {
			*field = name
		}
	}
	return c
}

func (c Claims) check() error {
	for _, name := range []string{c.Subject, c.Tenant, c.Role} {
		if path := pathOf(name); slices.Contains(path, "") || len(name) > 256 {
			return fmt.Errorf("%q is no name of a claim", name)
		}
	}
	for value, role := range c.Roles {
		if value == "" || !role.Valid() {
			return fmt.Errorf("the role claim's value %q cannot mean the role %q", value, role)
		}
	}
	return nil
}

// known adds the first parts of the configured names to those that are known anyway.
func (c Claims) known(names []string) []string {
	return append(slices.Clip(names), pathOf(c.Subject)[0], pathOf(c.Tenant)[0], pathOf(c.Role)[0])
}

// pathOf gives the parts of a claim's name; none is left out, so the first is always there.
func pathOf(name string) []string {
	pointer, nested := strings.CutPrefix(name, "/")
	if !nested {
		return []string{name}
	}
	path := strings.Split(pointer, "/")
	for i, part := range path {
		path[i] = strings.NewReplacer("~1", "/", "~0", "~").Replace(part)
	}
	return path
}

// at gives a claim's value; nil if there is none.
func (Claims) at(members map[string]jsontext.Value, name string) (jsontext.Value, error) {
	path := pathOf(name)
	for _, part := range path[:len(path)-1] {
		raw, there := members[part]
		if !there {
			return nil, nil
		}
		var err error
		if members, err = exactMembers(raw, path); err != nil {
			return nil, err
		}
	}
	return members[path[len(path)-1]], nil
}

func (c Claims) text(members map[string]jsontext.Value, name string) (string, error) {
	raw, err := c.at(members, name)
	if err != nil || raw == nil {
		return "", err
	}
	return textOf(raw)
}

// texts reads a list only where values are translated, since else there is one role.
func (c Claims) texts(members map[string]jsontext.Value, name string) ([]string, error) {
	raw, err := c.at(members, name)
	if err != nil || raw == nil {
		return nil, err
	}
	if len(c.Roles) > 0 {
		return textsOf(raw)
	}
	text, err := textOf(raw)
	return []string{text}, err
}

// byRank are the roles, the one that may do most first.
var byRank = []core.Role{core.RolePlatformAdmin, core.RoleCustomerAdmin, core.RoleCustomerUser}

// actor gives who the claims name, or says why they name nobody who can be let in.
func (c Claims) actor(from *claims) (core.Actor, error) {
	actor := core.Actor{Subject: from.subject, Tenant: core.TenantID(from.tenant)}
	switch {
	case len(from.roles) == 0:
		return core.Actor{}, errors.New("there is no role")
	case len(c.Roles) == 0:
		actor.Role = core.Role(from.roles[0])
	default:
		at := len(byRank)
		for _, value := range from.roles {
			if role, means := c.Roles[value]; means {
				at = min(at, slices.Index(byRank, role))
			}
		}
		if at == len(byRank) {
			return core.Actor{}, errors.New("none of the roles means one here")
		}
		actor.Role = byRank[at]
	}
	if actor.IsAPIKey() { // what a key did is told from what others did by its subject
		return core.Actor{}, errors.New("the subject is that of an API key")
	}
	if actor == core.System { // likewise what Redrive did by itself
		return core.Actor{}, errors.New("the subject is that of the system")
	}
	return actor, checkActor(actor)
}

// say writes an actor into the claims of a new token, as actor reads it.
func (c Claims) say(said jwt.MapClaims, actor core.Actor) error {
	role := string(actor.Role)
	if len(c.Roles) > 0 {
		var values []string
		for value, means := range c.Roles {
			if means == actor.Role {
				values = append(values, value)
			}
		}
		if len(values) == 0 {
			return fmt.Errorf("no value of the role claim means %q here", actor.Role)
		}
		role = slices.Min(values)
	}
	for _, claim := range []struct{ name, value string }{
		{c.Subject, actor.Subject}, {c.Tenant, string(actor.Tenant)}, {c.Role, role},
	} {
		if claim.value == "" {
			continue
		}
		path, into := pathOf(claim.name), map[string]any(said)
		for _, part := range path[:len(path)-1] {
			inner, ok := into[part].(map[string]any)
			if !ok {
				inner = map[string]any{}
				into[part] = inner
			}
			into = inner
		}
		into[path[len(path)-1]] = claim.value
	}
	return nil
}
