package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redrive/redrive/internal/sim"
	"github.com/redrive/redrive/internal/sim/report"
)

type shrinkCmd struct {
	tokenFlag

	Tries int  `placeholder:"N" help:"How many worlds may be played at most."`
	JSON  bool `name:"json" help:"Write lines of JSON."`
}

// Run shrinks a token and shows what is left.
func (c *shrinkCmd) Run(ctx context.Context, to streams) error {
	token, err := c.read()
	if err != nil {
		return err
	}
	shrunk, stats, err := sim.Shrink(ctx, token, sim.ShrinkOptions{Tries: c.Tries, Wrap: to.wrap})
	switch {
	case errors.Is(err, sim.ErrNoViolation):
		return ends(exitUsage, "%w; if the code has changed since, that may be why (the token is of build %s, this is %s)", err, token.Build, sim.Build())
	case errors.Is(err, context.Canceled):
		fmt.Fprintln(to.err, "sim: interrupted; this is the smallest so far")
	case err != nil:
		return err
	}
	fmt.Fprintf(to.err, "%d worlds played in %s\n", stats.Played, stats.Elapsed.Round(100*time.Microsecond))
	smallest, err := caseOf(shrunk, to, replaying(shrunk))
	if err != nil {
		return err
	}
	smallest.Note = shrinking(&stats)
	return showCase(to, smallest, report.All, c.JSON)
}

// shrinking says what shrinking did.
func shrinking(s *sim.ShrinkStats) string {
	return fmt.Sprintf("Shrunk from %d deviations, %d operations of users and %d steps to %d, %d and %d.",
		s.DeviationsBefore, s.OpsBefore, s.StepsBefore, s.DeviationsAfter, s.OpsAfter, s.StepsAfter)
}
