//go:build !mutants

package main

import "github.com/redrive/redrive/internal/sim/mutants"

// plant fails: there are no bugs in this build.
func plant(string) error { return mutants.ErrNotPlanted }
