package sim

import (
	"github.com/redrive/redrive/internal/sim/sched"
	"github.com/redrive/redrive/internal/sim/world"
)

// Replayed is a world that was played from a token.
type Replayed struct {
	world.Result
	Changed bool // the code is not that which made the token, so the rest may differ
}

// Replay plays what a token says and records every event.
func Replay(t Token) (Replayed, error) { return ReplayWith(t, world.Wrap{}) }

// ReplayWith is Replay of a world whose ports are wrapped.
func ReplayWith(t Token, wrap world.Wrap) (Replayed, error) {
	sc, err := t.World()
	if err != nil {
		return Replayed{}, err
	}
	w, err := world.NewWith(wrap)
	if err != nil {
		return Replayed{}, err
	}
	defer w.Close()
	r, err := w.Run(sc, sched.NewReplay(t.Deviations), world.Options{Record: true})
	if err != nil {
		return Replayed{}, err
	}
	r.Deviations = append([]sched.Deviation(nil), r.Deviations...)
	return Replayed{Result: r, Changed: t.Build != Build()}, nil
}

// Play plays the world of one seed as a campaign with this configuration does, and
// records every event. The token replays it.
func Play(c Config, seed uint64) (world.Result, Token, error) {
	w, err := world.NewWith(c.Wrap)
	if err != nil {
		return world.Result{}, Token{}, err
	}
	defer w.Close()
	var choosers choosers
	r, err := w.Run(world.Default(seed), choosers.chooser(c.Strategy, seed, &c.Rates), world.Options{Record: true})
	if err != nil {
		return world.Result{}, Token{}, err
	}
	r.Deviations = append([]sched.Deviation(nil), r.Deviations...)
	return r, Token{Build: Build(), Seed: seed, Deviations: r.Deviations}, nil
}
