package mutants

import (
	"slices"
	"strings"
)

// Bug is a mistake that somebody could make, or made in another system.
type Bug struct {
	Name    string
	What    string // in a sentence
	Mirrors string // the public bug of this kind, see spec 12; empty for none
	Edits   []Edit
	// Equivalent is the reason why no rule can notice it: it is another way to be
	// right, or something else stands in for what is missing. Empty for a bug
	// that has to be found.
	Equivalent string
	// Test is the test that finds it, in a package, instead of the simulator: what goes
	// page by page shows only with more rows than a world has. Empty for the others.
	Test *Test
}

// Test is a test that fails while a bug is on.
type Test struct {
	Package string // from the module's root
	Name    string
}

// Simulated reports whether the simulator has to find the bug.
func (b *Bug) Simulated() bool { return b.Equivalent == "" && b.Test == nil }

// Edit is one place of a mistake.
type Edit struct {
	File string // from the module's root
	Old  string // what is there, exactly once
	// New is what stands there when the bug is on: statements instead of statements.
	// With {on} in it, it is the whole replacement, where declarations or parts of a
	// statement have to change: {on} asks whether the bug is on, {old} is what was there.
	New string
	// Import is a package that the mistake needs and the file does not import.
	Import string
}

// whole reports whether New is the whole replacement.
func (e *Edit) whole() bool { return strings.Contains(e.New, "{on}") }

// Number finds a bug by its name; 0 if there is none.
func Number(name string) int {
	return 1 + slices.IndexFunc(Bugs(), func(b Bug) bool { return b.Name == name })
}
