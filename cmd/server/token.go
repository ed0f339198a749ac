package main

import (
	"fmt"
	"time"

	"github.com/redrive/redrive/core"
)

// tokenCmd prints a bearer token, for operators and scripts; people's tokens
// come from whatever identity service shares the secret.
type tokenCmd struct {
	secretFlag

	Subject string        `required:"" help:"Who the token is for; stands in the ledger."`
	Tenant  string        `help:"Tenant; a platform admin needs none."`
	Role    string        `required:"" enum:"bubble_admin,customer_admin,customer_user" help:"bubble_admin, customer_admin or customer_user."`
	TTL     time.Duration `default:"1h" help:"How long the token is valid."`
}

// Run prints the token alone, so that it can be captured.
func (c *tokenCmd) Run(to streams) error {
	auth, err := c.auth()
	if err != nil {
		return err
	}
	token, err := auth.Token(core.Actor{
		Subject: c.Subject, Tenant: core.TenantID(c.Tenant), Role: core.Role(c.Role),
	}, c.TTL)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(to.out, token)
	return err
}
