// Package mutants asks whether the simulator finds bugs at all. It has tables of
// realistic mistakes, plants all of them in one binary as switches, and measures
// for each how many seeds a campaign needs until some rule notices.
//
// The tables are bugs/*.txt. A bug is what it is, in a sentence, and a diff of each
// place:
//
//	bug limit-off-by-one
//	what one job more than the limit is let in
//	file core/app/worker/scheduler/gate.go
//	<limit > 0 && n >= limit
//	>limit > 0 && n >= planted.If({on}, limit+1, limit)
//
// Lines after - are whole, and + takes their place; < and > are the same for a part of a
// line, or of several. What is replaced stands in the file once. Statements may simply
// take the place of statements; {on} asks whether the bug is on, where that is not enough,
// and {old} is what was there, in a line of its own among whole ones. The other words are
// mirrors, import, equivalent and test: see the fields of Bug and Edit.
//
// Production source is not touched: Plant copies the files that mistakes are made
// in, with each snippet replaced by a choice between the mistake and what was
// there, and `go build -overlay` builds from the copies. Every test run checks
// that the snippets are still where the table says, and that the planted code
// compiles, so that the table cannot fall behind the code.
//
// `make mutants` measures; with the name of a file for --markdown it writes the table.
package mutants
