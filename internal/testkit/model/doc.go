// Package model is the specification once more, as a small sequential machine: what
// a tenant's credits, runs, files, attempts and answers are, and what each operation
// may make of them. It is written from the specification and calls none of the rules
// of package core, so that it can disagree with them.
//
// Whoever holds it against the product brings the operations in an order: the
// simulator's oracle one commit at a time, the search for linearizations in every
// order that could explain the answers, and Check by reading attempts and entries
// back from a store. What an operation must not do is reported to a Judge; the model
// goes on as if it had been allowed, so that one mistake is one report.
package model
