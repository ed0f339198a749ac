package sim

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redrive/redrive/internal/sim/oracle"
	"github.com/redrive/redrive/internal/sim/sched"
	"github.com/redrive/redrive/internal/sim/world"
)

// Config is what a campaign searches.
type Config struct {
	First    uint64 // seed
	Seeds    uint64 // how many, at most; 0: until For or the context ends
	For      time.Duration
	Strategy Strategy
	Rates    sched.Rates
	Workers  int // goroutines; 0: one per core
	// Wrap is put between the use cases and the ports that fail.
	Wrap world.Wrap
	// Continue goes on after a violation instead of ending at the first.
	Continue bool
	// Progress is called about twice a second with what was done so far; nil for nobody.
	Progress func(Report)
	// Played is called after each world, on the goroutine that played it; nil for
	// nobody. The result is reused.
	Played func(seed uint64, r *world.Result)
	// Hang is after how long without a step a world is taken to hang; default 30 s.
	Hang time.Duration
}

// DefaultConfig searches the default world with all strategies and all faults.
func DefaultConfig() Config { return Config{First: 1, Strategy: Portfolio, Rates: DefaultRates()} }

// Found is a violation with the token that replays it.
type Found struct {
	Seed      uint64
	Strategy  Strategy
	Violation oracle.Violation
	Stack     string // of a panic
	Hash      uint64
	Token     Token
}

// Report is what a campaign did. With equal configurations that bound the seeds,
// everything but Elapsed is equal.
type Report struct {
	Seeds      uint64
	Steps      uint64
	Elapsed    time.Duration
	Situations oracle.Situations // in how many worlds each was met
	Found      []Found           // by seed, ascending; without Continue the first alone
}

// ErrHang says that a world made no progress: something waits for what no
// scheduler can give, for example a mutex that was held across a yield.
var ErrHang = errors.New("a world hangs")

// Campaign plays one world for each seed, on all cores. It ends at the first
// violation, that of the smallest seed, whatever the number of cores.
func Campaign(ctx context.Context, c Config) (Report, error) {
	if c.Workers == 0 {
		c.Workers = runtime.GOMAXPROCS(0)
	}
	if c.Hang == 0 {
		c.Hang = 30 * time.Second
	}
	if c.For > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.For)
		defer cancel()
	}
	k := &campaign{config: c, began: time.Now()}
	k.limit.Store(c.Seeds)
	if c.Seeds == 0 {
		k.limit.Store(^uint64(0))
	}
	return k.run(ctx)
}

type campaign struct {
	config Config
	began  time.Time
	next   atomic.Uint64 // how many seeds were taken
	limit  atomic.Uint64 // how many may be

	mu     sync.Mutex
	report Report
	err    error
}

// part is what one worker did since it last reported.
type part struct {
	seeds, steps uint64
	situations   oracle.Situations
}

func (k *campaign) run(ctx context.Context) (Report, error) {
	var workers sync.WaitGroup
	done := make(chan struct{})
	players := make([]*player, k.config.Workers)
	for i := range players {
		players[i] = &player{campaign: k}
		workers.Go(func() { k.failed(players[i].play(ctx)) })
	}
	go func() {
		workers.Wait()
		close(done)
	}()
	hang := k.watch(done, players)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.report.Elapsed = time.Since(k.began)
	return k.report, errors.Join(k.err, hang)
}

func (k *campaign) failed(err error) {
	if err == nil {
		return
	}
	k.limit.Store(0)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.err = errors.Join(k.err, err)
}

// add takes what a worker did.
func (k *campaign) add(p *part) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.report.Seeds += p.seeds
	k.report.Steps += p.steps
	k.report.Situations.Add(&p.situations)
	*p = part{}
}

// found takes a violation. Without Continue no later seed counts any more.
func (k *campaign) found(n uint64, f Found) {
	k.mu.Lock()
	defer k.mu.Unlock()
	at := len(k.report.Found)
	for at > 0 && k.report.Found[at-1].Seed > f.Seed {
		at--
	}
	k.report.Found = append(k.report.Found, Found{})
	copy(k.report.Found[at+1:], k.report.Found[at:])
	k.report.Found[at] = f
	if !k.config.Continue {
		k.report.Found = k.report.Found[:1]
		for {
			limit := k.limit.Load()
			if limit <= n+1 || k.limit.CompareAndSwap(limit, n+1) {
				return
			}
		}
	}
}

// player plays worlds on one goroutine.
type player struct {
	campaign *campaign
	choosers choosers
	scenario world.Scenario
	worlds   atomic.Uint64 // for the watchdog
	seed     atomic.Uint64
}

// flushEvery is how many worlds are played before the campaign is told.
const flushEvery = 64

func (p *player) play(ctx context.Context) error {
	k := p.campaign
	w, err := world.NewWith(k.config.Wrap)
	if err != nil {
		return err
	}
	defer w.Close()
	var own part
	defer func() { k.add(&own) }()
	for ctx.Err() == nil {
		n := k.next.Add(1) - 1
		if n >= k.limit.Load() {
			return nil
		}
		seed := k.config.First + n
		p.seed.Store(seed)
		p.scenario.Reset(seed)
		r, err := w.Run(&p.scenario, p.choosers.chooser(k.config.Strategy, seed, &k.config.Rates), world.Options{})
		if err != nil {
			return err
		}
		p.worlds.Add(1)
		own.seeds++
		own.steps += uint64(r.Steps)
		own.situations.Add(&r.Situations)
		if k.config.Played != nil {
			k.config.Played(seed, &r)
		}
		if r.Violation != nil {
			k.found(n, Found{
				Seed: seed, Strategy: k.config.Strategy.of(seed), Violation: *r.Violation, Stack: r.Stack, Hash: r.Hash,
				Token: Token{Build: Build(), Seed: seed, Deviations: append([]sched.Deviation(nil), r.Deviations...)},
			})
		}
		if own.seeds == flushEvery {
			k.add(&own)
		}
	}
	return nil
}
