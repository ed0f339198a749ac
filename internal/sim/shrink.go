package sim

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/redrive/redrive/internal/sim/oracle"
	"github.com/redrive/redrive/internal/sim/sched"
	"github.com/redrive/redrive/internal/sim/world"
)

// ShrinkOptions are how far a token is shrunk.
type ShrinkOptions struct {
	Tries int        // worlds played at most; 0 for the default
	Wrap  world.Wrap // as when it was found
}

// shrinkTries is far above what a token of the default world needs.
const shrinkTries = 20000

// ShrinkStats is what shrinking did. All but Elapsed follows from the token.
type ShrinkStats struct {
	Rule    oracle.Rule // which was violated first, before and after
	Played  int         // worlds
	Elapsed time.Duration

	DeviationsBefore, DeviationsAfter int
	OpsBefore, OpsAfter               int // operations of users
	StepsBefore, StepsAfter           int
}

// ErrNoViolation says that a token replays a world in which everything holds.
var ErrNoViolation = errors.New("nothing is violated when the token is replayed")

// Shrink looks for a smaller world that violates the same rule first: with fewer
// deviations from the default schedule, then with fewer operations, workers and
// files. Equal tokens are shrunk equally. If ctx ends it gives what it has, with
// the context's error.
func Shrink(ctx context.Context, t Token, o ShrinkOptions) (Token, ShrinkStats, error) {
	began := time.Now()
	w, err := world.NewWith(o.Wrap)
	if err != nil {
		return t, ShrinkStats{}, err
	}
	defer w.Close()
	if o.Tries == 0 {
		o.Tries = shrinkTries
	}
	s := &shrinker{ctx: ctx, world: w, left: o.Tries, replay: sched.Replay{}, best: t}
	first, err := s.play(t)
	if err != nil {
		return t, s.stats, err
	}
	if first.Violation == nil {
		return t, s.stats, ErrNoViolation
	}
	s.stats.Rule = first.Violation.Rule
	s.stats.DeviationsBefore, s.stats.StepsBefore, s.stats.OpsBefore = len(t.Deviations), first.Steps, s.ops
	s.keep(t, first)
	original := slices.Clone(s.best.Deviations)
	err = s.shrink(original)
	s.best.Build = Build()
	s.stats.DeviationsAfter, s.stats.Elapsed = len(s.best.Deviations), time.Since(began)
	return s.best, s.stats, err
}

type shrinker struct {
	ctx    context.Context //nolint:containedctx // it lives as long as the one call of Shrink
	world  *world.World
	replay sched.Replay
	noting sched.Noting
	note   bool // what could be chosen otherwise, in noting
	left   int  // worlds that may still be played
	ops    int  // of the world that was played last
	stats  ShrinkStats
	best   Token
}

// errTries ends the search, which is no error for the caller.
var errTries = errors.New("tries are used up")

func (s *shrinker) shrink(original []sched.Deviation) error {
	err := s.passes(original)
	if errors.Is(err, errTries) {
		return nil
	}
	return err
}

// passes repeats the passes until none finds anything more.
func (s *shrinker) passes(original []sched.Deviation) error {
	for {
		size := s.size()
		for _, pass := range []func() error{
			s.fewerDeviations,
			func() error { return s.few(original) },
			s.fewerParts,
			s.fewerDeviations,
			s.exchange,
		} {
			if err := pass(); err != nil {
				return err
			}
		}
		if s.size() == size {
			return nil
		}
	}
}

func (s *shrinker) size() [3]int {
	return [3]int{len(s.best.Deviations), len(s.best.Dropped), s.stats.StepsAfter}
}

// play plays a token.
func (s *shrinker) play(t Token) (world.Result, error) {
	if err := s.ctx.Err(); err != nil {
		return world.Result{}, err
	}
	if s.left == 0 {
		return world.Result{}, errTries
	}
	s.left--
	s.stats.Played++
	sc, err := t.World()
	if err != nil {
		return world.Result{}, err
	}
	s.ops = sc.Ops()
	clear(s.replay)
	for _, d := range t.Deviations {
		s.replay[d.Point] = d.Value
	}
	var chooser sched.Chooser = s.replay
	if s.note {
		s.noting.Replay = s.replay
		chooser = &s.noting
	}
	r, err := s.world.Run(sc, chooser, world.Options{})
	if err != nil {
		return world.Result{}, fmt.Errorf("play: %w", err)
	}
	return r, nil
}

// try keeps a token if it violates the same rule first.
func (s *shrinker) try(t Token) (bool, error) {
	r, err := s.play(t)
	if err != nil || r.Violation == nil || r.Violation.Rule != s.stats.Rule {
		return false, err
	}
	s.keep(t, r)
	return true, nil
}

// keep takes only those deviations that were followed.
func (s *shrinker) keep(t Token, r world.Result) {
	t.Deviations = slices.Clone(r.Deviations)
	t.Dropped = slices.Clone(t.Dropped)
	s.best = t
	s.stats.StepsAfter, s.stats.OpsAfter = r.Steps, s.ops
}

// fewerDeviations is delta debugging: it takes away runs of deviations, half of
// them at first and single ones at last, the late ones first, because those after
// the violation's causes matter least.
func (s *shrinker) fewerDeviations() error {
	for size := (len(s.best.Deviations) + 1) / 2; size > 0; {
		took := false
		for end := len(s.best.Deviations); end > 0; {
			begin := max(end-size, 0)
			t := s.best
			t.Deviations = slices.Concat(t.Deviations[:begin], t.Deviations[end:])
			ok, err := s.try(t)
			if err != nil {
				return err
			}
			took = took || ok
			end = min(begin, len(s.best.Deviations))
		}
		if size == 1 {
			if !took {
				return nil
			}
			continue
		}
		size = (size + 1) / 2
	}
	return nil
}

const (
	fewDeviations = 3    // what few looks for
	fewTries      = 600  // worlds that it plays for each number of deviations
	exchangeTries = 1000 // worlds that exchange plays
)

// few looks for up to three deviations that suffice, because delta debugging ends
// in a local minimum: any one of the original ones, two or three of those left.
func (s *shrinker) few(original []sched.Deviation) error {
	for n := 0; n <= fewDeviations && n < len(s.best.Deviations); n++ {
		pool := original
		if n > 1 {
			pool = slices.Clone(s.best.Deviations)
		}
		chosen := make([]int, n)
		for i := range chosen {
			chosen[i] = i
		}
		for range fewTries {
			t := s.best
			t.Deviations = make([]sched.Deviation, n)
			for i, at := range chosen {
				t.Deviations[i] = pool[at]
			}
			ok, err := s.try(t)
			if err != nil {
				return err
			}
			if ok || !nextCombination(chosen, len(pool)) {
				break
			}
		}
	}
	return nil
}

// nextCombination changes ascending numbers below n to the next such combination.
func nextCombination(chosen []int, n int) bool {
	for i := len(chosen) - 1; i >= 0; i-- {
		if chosen[i] < n-len(chosen)+i {
			chosen[i]++
			for j := i + 1; j < len(chosen); j++ {
				chosen[j] = chosen[j-1] + 1
			}
			return true
		}
	}
	return false
}

// exchange takes two deviations away and tries every other single one in their
// place: often one switch does what took two. It is worth its time only where many
// are left.
func (s *shrinker) exchange() error {
	tries := exchangeTries
	for i := 0; i < len(s.best.Deviations); i++ {
		for j := i + 1; j < len(s.best.Deviations); j++ {
			if len(s.best.Deviations) <= fewDeviations || tries <= 0 {
				return nil
			}
			t := s.best
			t.Deviations = slices.Concat(t.Deviations[:i], t.Deviations[i+1:j], t.Deviations[j+1:])
			s.noting.Alternatives = s.noting.Alternatives[:0]
			s.note = true
			_, err := s.play(t)
			s.note = false
			if err != nil {
				return err
			}
			tries -= 1 + len(s.noting.Alternatives)
			rest := t.Deviations
			for _, d := range s.noting.Alternatives {
				t.Deviations = append(slices.Clone(rest), d)
				ok, err := s.try(t)
				if err != nil {
					return err
				}
				if ok {
					i, j = 0, 0
					break
				}
			}
		}
	}
	return nil
}

// fewerParts leaves out parts of the scenario, many at a time at first.
func (s *shrinker) fewerParts() error {
	whole := Token{Scenario: s.best.Scenario, Seed: s.best.Seed}
	sc, err := whole.World()
	if err != nil {
		return err
	}
	total := sc.Parts()
	for size := (total + 1) / 2; ; size = (size + 1) / 2 {
		for end := total; end > 0; end -= size {
			t := s.best
			t.Dropped = slices.Clone(t.Dropped)
			for part := max(end-size, 0); part < end; part++ {
				if !slices.Contains(t.Dropped, part) {
					t.Dropped = append(t.Dropped, part)
				}
			}
			if len(t.Dropped) == len(s.best.Dropped) {
				continue
			}
			slices.Sort(t.Dropped)
			if _, err := s.try(t); err != nil {
				return err
			}
		}
		if size <= 1 {
			return nil
		}
	}
}
