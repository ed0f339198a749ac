// Package embedder is what a stranger writes who embeds Redrive with adapters of his
// own: a queue and files from scratch and a store with metrics around it. Its tests pass
// the public suites and run Redrive on the three. A module of its own, it can import only
// what every embedder can; a test of Redrive (internal/testkit/archtest) runs it.
package embedder
