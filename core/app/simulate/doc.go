// Package simulate searches your own set-up of Redrive for interleavings that
// would lose work or money: your options, and your wrappers around the store, the
// queue and the executor, under crashes, lost answers, a faulty queue, ended
// months and everything else that can happen at a bad moment. Every choice is the
// simulator's, so what it finds can be played again, step by step.
//
//	func TestNothingIsLost(t *testing.T) {
//		config := simulate.Config{
//			Options: mine,
//			Wrap:    simulate.Wrap{Store: func(s ports.Store) ports.Store { return metered{s} }},
//			Seeds:   10_000,
//		}
//		report, err := simulate.Run(t.Context(), config)
//		require.NoError(t, err)
//		if v := report.Violation; v != nil {
//			t.Fatal(v.Trace) // and simulate.Explain writes a page about v.Token
//		}
//	}
//
// # What a wrapper must keep to
//
// It sits between the use cases and a port that fails in every way in which a real
// adapter may, and that yields to other actors at every call. So a wrapper starts
// no goroutine, holds no mutex while it calls the port, and neither reads the
// machine's clock nor waits for it: the simulated world would not be the same
// again. It is made once for each simulated process and then used for one world
// after the other, so it keeps nothing from one call to the next that could change
// what it does.
//
// A port that wraps other ports ends in the adapters of adapters/memory: what your
// own database does is a matter for the conformance suites.
package simulate
