// Package report makes what a simulation found readable: as a table for a
// terminal, as one self-contained HTML page, as lines of JSON, as a JUnit file.
//
// All of them are functions of a Case alone, so that equal cases give equal bytes.
package report
