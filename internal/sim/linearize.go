package sim

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/internal/sim/history"
	"github.com/redrive/redrive/internal/sim/sched"
	"github.com/redrive/redrive/internal/sim/world"
)

// LinearizeConfig is what a campaign of linearizability checks plays.
type LinearizeConfig struct {
	Config               // Progress, Continue and Hang are not used
	Limit  time.Duration // for each history; 0 for the default of 10 s
}

// NotLinear is a history that is not known to be linearizable.
type NotLinear struct {
	Seed    uint64
	Tenant  core.TenantID
	Verdict history.Verdict // Illegal or Unknown
	Token   Token
	Text    string // the history, an operation a line
}

// LinearizeReport is what such a campaign found. With a bound on the seeds, all but
// the times is equal from one campaign to the next, as long as no history is Unknown.
type LinearizeReport struct {
	Seeds      uint64
	Histories  uint64 // one for each tenant of each world
	Operations uint64
	Open       uint64 // requests whose outcome is not known
	OK         uint64
	Illegal    uint64
	Unknown    uint64
	Checking   time.Duration // summed over all cores
	Elapsed    time.Duration
	Found      []NotLinear // by seed and tenant
}

// Linearize plays worlds as Campaign does and checks that each tenant's history is
// linearizable.
func Linearize(ctx context.Context, c LinearizeConfig) (LinearizeReport, error) {
	if c.Workers == 0 {
		c.Workers = runtime.GOMAXPROCS(0)
	}
	if c.Limit == 0 {
		c.Limit = 10 * time.Second
	}
	if c.For > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.For)
		defer cancel()
	}
	began := time.Now()
	var next atomic.Uint64
	parts := make([]LinearizeReport, c.Workers)
	errs := make([]error, c.Workers)
	var wait sync.WaitGroup
	for i := range parts {
		wait.Go(func() { errs[i] = parts[i].play(ctx, &c, &next) })
	}
	wait.Wait()
	var r LinearizeReport
	for i := range parts {
		r.add(&parts[i])
	}
	slices.SortStableFunc(r.Found, func(a, b NotLinear) int {
		if a.Seed < b.Seed {
			return -1
		}
		if a.Seed > b.Seed {
			return 1
		}
		return 0
	})
	r.Elapsed = time.Since(began)
	return r, errors.Join(errs...)
}

func (r *LinearizeReport) add(p *LinearizeReport) {
	r.Seeds += p.Seeds
	r.Histories += p.Histories
	r.Operations += p.Operations
	r.Open += p.Open
	r.OK += p.OK
	r.Illegal += p.Illegal
	r.Unknown += p.Unknown
	r.Checking += p.Checking
	r.Found = append(r.Found, p.Found...)
}

func (r *LinearizeReport) play(ctx context.Context, c *LinearizeConfig, next *atomic.Uint64) error {
	w, err := world.NewWith(c.Wrap)
	if err != nil {
		return err
	}
	defer w.Close()
	var choosers choosers
	var watcher history.Watcher
	sc := &world.Scenario{}
	for ctx.Err() == nil {
		n := next.Add(1) - 1
		if c.Seeds > 0 && n >= c.Seeds {
			return nil
		}
		seed := c.First + n
		sc.Reset(seed)
		played, err := w.Run(sc, choosers.chooser(c.Strategy, seed, &c.Rates), world.Options{Observer: &watcher})
		if err != nil {
			return err
		}
		r.Seeds++
		token := Token{Build: Build(), Seed: seed, Deviations: played.Deviations}
		for _, h := range watcher.Histories() {
			r.check(h, token, c.Limit)
		}
	}
	return nil
}

func (r *LinearizeReport) check(h *history.History, token Token, limit time.Duration) {
	began := time.Now()
	verdict := h.Check(limit)
	r.Checking += time.Since(began)
	r.Histories++
	r.Operations += uint64(len(h.Ops))
	r.Open += uint64(h.Open())
	switch verdict {
	case history.OK:
		r.OK++
		return
	case history.Illegal:
		r.Illegal++
	case history.Unknown:
		r.Unknown++
	}
	token.Deviations = append([]sched.Deviation(nil), token.Deviations...)
	r.Found = append(r.Found, NotLinear{Seed: token.Seed, Tenant: h.Tenant, Verdict: verdict, Token: token, Text: h.String()})
}
