//go:build mutants

// Package planted is the switch of the planted bugs: at most one is on. It is
// built only with the tag mutants, and production code asks it only in copies
// that package mutants makes for one build.
package planted

import (
	"os"
	"strconv"
)

// Env is the variable with the number of the bug that is on when a process starts, for
// tests of other packages, which do not know this one.
const Env = "REDRIVE_PLANTED"

func init() {
	if n, err := strconv.Atoi(os.Getenv(Env)); err == nil {
		Set(n)
	}
}

// active is the bug that is on; 0 is none. It is a plain word, since the planted
// code asks it at every turn: it is set only while no world is played.
var active int

// Set turns one bug on and every other off; 0 turns all off.
func Set(n int) { active = n }

// On reports whether a bug is on.
func On(n int) bool { return active == n }

// If gives one of two values. Both are computed: neither may do anything.
func If[T any](on bool, planted, right T) T {
	if on {
		return planted
	}
	return right
}
