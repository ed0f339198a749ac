// Package httpapi is Redrive over HTTP: routes, authentication, wire types, the
// one table from refusals to HTTP statuses, and the OpenAPI document.
//
// # Order of checks
//
// A request is checked in this order: its path and method (404, 405), its token (401),
// the tenant that it names and the role that it needs (403), and its form (400, 413,
// 415). Then come the rules of the use case, which first read the run and so know its
// tenant. A refused request has changed nothing, except for a run that stays after
// enqueue_failed.
//
// # What clients may take
//
// A body has a deadline, an upload a least rate, and each piece of an answer another
// deadline (Pace). The server does not wait for a body that it will not read. The values
// of a JSON body are counted while it is read. Answers are bounded: lists come in pages,
// and a run carries outputs up to 256 KiB, each of which has an address of its own. A
// request without a token costs no more than its headers and a short answer.
//
// # What the router does not do
//
// bunrouter only finds the handler. front.go, in front of it, corrects what clients
// would notice: bunrouter panics on some paths before any middleware, redirects a POST
// with a trailing slash, and answers 404 for some wrong methods and 405 without Allow.
// It has no HEAD and no OPTIONS, and turns an unhandled error into an empty 200.
package httpapi
