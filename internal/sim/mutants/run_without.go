//go:build !mutants

package mutants

import "context"

// Run fails with ErrNotPlanted: the bugs are built only with the tag mutants, see
// Plant.
func Run(context.Context, Options) (Table, error) { return Table{}, ErrNotPlanted }
