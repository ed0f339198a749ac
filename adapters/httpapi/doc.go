// Package httpapi is Redrive over HTTP: routes, authentication, wire types, the
// one table from refusals to HTTP statuses, and the OpenAPI document.
//
// # Order of checks
//
// A request is looked at in this order: its path and method (404, 405), its
// token (401), the tenant that it names and the role that it takes (403), its
// form (400, 413, 415), and then the rules of the use case, which are the first to
// know whose run it is. Whatever is refused has changed nothing, with the one
// exception that the contents of uploaded files stay stored: they belong to no
// run, and storing them again keeps one copy.
//
// # What clients may take
//
// A body has a deadline, an upload a least rate, each piece of an answer another
// deadline (Pace); what is not going to be read is not waited for. A JSON body is
// counted while it is read. Answers are bounded: lists come in pages, and a run
// carries outputs up to 256 KiB, each of which has an address of its own. Nothing
// that is sent without a token takes more than its headers and a short answer.
//
// # What the router does not do
//
// bunrouter finds the handler and nothing else. Its habits that a client would
// stumble over are dealt with in front of it (front.go): it panics on some paths
// before any middleware, redirects a POST with a trailing slash, answers 404 for
// some wrong methods and 405 without Allow, knows no HEAD and no OPTIONS, and
// turns an error that nobody handled into an empty 200.
package httpapi
