// Package webui is the web interface. It renders HTML on the server, with embedded
// templates, texts and assets, and calls the same use cases as the API.
//
// # How it is made
//
// Everything works without JavaScript. assets/app.js adds what a server cannot do: it
// keeps a page up to date, shows the progress of an upload, and suppresses a second
// click. It has no texts and no rules; it fetches the page again and replaces what
// changed.
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
