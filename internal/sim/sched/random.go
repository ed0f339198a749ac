package sched

import "math"

// Rand is splitmix64: small, fast, and the same for ever, which the standard
// library promises for few of its generators.
type Rand struct{ state uint64 }

// NewRand makes a generator.
func NewRand(seed uint64) Rand { return Rand{seed} }

// Uint64 gives the next number.
func (r *Rand) Uint64() uint64 {
	r.state += 0x9e3779b97f4a7c15
	return Mix(r.state)
}

// Mix turns a number into one that looks random: splitmix64's finalizer.
func Mix(z uint64) uint64 {
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// IntN gives 0..n-1. The bias is below n/2^32, which no campaign could notice.
func (r *Rand) IntN(n int) int { return int(r.Uint64() >> 32 * uint64(n) >> 32) }

// Float gives a number in [0, 1).
func (r *Rand) Float() float64 { return float64(r.Uint64()>>11) / (1 << 53) }

// Rates says how often each kind of fault happens when it could.
type Rates [MaxKinds]float64

// faults is the part of a chooser that picks: it draws the distances between faults
// instead of asking at every point whether one happens, because nearly every answer would
// be no.
type faults struct {
	rand  Rand
	rates *Rates
	gap   [MaxKinds]int32
}

const never = math.MaxInt32

func (f *faults) reset(seed uint64, rates *Rates) {
	f.rand, f.rates = NewRand(seed), rates
	for k := range f.gap {
		f.gap[k] = f.distance(Kind(k))
	}
}

// distance draws how many chances pass before the next fault.
func (f *faults) distance(k Kind) int32 {
	switch rate := f.rates[k]; {
	case rate <= 0:
		return never
	case rate >= 1:
		return 0
	default:
		d := math.Log(1-f.rand.Float()) / math.Log1p(-rate)
		return int32(min(d, never-1))
	}
}

// quiet gives the distances; see the interface of that name.
func (f *faults) quiet() *[MaxKinds]int32 { return &f.gap }

// Pick implements Chooser.
func (f *faults) Pick(p Point, n int) int { return f.pick(p.Kind, n) }

func (f *faults) pick(k Kind, n int) int {
	switch gap := f.gap[k]; {
	case gap == never:
		return 0
	case gap > 0:
		f.gap[k]--
		return 0
	}
	f.gap[k] = f.distance(k)
	return 1 + f.rand.IntN(n-1)
}

// Walk is a random walk: every actor that can go on is equally likely to.
type Walk struct{ faults }

var _ Chooser = (*Walk)(nil)

// Reset begins a new walk.
func (w *Walk) Reset(seed uint64, rates *Rates) {
	w.reset(seed, rates)
}

// Next implements Chooser.
func (w *Walk) Next(_ Point, ready Set, _ ActorID) ActorID {
	return ready.At(w.rand.IntN(ready.Len()))
}

// Sparse follows the default schedule but for a few preemptions, which leaves
// long stretches undisturbed: some bugs need exactly one bad moment.
type Sparse struct{ faults }

var _ Chooser = (*Sparse)(nil)

// Reset begins anew. rates[Next] is how often there is a preemption.
func (s *Sparse) Reset(seed uint64, rates *Rates) {
	s.reset(seed, rates)
}

// Next implements Chooser.
func (s *Sparse) Next(_ Point, ready Set, def ActorID) ActorID {
	if s.pick(Next, 2) == 0 {
		return def
	}
	return ready.At(s.rand.IntN(ready.Len()))
}

// PCT is probabilistic concurrency testing: actors have random priorities, the
// highest goes on, and at d-1 random moments the one that runs is put last. It
// finds a bug that needs d ordering constraints with a known probability.
type PCT struct {
	faults
	priority [MaxActors]int32
	changes  [16]int // remaining change points, as steps
	depth    int
	step     int
	lowest   int32
}

var _ Chooser = (*PCT)(nil)

// Reset begins anew, with change points within the expected length.
func (c *PCT) Reset(seed uint64, rates *Rates, depth, length int) {
	c.reset(seed, rates)
	for i := range c.priority {
		c.priority[i] = int32(i)
	}
	for i := len(c.priority) - 1; i > 0; i-- {
		j := c.rand.IntN(i + 1)
		c.priority[i], c.priority[j] = c.priority[j], c.priority[i]
	}
	c.depth = min(depth-1, len(c.changes))
	for i := range c.depth {
		c.changes[i] = c.rand.IntN(length)
	}
	c.step, c.lowest = 0, -1
}

// Next implements Chooser.
func (c *PCT) Next(_ Point, ready Set, _ ActorID) ActorID {
	best := c.highest(ready)
	for _, at := range c.changes[:c.depth] {
		if at == c.step {
			c.priority[best] = c.lowest
			c.lowest--
			best = c.highest(ready)
		}
	}
	c.step++
	return best
}

func (c *PCT) highest(ready Set) ActorID {
	best := ready.At(0)
	for rest := ready & (ready - 1); rest != 0; rest &= rest - 1 {
		if a := rest.At(0); c.priority[a] > c.priority[best] {
			best = a
		}
	}
	return best
}
