// Package apiclients tests the OpenAPI document as strangers use it: it is linted, generators
// for Go and TypeScript make clients of it, and those play a whole journey against a server
// on a real listener. The Go client is a package, adapters/httpapi/client; its generator is
// pinned by a module of its own (oapicodegen), which embedders do not see. The tools of npm
// are pinned by package-lock.json; install.sh brings them.
package apiclients
