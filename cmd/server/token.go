package main

import (
	"fmt"
	"time"

	"github.com/redrive/redrive/core"
)

// tokenCmd prints a bearer token, for operators and scripts. Users get their tokens from
// an identity service that shares the secret.
type tokenCmd struct {
	tokenFlags

	Subject string        `required:"" help:"User or program that the token is for; the ledger records it."`
	Tenant  string        `help:"Tenant; a platform admin needs none."`
	Role    string        `required:"" enum:"bubble_admin,customer_admin,customer_user" help:"bubble_admin, customer_admin or customer_user."`
	TTL     time.Duration `default:"1h" help:"How long the token is valid."`
}

// Run prints only the token, so that a script can capture it.
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
