package worker_test

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/core/app/worker"
	"github.com/redrive/redrive/ports"
)

// provider is an executor that fails as it is told to, and notes when it was asked.
type provider struct {
	mu         sync.Mutex
	code       string // of failures; empty: it works
	retryAfter time.Duration
	only       core.TemplateID // if set, the others work
	asked      []time.Time
}

func (p *provider) Execute(_ context.Context, task ports.Task) ([]core.FileResult, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.only != "" && p.only != task.Template.ID {
		return completed(task), nil
	}
	p.asked = append(p.asked, time.Now())
	if p.code == "" {
		return completed(task), nil
	}
	return failed(task, p.code, p.retryAfter), nil
}

func (p *provider) set(code string, retryAfter time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.code, p.retryAfter, p.asked = code, retryAfter, nil
}

func (p *provider) calls() []time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]time.Time(nil), p.asked...)
}

// inBubble runs a test with time that passes as soon as nothing else happens.
func inBubble(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, test)
}

func (b *bench) sleepUntilClosed(id core.RunID, most time.Duration) time.Duration {
	b.t.Helper()
	began := time.Now()
	for !b.run(id).Status.Closed() {
		require.Less(b.t, time.Since(began), most, "the run stays open")
		time.Sleep(time.Second)
	}
	return time.Since(began)
}

func tally(files []core.File) (n map[core.FileStatus]int) {
	n = map[core.FileStatus]int{}
	for _, f := range files {
		n[f.Status]++
	}
	return n
}

func TestBreaker(t *testing.T) {
	t.Parallel()
	policy := worker.Breaker{Failures: 3, OpenFor: 30 * time.Second, MaxOutage: 20 * time.Minute}

	// An outage in the middle of a run: the first few files fail, then the provider is
	// waited for, and everything else is done when it is back, with no retry of any
	// file and no credit spent on it.
	t.Run("AnOutageDoesNotBurnTheFiles", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			p := &provider{}
			p.set(core.FailureUnavailable, 0)
			b := newBench(t, p, withSystemClock)
			id := b.initiate(100)
			w, cancel, wait := b.launch(worker.Options{Concurrency: 1, Breaker: policy})
			time.Sleep(10 * time.Minute)
			calls := p.calls()
			// The third failure opens it; that job and every probe are handed back.
			require.InDelta(t, 3+10*60/30, len(calls), 1)
			for i := 3; i < len(calls); i++ {
				require.GreaterOrEqual(t, calls[i].Sub(calls[i-1]), policy.OpenFor)
			}
			require.Equal(t, core.RunRunning, b.run(id).Status)
			require.Equal(t, map[core.FileStatus]int{core.FileFailed: 2, core.FilePending: 98}, tally(b.files(id)))
			s := w.Stats()
			require.Len(t, s.Breakers, 1)
			require.Equal(t, "acme/t", s.Breakers[0].Endpoint)
			require.NotEqual(t, "closed", s.Breakers[0].State)
			require.False(t, s.Breakers[0].GivenUp)
			require.Positive(t, s.BreakerOpened)

			p.set("", 0)
			require.Less(t, b.sleepUntilClosed(id, 5*time.Minute), time.Minute)
			require.Equal(t, core.RunCompletedWithErrors, b.run(id).Status)
			require.Equal(t, map[core.FileStatus]int{core.FileFailed: 2, core.FileCompleted: 98}, tally(b.files(id)))
			for _, f := range b.files(id) {
				require.Zero(t, f.RetryAttempt)
				require.Zero(t, f.Redeliveries)
			}
			require.EqualValues(t, 1, w.Stats().BreakerClosed)
			cancel()
			require.NoError(t, wait())
		})
	})

	// What was under way when the breaker opened is handed back too.
	t.Run("WhatWasUnderWayIsHandedBack", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			var mu sync.Mutex
			down, executing := true, 0
			fail := make(chan struct{})
			b := newBench(t, ports.ExecutorFunc(func(_ context.Context, task ports.Task) ([]core.FileResult, error) {
				mu.Lock()
				executing++
				down := down
				mu.Unlock()
				if down {
					<-fail
					return failed(task, core.FailureTimeout, 0), nil
				}
				return completed(task), nil
			}), withSystemClock)
			id := b.initiate(50)
			w, _, _ := b.launch(worker.Options{Concurrency: 20, Breaker: policy})
			synctest.Wait()
			require.Equal(t, 20, executing)
			close(fail)
			time.Sleep(time.Second)
			require.Equal(t, map[core.FileStatus]int{core.FileFailed: 2, core.FilePending: 48}, tally(b.files(id)))
			// And what came for the places of the two that were recorded.
			require.InDelta(t, 19, w.Stats().HandedBack, 1)
			mu.Lock()
			down = false
			mu.Unlock()
			b.sleepUntilClosed(id, time.Hour)
			require.Equal(t, map[core.FileStatus]int{core.FileFailed: 2, core.FileCompleted: 48}, tally(b.files(id)))
		})
	})

	// A provider that never comes back does not hold a run for ever.
	t.Run("AnOutageThatIsTooLongIsGivenUpOn", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			p := &provider{}
			p.set(core.FailureUnreachable, 0)
			b := newBench(t, p, withSystemClock)
			id := b.initiate(500)
			w, _, _ := b.launch(worker.Options{Concurrency: 4, Breaker: policy})
			took := b.sleepUntilClosed(id, time.Hour)
			require.InDelta(t, policy.MaxOutage.Seconds(), took.Seconds(), 60)
			require.Equal(t, core.RunFailed, b.run(id).Status)
			require.True(t, w.Stats().Breakers[0].GivenUp)
			// And one that comes back after that is found at once, breaker and all.
			p.set("", 0)
			again := b.initiate(10)
			require.Less(t, b.sleepUntilClosed(again, time.Hour), time.Minute)
			require.Equal(t, core.RunCompleted, b.run(again).Status)
			require.Empty(t, w.Stats().Breakers)
			p.set(core.FailureUnreachable, 0)
			third := b.initiate(10)
			time.Sleep(time.Minute)
			require.Equal(t, 2, tally(b.files(third))[core.FileFailed], "it opens again")
		})
	})

	// What the provider asked for is waited for, if that is longer.
	t.Run("RetryAfterCounts", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			p := &provider{only: template}
			p.set(core.FailureRateLimited, 4*time.Minute)
			b := newBench(t, p, withSystemClock)
			b.initiate(10)
			b.launch(worker.Options{Concurrency: 1, Breaker: policy})
			for range 9 * 6 { // others go on, so that the pool looks again and again
				time.Sleep(10 * time.Second)
				b.initiateFor(globex, other, 1)
			}
			calls := p.calls()
			require.Len(t, calls, 3+2)
			for _, i := range []int{3, 4} {
				require.InDelta(t, 240, calls[i].Sub(calls[i-1]).Seconds(), 2)
			}
		})
	})

	// Failures of files do not count, however many.
	t.Run("BadFilesOpenNothing", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			p := &provider{}
			p.set("output_truncated", 0)
			b := newBench(t, p, withSystemClock)
			id := b.initiate(50)
			w, _, _ := b.launch(worker.Options{Concurrency: 2, Breaker: policy})
			require.Less(t, b.sleepUntilClosed(id, time.Hour), 2*time.Second)
			require.Len(t, p.calls(), 50)
			require.Zero(t, w.Stats().BreakerOpened)
		})
	})

	t.Run("CanBeSwitchedOff", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			p := &provider{}
			p.set(core.FailureUnavailable, 0)
			b := newBench(t, p, withSystemClock)
			id := b.initiate(50)
			b.launch(worker.Options{Concurrency: 2, Breaker: worker.Breaker{Failures: -1}})
			require.Less(t, b.sleepUntilClosed(id, time.Hour), 2*time.Second)
			require.Equal(t, core.RunFailed, b.run(id).Status)
		})
	})

	// A template whose jobs fail keeps no other back, also of the same endpoint.
	for name, shared := range map[string]bool{"TemplatesAreApart": false, "AlsoThoseOfOneEndpoint": true} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				p := &provider{only: template}
				p.set(core.FailureUnavailable, 0)
				b := newBench(t, p, withSystemClock)
				o := worker.Options{Concurrency: 4, Breaker: policy}
				if shared {
					o.Breaker.Endpoint = func(ports.TemplateKey) string { return "the one" }
				}
				down := b.initiate(20)
				b.launch(o)
				time.Sleep(time.Second)
				up := b.initiateFor(tenant, other, 20)
				time.Sleep(20 * time.Second) // less than OpenFor
				require.Equal(t, core.RunRunning, b.run(down).Status)
				require.Equal(t, core.RunCompleted, b.run(up).Status)
			})
		})
	}

	// Of a batch of which something was done nothing is thrown away.
	t.Run("WhatWasDoneIsRecorded", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			b := newBench(t, ports.ExecutorFunc(func(_ context.Context, task ports.Task) ([]core.FileResult, error) {
				return append(completed(task)[:1], failed(task, core.FailureUnavailable, 0)[1:]...), nil
			}), withSystemClock)
			ctx := context.Background()
			_, err := b.svc.CreateTemplate(ctx, platform, core.Template{ID: "b", Tenant: tenant, Name: "B", CreditsPerRun: 1, Mode: core.ModeBatch})
			require.NoError(t, err)
			_, err = b.svc.PublishTemplate(ctx, platform, tenant, "b")
			require.NoError(t, err)
			var ids []core.RunID
			for range 5 {
				ids = append(ids, b.initiateFor(tenant, "b", 3))
			}
			b.launch(worker.Options{Concurrency: 2, Breaker: policy})
			for _, id := range ids {
				b.sleepUntilClosed(id, time.Minute)
				require.Equal(t, map[core.FileStatus]int{core.FileCompleted: 1, core.FileFailed: 2}, tally(b.files(id)))
			}
		})
	})
}

// In-job retries come first: a provider that stumbles once opens nothing.
func TestBreakerCountsJobsAndNotTries(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := newBench(t, ports.ExecutorFunc(func(_ context.Context, task ports.Task) ([]core.FileResult, error) {
			if task.Try < 3 {
				return failed(task, core.FailureUnavailable, 0), nil
			}
			return completed(task), nil
		}), withSystemClock, func(_ *app.Deps, o *app.Options) {
			o.Retry = core.RetryPolicy{MaxTries: 3, BaseDelay: time.Second, MaxDelay: time.Second, Budget: time.Minute}
		})
		id := b.initiate(20)
		w, _, _ := b.launch(worker.Options{Concurrency: 20, Breaker: worker.Breaker{Failures: 2}})
		b.sleepUntilClosed(id, time.Minute)
		require.Equal(t, core.RunCompleted, b.run(id).Status)
		require.Zero(t, w.Stats().BreakerOpened)
	})
}

// Each change of a breaker is in the log.
func TestBreakerIsLogged(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		var log syncBuilder
		p := &provider{}
		p.set(core.FailureUnavailable, 0)
		b := newBench(t, p, withSystemClock)
		id := b.initiate(5)
		b.launch(worker.Options{Concurrency: 1, Breaker: worker.Breaker{Failures: 2}, Log: slog.New(slog.NewTextHandler(&log, nil))})
		time.Sleep(20 * time.Second)
		p.set("", 0)
		b.sleepUntilClosed(id, time.Minute)
		for _, change := range []string{
			`level=WARN msg="the provider is down: its jobs are kept back" endpoint=acme/t tenant=acme template=t fault=provider_unavailable`,
			`level=INFO msg="jobs are worked on again" endpoint=acme/t tenant=acme template=t cause=provider`,
		} {
			require.Equal(t, 1, strings.Count(log.String(), change), log.String())
		}
	})
}

// syncBuilder is a strings.Builder for many goroutines.
type syncBuilder struct {
	mu sync.Mutex
	b  strings.Builder
}

func (s *syncBuilder) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuilder) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
