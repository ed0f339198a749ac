package sqltest

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/ports"
)

// ConcurrentContinues is the test that the original left undone: 50 Continues of one run at the
// same moment, over as many connections, again and again. In each exactly one wins and
// exactly one charge is made; the others are told that the run is running.
func ConcurrentContinues(t *testing.T, rounds int, newWorld NewWorld) {
	t.Helper()
	const contenders, files = 50, 3
	w := newWorld(t, contenders, NoExecution)
	spent := w.BalanceOf(t, "acme").Available()
	began := time.Now()
	for round := range rounds {
		run := w.Settled(t, files, AllFail)
		errs := Together(contenders, func(int) error {
			_, err := w.RetryFailed(t.Context(), Customer, run.ID, app.RetryRequest{})
			return err
		})
		won := 0
		for _, err := range errs {
			if err == nil {
				won++
				continue
			}
			require.ErrorIs(t, err, core.ErrRunAlreadyRunning, "round %d", round)
		}
		require.Equal(t, 1, won, "round %d", round)
		require.Len(t, w.Queue.Drain(t), files, "round %d", round)
		require.EqualValues(t, 1, w.Number(t, `SELECT count(*) FROM ledger WHERE run_id = $1 AND attempt = 1 AND kind = 'charge'`, run.ID))
		require.EqualValues(t, 2, w.Number(t, `SELECT count(*) FROM attempts WHERE run_id = $1`, run.ID))
	}
	t.Logf("%d rounds of %d Continues: %v", rounds, contenders, time.Since(began).Round(time.Millisecond))
	require.EqualValues(t, rounds*2*files*2, spent-w.BalanceOf(t, "acme").Available(), "each file was charged twice, at 2 credits")
	w.DB.Invariants(t)
}

// MixedRace does everything at once on the same runs and tenants: Continues, settlements,
// cancels, purchases, grants, recovery, initiations and failing queues. Then the
// faults stop, every run has to close, and the invariants of spec 10 are
// recomputed by SQL.
func MixedRace(t *testing.T, newWorld NewWorld) {
	t.Helper()
	const users, operations, workers = 8, 50, 4
	seed := rand.Uint64()
	t.Logf("seed %d", seed)

	// A file's outcome depends on what it is and how often it was tried, so that
	// executions that race agree.
	execute := func(_ context.Context, task ports.Task) ([]core.FileResult, error) {
		results := make([]core.FileResult, len(task.Files))
		for i, f := range task.Files {
			h := fnv.New64a()
			if _, err := fmt.Fprintf(h, "%d %s %d %d", seed, task.Job.Run, task.Job.Epoch, f.Index); err != nil {
				return nil, err
			}
			results[i] = ResultOf(f.Index, []core.Outcome{core.OutcomeCompleted, core.OutcomeTransient, core.OutcomeTransient, core.OutcomePermanent}[h.Sum64()%4])
		}
		return results, nil
	}
	w := newWorld(t, users+workers+2, execute)
	tenants := []core.TenantID{"acme", "umbrella"}
	w.AddTenant(t, "umbrella")
	ctx := Bounded(t)

	var runs sharedRuns
	for _, tenant := range tenants {
		for range 2 {
			run, err := w.Start(ctx, tenant, 6)
			require.NoError(t, err)
			runs.add(run.ID)
		}
	}
	var failures atomic.Int64
	w.Queue.FailWith(func() error {
		if failures.Add(1)%7 == 0 {
			return ErrQueueDown
		}
		return nil
	})

	var working sync.WaitGroup
	stop, stopWorkers := context.WithCancel(ctx)
	defer stopWorkers()
	workerErrs := make([]error, workers)
	for i := range workers {
		working.Go(func() {
			for {
				deliveries, err := w.Queue.Receive(stop, 3, ports.Skip{})
				if err != nil {
					return // stopped
				}
				for _, d := range deliveries {
					if err := w.Work(ctx, d); err != nil && !errors.Is(err, ErrQueueDown) {
						workerErrs[i] = errors.Join(workerErrs[i], err)
					}
				}
			}
		})
	}
	errs := Together(users, func(i int) error {
		dice := rand.New(rand.NewPCG(seed, uint64(i)))
		for n := range operations {
			if err := unexpected(anything(ctx, w, dice, &runs, tenants, fmt.Sprintf("%d-%d", i, n))); err != nil {
				return err
			}
		}
		return nil
	})
	for _, err := range errs {
		require.NoError(t, err)
	}

	// The faults stop. What was lost, interrupted or half done is made good.
	w.Queue.FailWith(nil)
	require.Eventually(t, func() bool {
		w.Clock.Advance(20 * time.Minute)
		_, err := w.Recover(ctx, 100)
		return err == nil && w.Number(t, `SELECT count(*) FROM runs WHERE status = 'RUNNING'`) == 0
	}, testTimeout, 5*time.Millisecond, "a run stays RUNNING")
	stopWorkers()
	working.Wait()
	require.Equal(t, make([]error, workers), workerErrs)

	w.DB.Invariants(t)
	for _, tenant := range tenants {
		differences, err := w.CheckLedger(ctx, Admin, tenant)
		require.NoError(t, err)
		require.Empty(t, differences)
	}
	for _, interesting := range []string{
		`SELECT count(*) FROM attempts WHERE attempt > 0 AND charge_key IS NOT NULL`,
		`SELECT count(*) FROM attempts WHERE compensated_at IS NOT NULL`,
		`SELECT count(*) FROM ledger WHERE kind = 'purchase' AND key <> 'client/opening'`,
		`SELECT count(*) FROM files WHERE status = 'completed' AND retry_attempt > 0`,
	} {
		require.Positive(t, w.Number(t, interesting), "the race has to have had some: %s", interesting)
	}
}

// anything does one thing that users, operators or the clock do.
func anything(ctx context.Context, w *World, dice *rand.Rand, runs *sharedRuns, tenants []core.TenantID, key string) error {
	run, tenant := runs.pick(dice), tenants[dice.IntN(len(tenants))]
	var err error
	switch p := dice.IntN(100); {
	case p < 45:
		idempotency := core.Key("")
		if dice.IntN(2) == 0 {
			idempotency = core.Key(key)
		}
		_, err = w.RetryFailed(ctx, Admin, run, app.RetryRequest{IdempotencyKey: idempotency})
	case p < 52:
		_, err = w.Cancel(ctx, Admin, run)
	case p < 62:
		_, err = w.PurchaseCredits(ctx, Admin, tenant, core.Key(key), core.Credits(1+dice.IntN(9)))
	case p < 66:
		_, err = w.GrantAllowance(ctx, Admin, tenant, core.Key(key), core.PeriodOf(w.Clock.Now()), core.Credits(1+dice.IntN(9)))
	case p < 76:
		w.Clock.Advance(time.Duration(dice.IntN(40)) * time.Second)
		_, err = w.Recover(ctx, 10)
	case p < 84:
		var started core.Run
		if started, err = w.Start(ctx, tenant, 1+dice.IntN(8)); started.ID != "" {
			runs.add(started.ID)
		}
	case p < 88:
		_, err = w.RaiseMaxRetryCount(ctx, Admin, run, 4+dice.IntN(7))
	case p < 94:
		_, err = w.PreviewRetry(ctx, Admin, run)
	default:
		_, err = w.Receipt(ctx, Admin, run)
	}
	return err
}

// unexpected drops refusals and the faults that were injected.
func unexpected(err error) error {
	var refusal *core.Error
	if errors.As(err, &refusal) || errors.Is(err, ErrQueueDown) {
		return nil
	}
	return err
}

type sharedRuns struct {
	mu   sync.Mutex
	list []core.RunID
}

func (r *sharedRuns) add(id core.RunID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.list = append(r.list, id)
}

func (r *sharedRuns) pick(dice *rand.Rand) core.RunID {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.list[dice.IntN(len(r.list))]
}
