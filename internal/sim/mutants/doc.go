// Package mutants asks whether the simulator finds bugs at all. It has a table of
// realistic mistakes, plants all of them in one binary as switches, and measures
// for each how many seeds a campaign needs until some rule notices.
//
// Production source is not touched: Plant copies the files that mistakes are made
// in, with each snippet replaced by a choice between the mistake and what was
// there, and `go build -overlay` builds from the copies. Every test run checks
// that the snippets are still where the table says, and that the planted code
// compiles, so that the table cannot fall behind the code.
//
// `make mutants` measures; with the name of a file for --markdown it writes the table.
package mutants
