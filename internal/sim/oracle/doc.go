// Package oracle judges what a simulated world does. It is told of every commit,
// message, execution and answer, and keeps what was committed, row by row, beside the
// state of the sequential model (internal/testkit/model), which shares no rule with
// package core. Each commit must be one step of the model, from the state before it
// to the state after it, and every invariant of the specification that a commit could
// have broken is checked on what the commit touched.
package oracle
