// Package webui is the page: what people see who look, click and pay. It renders
// HTML on the server, with templates, texts and assets embedded, and asks the same
// use cases as the API.
//
// # How it is made
//
// Everything works without JavaScript. assets/app.js adds what a server cannot do:
// it keeps a page up to date, shows how an upload is getting on, and keeps a second
// click from being sent. It knows no texts and no rules; it fetches the page again
// and puts what changed in place.
//
// A handler makes a view of finished words (words.go, format.go) and names a
// template; the components of the design system are the templates in
// html/components.html with the types in components.go. Every text is in
// texts/*.json, and a test says which one is missing.
//
// # What protects it
//
// Sessions are kept by ports.Sessions, under a hash of what the cookie holds, and
// end with the token that they began with. Cookies are HttpOnly and SameSite=Strict;
// http.CrossOriginProtection refuses every foreign POST; no GET changes anything;
// the Content-Security-Policy has no inline script or style and no foreign address.
package webui
