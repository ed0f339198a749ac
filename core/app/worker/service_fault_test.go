package worker_test

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/core/app/worker"
	"github.com/redrive/redrive/ports"
)

// interrupted answers every file of a task with a fault of ours.
func interrupted(task ports.Task, code string) []core.FileResult {
	results := make([]core.FileResult, len(task.Files))
	for i, f := range task.Files {
		results[i] = core.FileResult{Index: f.Index, Outcome: core.OutcomeInterrupted, Failure: core.Failure{Code: code, Message: "the service's credential was refused"}}
	}
	return results
}

// account is an executor whose provider refuses requests while there is a code. What it
// answers takes a second.
type account struct {
	mu    sync.Mutex
	code  func(ports.Task) string // "" answers
	calls map[core.TemplateID]int
	times map[core.JobID]int
}

func newAccount(code func(ports.Task) string) *account {
	return &account{code: code, calls: map[core.TemplateID]int{}, times: map[core.JobID]int{}}
}

func always(code string) func(ports.Task) string { return func(ports.Task) string { return code } }

func (a *account) Execute(ctx context.Context, task ports.Task) ([]core.FileResult, error) {
	a.mu.Lock()
	code := a.code(task)
	a.calls[task.Template.ID]++
	a.times[task.Job.ID]++
	a.mu.Unlock()
	switch {
	case code == "":
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		return completed(task), nil
	case core.Failure{Code: code}.Blocks():
		return interrupted(task, code), nil
	default:
		return failed(task, code, 0), nil
	}
}

func (a *account) set(code func(ports.Task) string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.code = code
	clear(a.calls)
}

func (a *account) called() (n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, calls := range a.calls {
		n += calls
	}
	return n
}

func (b *bench) balance(of core.TenantID) core.Credits {
	b.t.Helper()
	balance, err := b.svc.Balance(context.Background(), platform, of)
	require.NoError(b.t, err)
	return balance.Available()
}

func (b *bench) proceed(id core.RunID) core.Run {
	b.t.Helper()
	run, err := b.svc.RetryFailed(context.Background(), platform, id, app.RetryRequest{})
	require.NoError(b.t, err)
	return run
}

// oneEndpoint is a breaker as a server has it: all templates go to one endpoint.
var oneEndpoint = worker.Breaker{Endpoint: func(ports.TemplateKey) string { return "llm" }}

// A key that is wrong costs a run of any size a handful of requests and no credit, and
// the run says why it was interrupted. Once the key is mended one Continue does
// everything, free.
func TestAWrongKeyDoesNotBurnARun(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		const places = 16
		files := 10_000
		if testing.Short() {
			files = 1000
		}
		var log syncBuilder
		a := newAccount(always(core.FailureUnauthorized))
		b := newBench(t, a, withSystemClock)
		id := b.initiate(files)
		paid := b.balance(tenant)
		w, cancel, wait := b.launch(worker.Options{Concurrency: places, Breaker: oneEndpoint, Log: slog.New(slog.NewTextHandler(&log, nil))})
		took := b.sleepUntilClosed(id, 2*time.Minute)
		require.Less(t, took, time.Minute)
		require.LessOrEqual(t, a.called(), places+5)
		run := b.run(id)
		require.Equal(t, core.RunInterrupted, run.Status)
		require.Equal(t, core.ReasonServiceFault, run.Reason)
		require.Equal(t, core.FailureUnauthorized, run.Failure.Code)
		require.Equal(t, "the service's credential was refused", run.Failure.Message)
		require.Equal(t, map[core.FileStatus]int{core.FilePending: files}, tally(b.files(id)))
		require.Equal(t, paid, b.balance(tenant))
		require.EqualValues(t, 1, w.Stats().Interrupted)
		require.Equal(t, 1, strings.Count(log.String(), "level=WARN msg=\"jobs cannot be done because of a fault of the service"), log.String())
		require.Contains(t, log.String(), `fault=provider_unauthorized reason="the service's credential was refused"`)
		require.Contains(t, log.String(), `do="give the service a credential that the provider takes"`)
		breakers := w.Stats().Breakers
		require.Len(t, breakers, 1)
		require.Equal(t, "service", breakers[0].Cause)
		require.Equal(t, core.FailureUnauthorized, breakers[0].Fault.Code)
		require.False(t, breakers[0].Whole)
		require.Len(t, breakers[0].Circuits, 1)

		// A Continue while it is still wrong: one request tells, at once.
		time.Sleep(time.Minute)
		a.set(always(core.FailureUnauthorized))
		b.proceed(id)
		require.LessOrEqual(t, b.sleepUntilClosed(id, time.Minute), 2*time.Second)
		require.Equal(t, 1, a.called())
		require.Equal(t, core.RunInterrupted, b.run(id).Status)

		// And once it is mended.
		a.set(always(""))
		require.Zero(t, b.proceed(id).CreditsConsumed-run.CreditsConsumed)
		took = b.sleepUntilClosed(id, time.Hour)
		require.Less(t, took, time.Duration(files/places)*time.Second+10*time.Second)
		require.Equal(t, core.RunCompleted, b.run(id).Status)
		require.Equal(t, files, a.called())
		require.Equal(t, paid, b.balance(tenant))
		for _, f := range b.files(id) {
			require.Equal(t, f.FreeRetries, f.RetryAttempt, "it used up none of the tenant's")
		}
		require.Empty(t, w.Stats().Breakers)
		cancel()
		require.NoError(t, wait())
	})
}

// A key that is mended within the time costs nothing, not even a Continue.
func TestAFaultThatIsMendedSoonInterruptsNothing(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		a := newAccount(always(core.FailureQuota))
		b := newBench(t, a, withSystemClock)
		id := b.initiate(50)
		w, _, _ := b.launch(worker.Options{Concurrency: 8, Breaker: oneEndpoint})
		time.Sleep(10 * time.Second)
		a.set(always(""))
		require.Less(t, b.sleepUntilClosed(id, time.Minute), 15*time.Second)
		require.Equal(t, core.RunCompleted, b.run(id).Status)
		require.Zero(t, w.Stats().Interrupted)
		for _, f := range b.files(id) {
			require.Zero(t, f.RetryAttempt)
		}
	})
}

// A template that the model never takes a request of keeps no other waiting: neither
// the tenant's other template nor another tenant, on the one endpoint.
func TestATemplateThatFailsStopsNoOther(t *testing.T) {
	for name, code := range map[string]string{
		"RefusedRequests": core.FailureRequestRefused, "WrongModel": core.FailureMisconfigured, "Timeouts": core.FailureTimeout,
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				a := newAccount(func(task ports.Task) string {
					if task.Job.Tenant == tenant && task.Template.ID == template {
						return code
					}
					return ""
				})
				b := newBench(t, a, withSystemClock)
				bad := b.initiate(1000)
				b.launch(worker.Options{Concurrency: 8, Breaker: oneEndpoint})
				time.Sleep(5 * time.Second)
				for range 20 {
					own, foreign := b.initiateFor(tenant, other, 4), b.initiateFor(globex, template, 4)
					require.LessOrEqual(t, b.sleepUntilClosed(own, time.Minute), 2*time.Second)
					require.LessOrEqual(t, b.sleepUntilClosed(foreign, time.Minute), 2*time.Second)
					require.Equal(t, core.RunCompleted, b.run(own).Status)
					require.Equal(t, core.RunCompleted, b.run(foreign).Status)
				}
				if code == core.FailureTimeout { // it waits for the provider
					require.Equal(t, core.RunRunning, b.run(bad).Status)
				} else {
					require.Equal(t, core.RunInterrupted, b.run(bad).Status)
					require.Equal(t, code, b.run(bad).Failure.Code)
				}
			})
		})
	}
}

// What two templates of two tenants meet is the endpoint's: everything waits, and one
// probe decides for all.
func TestTwoTemplatesThatFailAreAnOutageOfTheirEndpoint(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		a := newAccount(always(core.FailureUnauthorized))
		b := newBench(t, a, withSystemClock)
		ids := []core.RunID{b.initiate(100), b.initiateFor(globex, template, 100)}
		w, _, _ := b.launch(worker.Options{Concurrency: 8, Breaker: oneEndpoint})
		time.Sleep(100 * time.Millisecond)
		ids = append(ids, b.initiateFor(tenant, other, 100), b.initiateFor(globex, other, 100))
		before := a.called()
		require.LessOrEqual(t, before, 16)
		require.True(t, w.Stats().Breakers[0].Whole)
		time.Sleep(20 * time.Second)
		require.LessOrEqual(t, a.called()-before, 4, "one probe for all, after 1, 3, 7 and 15 s")
		for _, id := range ids {
			b.sleepUntilClosed(id, time.Minute)
			require.Equal(t, core.RunInterrupted, b.run(id).Status)
		}
		require.LessOrEqual(t, a.called()-before, 5)
		require.EqualValues(t, 4, w.Stats().Interrupted)
		a.set(always(""))
		for _, id := range ids {
			b.proceed(id)
		}
		for _, id := range ids {
			b.sleepUntilClosed(id, 2*time.Minute)
			require.Equal(t, core.RunCompleted, b.run(id).Status)
		}
		require.Empty(t, w.Stats().Breakers)
	})
}

// Files that fail by themselves as if it were the provider's or our fault come to an end
// too, and the others are worked on meanwhile.
func TestPoisonFilesEnd(t *testing.T) {
	for code, status := range map[string]core.FileStatus{
		core.FailureRequestRefused: core.FilePending, core.FailureTimeout: core.FileFailed,
	} {
		t.Run(code, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				a := newAccount(func(task ports.Task) string {
					if task.Files[0].Index%3 == 0 {
						return code
					}
					return ""
				})
				b := newBench(t, a, withSystemClock)
				id := b.initiate(90)
				b.launch(worker.Options{Concurrency: 4, Breaker: worker.Breaker{Failures: 2}})
				b.sleepUntilClosed(id, 30*time.Minute)
				for _, f := range b.files(id) {
					if f.Index%3 == 0 {
						require.Equal(t, status, f.Status)
						require.Equal(t, code, f.Failure.Code)
					} else {
						require.Equal(t, core.FileCompleted, f.Status)
					}
				}
				for job, n := range a.times {
					require.LessOrEqual(t, n, 5, job)
				}
			})
		})
	}
}

// Probes are made with files that are not known to fail: a run whose first files fail
// by themselves waits a second and not for ever.
func TestProbesPreferFilesThatAreNotKnownToFail(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		a := newAccount(func(task ports.Task) string {
			if task.Files[0].Index < 8 {
				return core.FailureRequestRefused
			}
			return ""
		})
		b := newBench(t, a, withSystemClock)
		id := b.initiate(40)
		b.launch(worker.Options{Concurrency: 8, Breaker: oneEndpoint})
		time.Sleep(5 * time.Second)
		require.Positive(t, tally(b.files(id))[core.FileCompleted])
		b.sleepUntilClosed(id, time.Minute)
		require.Equal(t, map[core.FileStatus]int{core.FileCompleted: 32, core.FilePending: 8}, tally(b.files(id)))
		require.Equal(t, core.RunInterrupted, b.run(id).Status)
		require.Equal(t, core.FailureRequestRefused, b.run(id).Failure.Code)
	})
}

// A server with a wrong key beside one with a right one does not interrupt what that one
// works on, and what it takes from the queue it hands back.
func TestAServerWithAWrongKeyBesideAGoodOne(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		good, bad := newAccount(always("")), newAccount(always(core.FailureUnauthorized))
		b := newBench(t, good, withSystemClock)
		deps := b.deps
		deps.Executor = bad
		svc, err := app.New(deps, b.svc.Options())
		require.NoError(t, err)
		id := b.initiate(600)
		b.launch(worker.Options{Concurrency: 4, Breaker: oneEndpoint})
		wrong := *b
		wrong.svc = svc
		w, _, _ := wrong.launch(worker.Options{Concurrency: 4, Breaker: oneEndpoint})
		b.sleepUntilClosed(id, 10*time.Minute)
		require.Equal(t, core.RunCompleted, b.run(id).Status)
		require.Equal(t, 600, good.called())
		require.Zero(t, w.Stats().Interrupted)
		require.Greater(t, w.Stats().HandedBack, int64(4))
		require.LessOrEqual(t, bad.called(), 4+15)
	})
}

// What a panic, or a content that was lost, interrupts is recorded at once and opens
// nothing.
func TestFaultsOfOneFileOpenNothing(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := newBench(t, ports.ExecutorFunc(func(_ context.Context, task ports.Task) ([]core.FileResult, error) {
			switch task.Files[0].Index % 4 {
			case 0:
				panic("a bug")
			case 1:
				return interrupted(task, core.FailureUnreadable), nil
			}
			return completed(task), nil
		}), withSystemClock)
		id := b.initiate(400)
		paid := b.balance(tenant)
		w, _, _ := b.launch(worker.Options{Concurrency: 8, Breaker: worker.Breaker{Failures: 1}})
		require.LessOrEqual(t, b.sleepUntilClosed(id, time.Minute), time.Second)
		require.Equal(t, core.RunInterrupted, b.run(id).Status)
		require.Equal(t, map[core.FileStatus]int{core.FilePending: 200, core.FileCompleted: 200}, tally(b.files(id)))
		require.Zero(t, w.Stats().BreakerOpened)
		require.Zero(t, w.Stats().HandedBack)
		b.proceed(id)
		require.Equal(t, paid, b.balance(tenant), "a Continue is free")
	})
}
