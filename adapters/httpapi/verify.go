package httpapi

import (
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/redrive/redrive/core"
)

// Verify checks a token that was not sent as a header but typed into a form. It gives
// the actor that the token was issued for, and when it expires.
func (a *Auth) Verify(token string) (core.Actor, time.Time, error) {
	actor, err := a.read(token)
	if err != nil {
		return core.Actor{}, time.Time{}, err
	}
	// read has checked the signature and that there is an expiry.
	var c jwt.RegisteredClaims
	if _, _, err := a.parser.ParseUnverified(token, &c); err != nil {
		return core.Actor{}, time.Time{}, err
	}
	return actor, c.ExpiresAt.Time, nil
}
