// Package model is the specification once more, as a small sequential machine: what
// a tenant's credits, runs, files, attempts and answers are, and what each operation
// may make of them. It is written from the specification and calls none of the rules
// of package core, so that it can disagree with them.
//
// The product is held against it in four ways. The simulator's oracle plays every
// commit; the search for linearizations plays requests in every order that could
// explain their answers; Rows.Check plays what a store has recorded of attempts and
// entries, for the stores' suites, the crash test and the end of every world; Log plays
// the changes of files that a database has logged. What an operation must not do is
// told to a Judge; the model goes on as if it had been allowed, so that one mistake is
// not reported as many.
package model
