package storetest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/ports"
)

// testRaces: several goroutines do what they like to the same few runs, workers
// die and come back late, jobs are repeated and enqueueing fails. Afterwards
// every invariant holds, and every run closes once the faults have stopped.
func testRaces(t *testing.T, newStore Factory, o Options) {
	for name, mode := range map[string]core.Mode{"PerFile": core.ModePerFile, "Batch": core.ModeBatch} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			seed := o.Seed
			if seed == 0 {
				seed = rand.Uint64()
			}
			t.Logf("seed %d", seed)
			race(t, newService(t, newStore, "acme", "beta"), mode, seed, o.RaceRounds)
		})
	}
}

const racers = 8

func race(t *testing.T, s *service, mode core.Mode, seed uint64, rounds int) {
	t.Helper()
	ctx := bounded(t)
	for _, id := range s.tenants {
		_, err := s.servers[0].CreateTemplate(ctx, core.System, core.Template{ID: "race", Tenant: id, Name: "race", CreditsPerRun: price, Mode: mode})
		require.NoError(t, err)
		_, err = s.servers[0].PublishTemplate(ctx, core.System, id, "race")
		require.NoError(t, err)
	}
	r := &races{service: s}
	dice := newDice(seed)
	s.outcomes(func(ports.Task, int) core.Outcome {
		return []core.Outcome{core.OutcomeCompleted, core.OutcomeTransient, core.OutcomeTransient, core.OutcomePermanent}[dice.IntN(4)]
	})
	s.fail(func(n int) int {
		if dice.IntN(4) > 0 {
			return -1
		}
		return dice.IntN(n + 1)
	})
	lag := func() { time.Sleep(time.Duration(dice.IntN(300)) * time.Microsecond) }
	s.queue.lag.Store(&lag)
	for _, id := range s.tenants {
		require.NoError(t, r.initiate(ctx, s.servers[0], id))
	}
	for i, err := range together(t, racers, func(i int) error {
		own := newDice(seed + uint64(i) + 1)
		for range rounds {
			if err := r.act(ctx, s.servers[i%len(s.servers)], own); err != nil {
				return err
			}
		}
		return nil
	}) {
		require.NoError(t, err, "racer %d, seed %d", i, seed)
	}
	s.check(t)
	s.settleDown(t)
	s.check(t)

	// Late workers bring their results when all is over.
	before := make(map[core.TenantID]Contents)
	for _, id := range s.tenants {
		before[id] = MustRead(t, s.store, id)
	}
	for _, late := range r.late {
		require.NoError(t, settle(ctx, s.servers[0], late))
	}
	for _, id := range s.tenants {
		equal(t, before[id], MustRead(t, s.store, id), "late results change nothing")
	}
	require.NotZero(t, len(before["acme"].Runs)+len(before["beta"].Runs))
}

// dice is a random source for many goroutines.
type dice struct {
	mu sync.Mutex
	r  *rand.Rand
}

func newDice(seed uint64) *dice { return &dice{r: rand.New(rand.NewPCG(seed, 0))} }

// IntN is a number in [0, n).
func (d *dice) IntN(n int) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.r.IntN(n)
}

// races is what the racers share.
type races struct {
	*service
	mu   sync.Mutex
	runs []core.Run
	late [][]core.Settlement // results that their workers have not brought yet
	seen []core.Job          // jobs that the queue has carried
}

// allowed are the refusals that may come of doing anything at any moment.
// Insufficient credits are not among them: there are plenty.
var allowed = []core.Code{
	core.CodeRunAlreadyRunning, core.CodeNoErrorsToRetry, core.CodeNothingToRetry, core.CodeMaxRetryCountExceeded,
	core.CodeRunNotRunning, core.CodeEnqueueFailed, core.CodeIdempotencyKeyReused,
}

// act does one random thing. What comes back must be a success or a refusal.
func (r *races) act(ctx context.Context, server *app.Service, d *dice) error {
	return unexpected(r.choose(ctx, server, d))
}

// unexpected gives the first error that is neither an allowed refusal nor the
// broker's fault.
func unexpected(errs ...error) error {
	for _, err := range errs {
		if err != nil && !refusedAs(err, allowed...) && !errors.Is(err, errBroker) {
			return err
		}
	}
	return nil
}

func (r *races) choose(ctx context.Context, server *app.Service, d *dice) error {
	run := r.pick(d)
	switch d.IntN(16) {
	case 0:
		if d.IntN(3) > 0 { // few runs, so that they are fought over
			return nil
		}
		return r.initiate(ctx, server, run.Tenant)
	case 1, 2, 3:
		_, err := server.RetryFailed(ctx, admin(run.Tenant), run.ID, app.RetryRequest{})
		return err
	case 4:
		key := core.Key(fmt.Sprint("continue-", d.IntN(20)))
		_, err := server.RetryFailed(ctx, admin(run.Tenant), run.ID, app.RetryRequest{IdempotencyKey: key})
		return err
	case 5:
		if d.IntN(3) > 0 {
			return nil
		}
		_, err := server.Cancel(ctx, admin(run.Tenant), run.ID)
		return err
	case 6:
		_, err := server.Recover(ctx, 10)
		return err
	case 7:
		key := core.Key(fmt.Sprint("purchase-", d.IntN(1000)))
		_, err := server.PurchaseCredits(ctx, core.System, run.Tenant, key, core.Credits(1+d.IntN(9)))
		return err
	case 8:
		r.clock.Advance(time.Duration(d.IntN(40)) * time.Second)
		return nil
	case 9:
		return r.read(ctx, server, run)
	case 10:
		return r.repeatJobs(ctx, d)
	case 11:
		return r.settleLate(ctx, server, d)
	default:
		return r.workSome(ctx, server, d)
	}
}

func (r *races) pick(d *dice) core.Run {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.runs) == 0 {
		return core.Run{ID: "none", Tenant: r.tenants[0]}
	}
	return r.runs[max(0, len(r.runs)-1-d.IntN(4))]
}

func (r *races) initiate(ctx context.Context, server *app.Service, tenant core.TenantID) error {
	req := r.request(tenant, 6)
	req.Template = "race"
	run, err := server.Initiate(ctx, admin(tenant), req)
	if run.ID != "" { // also when it could not be enqueued
		r.mu.Lock()
		defer r.mu.Unlock()
		r.runs = append(r.runs, run)
	}
	if errors.Is(err, core.ErrEnqueueFailed) {
		return nil
	}
	return err
}

// read looks at a run in every way; what is seen must hold at every moment.
func (r *races) read(ctx context.Context, server *app.Service, run core.Run) error {
	if _, err := server.PreviewRetry(ctx, admin(run.Tenant), run.ID); err != nil {
		return err
	}
	if _, err := server.Receipt(ctx, admin(run.Tenant), run.ID); err != nil {
		return err
	}
	broken, err := Violations(ctx, r.store, run.Tenant)
	if err == nil && len(broken) > 0 {
		err = fmt.Errorf("in the middle of the race: %v", broken)
	}
	return err
}

// repeatJobs enqueues again what the queue has carried before.
func (r *races) repeatJobs(ctx context.Context, d *dice) error {
	r.mu.Lock()
	if len(r.seen) == 0 {
		r.mu.Unlock()
		return nil
	}
	job := r.seen[d.IntN(len(r.seen))]
	r.mu.Unlock()
	_, err := r.queue.Queue.Enqueue(ctx, []core.Job{job})
	return err
}

// settleLate brings results that were held back.
func (r *races) settleLate(ctx context.Context, server *app.Service, d *dice) error {
	r.mu.Lock()
	if len(r.late) == 0 {
		r.mu.Unlock()
		return nil
	}
	late := r.late[d.IntN(len(r.late))]
	r.mu.Unlock()
	return settle(ctx, server, late)
}

// workSome claims what waits. Then the worker settles it, or dies, or is slow,
// or hands it back, or renews its lease first.
func (r *races) workSome(ctx context.Context, server *app.Service, d *dice) error {
	if r.queue.Len() == 0 {
		return nil
	}
	soon, cancel := context.WithTimeout(ctx, time.Millisecond)
	deliveries, err := r.queue.Receive(soon, 1+d.IntN(4), ports.Skip{})
	cancel()
	if err != nil {
		return ctx.Err() // others were faster
	}
	var jobs []core.Job
	for _, delivery := range deliveries {
		jobs = append(jobs, delivery.Jobs()...)
	}
	r.mu.Lock()
	r.seen = append(r.seen, jobs...)
	r.mu.Unlock()
	var errs []error
	for _, group := range app.ByRun(jobs) {
		errs = append(errs, r.workGroup(ctx, server, d, group))
	}
	for _, delivery := range deliveries { // also after an error: a delivery that is kept is never sent again
		end := delivery.Ack
		if d.IntN(8) == 0 {
			end = delivery.Nack
		}
		errs = append(errs, end(ctx))
	}
	return unexpected(errs...)
}

func (r *races) workGroup(ctx context.Context, server *app.Service, d *dice, group []core.Job) error {
	claimed, _, err := server.Claim(ctx, group, app.WaitForLock)
	if err != nil || len(claimed) == 0 {
		return err
	}
	held := make([]core.Job, len(claimed))
	for i, c := range claimed {
		held[i] = c.Job
	}
	settlements, err := executeAll(ctx, server, claimed)
	if err != nil {
		return err
	}
	switch d.IntN(8) {
	case 0: // dies
		return nil
	case 1: // is slow
		r.mu.Lock()
		defer r.mu.Unlock()
		r.late = append(r.late, settlements)
		return nil
	case 2:
		return server.HandBack(ctx, held)
	case 3:
		r.clock.Advance(lease / 2)
		if _, _, err := server.Renew(ctx, held, app.WaitForLock); err != nil {
			return err
		}
	case 4: // brings it twice
		if _, err := server.Settle(ctx, settlements, app.WaitForLock); err != nil {
			return err
		}
	}
	return settle(ctx, server, settlements)
}
