package httpapi

import (
	"context"
	"time"

	"github.com/redrive/redrive/core"
)

// Verify checks a token that was not sent as a header but typed into a form. It gives
// the actor that the token was issued for, and when it expires. An error that wraps
// ports.ErrUnavailable says nothing about the token: its issuer cannot be reached.
func (a *Auth) Verify(token string) (core.Actor, time.Time, error) {
	return a.read(context.Background(), token)
}
