package sim

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redrive/redrive/internal/sim/faults"
	"github.com/redrive/redrive/internal/sim/sched"
	"github.com/redrive/redrive/internal/sim/world"
)

// Bounds are how far schedules may deviate from the default one.
type Bounds struct {
	// Preemptions is how often another actor may go on than the default one: the
	// one that ran last if it can, else the next one round. The search is thus
	// bounded by delays: a switch that would come anyway can go elsewhere only at
	// the same price.
	Preemptions int
	// Faults is how many faults may happen, a message out of order included.
	Faults int
	// Kinds are the kinds of faults that may happen; nil for all.
	Kinds []sched.Kind
}

// ExhaustOptions are how a search is done, not what it finds.
type ExhaustOptions struct {
	Workers  int          // goroutines; 0: one per core
	Progress func(Counts) // about twice a second, of what was played so far; nil for nobody
	Wrap     world.Wrap
}

// Level counts the schedules with one number of deviations.
type Level struct {
	Deviations int
	Schedules  uint64
	Distinct   uint64 // that gave a trace which none before gave
}

// Counts is what a search has played. All but Elapsed is equal whatever the number
// of cores.
//
// Every schedule within the bounds is played once: it is a list of deviations, and
// a list is the child of the one without its last deviation alone. Nothing is left
// out because it looks like something else. Distinct says how many traces are
// different, by the hash of everything that happened: faults without an effect and
// switches to actors that had nothing to do make traces equal.
type Counts struct {
	Scenario  string
	Bounds    Bounds
	Schedules uint64
	Distinct  uint64
	Steps     uint64
	Levels    []Level
	Elapsed   time.Duration
}

// ErrNotDeterministic says that a world did not meet the choices that it met before.
var ErrNotDeterministic = errors.New("the world is not deterministic")

// Exhaust plays every schedule of a scenario within bounds, those with fewer
// deviations first. It ends at the first violation, so that what it finds has as
// few deviations as there can be; Counts then say how many schedules there are up
// to it. If ctx ends, it gives what it has with the context's error.
func Exhaust(ctx context.Context, sc *world.Scenario, b Bounds, o ExhaustOptions) (Counts, *Found, error) {
	if o.Workers == 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	x := &exhaust{
		ctx: ctx, scenario: sc, bounds: b, options: o, began: time.Now(), seen: map[uint64]struct{}{},
		counts: Counts{Scenario: sc.Name, Bounds: b},
	}
	if b.Faults > 0 {
		kinds := b.Kinds
		if kinds == nil {
			kinds = faults.Kinds()
		}
		for _, k := range kinds {
			x.kinds[k] = true
		}
	}
	found, err := x.run()
	x.counts.Elapsed = time.Since(x.began)
	return x.counts, found, err
}

type exhaust struct {
	ctx      context.Context //nolint:containedctx // it lives as long as the one call of Exhaust
	scenario *world.Scenario
	bounds   Bounds
	options  ExhaustOptions
	kinds    [sched.MaxKinds]bool
	began    time.Time
	counts   Counts
	seen     map[uint64]struct{} // hashes of traces
	nodes    []node
}

// node is one schedule: that of its parent with one deviation more.
type node struct {
	parent    int32 // -1 for none
	faults    uint8
	preempted uint8
	deviation sched.Deviation
}

// batchSize is how many schedules a goroutine takes at a time.
const batchSize = 256

// batch is what came of schedules that follow each other.
type batch struct {
	hashes   []uint64
	steps    uint64
	children []node
	found    *Found
	err      error
}

func (x *exhaust) run() (*Found, error) {
	players := make([]*explorer, x.options.Workers)
	for i := range players {
		w, err := world.NewWith(x.options.Wrap)
		if err != nil {
			return nil, err
		}
		defer w.Close()
		players[i] = &explorer{exhaust: x, world: w}
	}
	x.nodes = []node{{parent: -1}}
	for begin, end := 0, 1; begin < end; begin, end = end, len(x.nodes) {
		x.counts.Levels = append(x.counts.Levels, Level{Deviations: len(x.counts.Levels)})
		found, err := x.level(players, begin, end)
		if found != nil || err != nil {
			return found, err
		}
	}
	return nil, nil
}

// level plays nodes[begin:end], all of the same number of deviations, and appends
// their children. Batches are added up in order, whoever has played them.
func (x *exhaust) level(players []*explorer, begin, end int) (*Found, error) {
	n := (end - begin + batchSize - 1) / batchSize
	var next atomic.Int64
	var stop atomic.Bool
	results := make([]chan batch, n)
	for i := range results {
		results[i] = make(chan batch, 1)
	}
	var wait sync.WaitGroup
	nodes := x.nodes // appending may move it, its contents stay
	for _, p := range players {
		wait.Go(func() {
			for {
				i := int(next.Add(1) - 1)
				if i >= n || stop.Load() {
					return
				}
				from := begin + i*batchSize
				results[i] <- p.batch(nodes, from, min(from+batchSize, end))
			}
		})
	}
	defer wait.Wait()
	defer stop.Store(true)
	told := time.Now()
	for i := range results {
		var b batch
		select {
		case b = <-results[i]:
		case <-x.ctx.Done():
			return nil, x.ctx.Err()
		}
		x.add(&b)
		if b.err != nil || b.found != nil {
			return b.found, b.err
		}
		if x.options.Progress != nil && time.Since(told) > 500*time.Millisecond {
			told = time.Now()
			so := x.counts
			so.Levels = slices.Clone(so.Levels)
			so.Elapsed = time.Since(x.began)
			x.options.Progress(so)
		}
	}
	return nil, nil
}

func (x *exhaust) add(b *batch) {
	l := &x.counts.Levels[len(x.counts.Levels)-1]
	for _, h := range b.hashes {
		l.Schedules++
		if _, ok := x.seen[h]; !ok {
			x.seen[h] = struct{}{}
			l.Distinct++
			x.counts.Distinct++
		}
	}
	x.counts.Schedules += uint64(len(b.hashes))
	x.counts.Steps += b.steps
	x.nodes = append(x.nodes, b.children...)
}

// explorer plays schedules on one goroutine.
type explorer struct {
	exhaust *exhaust
	world   *world.World
	chooser sched.Explorer
	follow  []sched.Deviation
	nodes   []node
}

// batch plays nodes[from:to], up to the first violation.
func (p *explorer) batch(nodes []node, from, to int) batch {
	p.nodes = nodes
	b := batch{hashes: make([]uint64, 0, to-from)}
	for i := from; i < to && b.err == nil && b.found == nil; i++ {
		b.err = p.play(&b, i)
	}
	return b
}

func (p *explorer) play(b *batch, at int) error {
	x, nodes := p.exhaust, p.nodes
	if err := x.ctx.Err(); err != nil {
		return err
	}
	n := &nodes[at]
	p.follow = p.follow[:0]
	for i := at; nodes[i].parent >= 0; i = int(nodes[i].parent) {
		p.follow = append(p.follow, nodes[i].deviation)
	}
	slices.Reverse(p.follow)
	order, kinds := int(n.preempted) < x.bounds.Preemptions, x.kinds
	if int(n.faults) >= x.bounds.Faults {
		kinds = [sched.MaxKinds]bool{}
	}
	p.chooser.Reset(p.follow, order, kinds)
	r, err := p.world.Run(x.scenario, &p.chooser, world.Options{})
	if err != nil {
		return err
	}
	if !p.chooser.Followed() || !slices.Equal(r.Deviations, p.follow) {
		return fmt.Errorf("%w: schedule %d of %s", ErrNotDeterministic, at, x.scenario.Name)
	}
	b.hashes = append(b.hashes, r.Hash)
	b.steps += uint64(r.Steps)
	if r.Violation != nil {
		b.found = x.found(&r)
	} else {
		p.children(b, at)
	}
	return nil
}

func (x *exhaust) found(r *world.Result) *Found {
	return &Found{
		Seed: x.scenario.Seed, Strategy: Exhaustive, Violation: *r.Violation, Stack: r.Stack, Hash: r.Hash,
		Token: Token{Build: Build(), Scenario: x.scenario.Name, Seed: x.scenario.Seed, Deviations: slices.Clone(r.Deviations)},
	}
}

// children adds the schedules with one deviation more than the one just played.
func (p *explorer) children(b *batch, at int) {
	n := &p.nodes[at]
	for _, d := range p.chooser.Alternatives {
		child := node{parent: int32(at), faults: n.faults, preempted: n.preempted, deviation: d}
		if d.Kind == sched.Next {
			child.preempted++
		} else {
			child.faults++
		}
		b.children = append(b.children, child)
	}
}
