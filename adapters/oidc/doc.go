// Package oidc lets an OpenID Connect provider, such as Keycloak, Entra ID or Auth0, say who
// people are: Keys are the public keys with which it signs tokens, for httpapi.WithKeys, and
// SignIn is the way of a browser through the provider's own sign-in, for the page.
//
// It is a package of its own so that who embeds Redrive and has other users compiles none of
// what it needs.
//
// A provider that is down, or that comes up later than this server, costs no start: its
// document and its keys are fetched when they are first needed. Keys that are known stay good
// while it is down.
package oidc
