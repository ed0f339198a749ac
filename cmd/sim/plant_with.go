//go:build mutants

package main

import (
	"github.com/redrive/redrive/internal/sim/mutants"
	"github.com/redrive/redrive/internal/sim/planted"
)

// plant turns one planted bug on.
func plant(name string) error {
	n := mutants.Number(name)
	if n == 0 {
		return ends(exitUsage, "there is no planted bug %q; `sim mutants` lists them", name)
	}
	planted.Set(n)
	bugOn = name
	return nil
}
