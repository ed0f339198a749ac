package sched

// Explorer follows given deviations, then the default, and notes every choice
// after the last deviation that could be made otherwise. Each list of deviations
// is the child of exactly one other, so whoever plays the children of children
// plays each schedule once.
type Explorer struct {
	follow []Deviation
	next   int
	kinds  [MaxKinds]bool // of Pick
	order  bool           // Next, too

	// Alternatives are the deviations that could come next.
	Alternatives []Deviation
}

var _ Chooser = (*Explorer)(nil)

// Reset begins anew: with what to follow, whether the order may be changed after
// it, and which kinds of faults may be made.
func (e *Explorer) Reset(follow []Deviation, order bool, kinds [MaxKinds]bool) {
	e.follow, e.next, e.order, e.kinds, e.Alternatives = follow, 0, order, kinds, e.Alternatives[:0]
}

// Followed reports whether all deviations were met, as they must be if the world
// is deterministic.
func (e *Explorer) Followed() bool { return e.next == len(e.follow) }

// here reports whether the next deviation is to be made at p.
func (e *Explorer) here(p Point) (value uint8, ok bool) {
	if e.next < len(e.follow) && e.follow[e.next].Point == p {
		e.next++
		return e.follow[e.next-1].Value, true
	}
	return 0, false
}

// Next implements Chooser.
func (e *Explorer) Next(p Point, ready Set, def ActorID) ActorID {
	if v, ok := e.here(p); ok {
		return ActorID(v)
	}
	if e.order && e.Followed() {
		for rest := ready &^ (1 << def); rest != 0; rest &= rest - 1 {
			e.Alternatives = append(e.Alternatives, Deviation{p, uint8(rest.At(0))})
		}
	}
	return def
}

// Pick implements Chooser.
func (e *Explorer) Pick(p Point, n int) int {
	if v, ok := e.here(p); ok {
		return int(v)
	}
	if e.kinds[p.Kind] && e.Followed() {
		for v := 1; v < n; v++ {
			e.Alternatives = append(e.Alternatives, Deviation{p, uint8(v)})
		}
	}
	return 0
}

// Noting replays, and notes the deviations that could be made elsewhere.
type Noting struct {
	Replay       Replay
	Alternatives []Deviation
}

var _ Chooser = (*Noting)(nil)

// Next implements Chooser.
func (n *Noting) Next(p Point, ready Set, def ActorID) ActorID {
	if _, ok := n.Replay[p]; !ok {
		for rest := ready &^ (1 << def); rest != 0; rest &= rest - 1 {
			n.Alternatives = append(n.Alternatives, Deviation{p, uint8(rest.At(0))})
		}
	}
	return n.Replay.Next(p, ready, def)
}

// Pick implements Chooser.
func (n *Noting) Pick(p Point, choices int) int {
	if _, ok := n.Replay[p]; !ok {
		for v := 1; v < choices; v++ {
			n.Alternatives = append(n.Alternatives, Deviation{p, uint8(v)})
		}
	}
	return n.Replay.Pick(p, choices)
}
