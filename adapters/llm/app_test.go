package llm_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/llm"
	"github.com/redrive/redrive/adapters/memory"
	"github.com/redrive/redrive/cmd/server/fakellm"
	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/internal/testkit/install"
	"github.com/redrive/redrive/ports"
)

// recordingClock stands still; a sleep advances it at once and is recorded.
type recordingClock struct {
	mu    sync.Mutex
	now   time.Time
	slept []time.Duration
}

func (c *recordingClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *recordingClock) Sleep(ctx context.Context, d time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
	c.slept = append(c.slept, d)
	return ctx.Err()
}

// takeSlept gives the sleeps since the last call.
func (c *recordingClock) takeSlept() []time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	slept := c.slept
	c.slept = nil
	return slept
}

// service is the use cases on the memory adapters with an executor of the rig.
type service struct {
	t     *testing.T
	app   *app.Service
	queue *memory.Queue
	clock *recordingClock
	fake  *fakellm.Server
}

const tenant core.TenantID = "acme"

var admin = core.Actor{Subject: "ada", Tenant: tenant, Role: core.RoleCustomerAdmin}

// newService has 100 purchased credits and a published template "summary" at 1
// credit a file. Jobs are tried twice, without a wait unless the provider asks for one.
func newService(t *testing.T, mode core.Mode, script fakellm.Script, change ...func(*llm.Config)) *service {
	t.Helper()
	// Without its Accept: files that an earlier version stored were not checked.
	return newServiceOf(t, mode, script, func(e *llm.Executor) ports.Executor { return ports.ExecutorFunc(e.Execute) }, change...)
}

func newServiceOf(t *testing.T, mode core.Mode, script fakellm.Script, of func(*llm.Executor) ports.Executor, change ...func(*llm.Config)) *service {
	t.Helper()
	r := newRig(t, script, change...)
	s := &service{
		t: t, queue: memory.NewQueue(), fake: r.fake,
		clock: &recordingClock{now: time.Date(2026, 3, 10, 12, 0, 0, 0, time.UTC)},
	}
	t.Cleanup(func() { require.NoError(t, s.queue.Close()) })
	s.app = install.Service(t, app.Deps{
		Queue: s.queue, Executor: of(r.exec), Clock: s.clock, IDs: memory.NewSequence("run"),
	}, app.Options{
		Retry: core.RetryPolicy{MaxTries: 2, BaseDelay: time.Second, MaxDelay: time.Second, Budget: time.Minute},
		Roll:  func() float64 { return 0 },
	})
	summary := core.Template{ID: "summary", Name: "Summary", Instructions: "Summarise.", CreditsPerRun: 1, Mode: mode}
	install.Make(t, s.app, install.Tenant{ID: tenant, Purchased: 100, Templates: []core.Template{summary}})
	return s
}

// initiate starts a run over files "name: text" and works all its jobs.
func (s *service) initiate(files ...string) core.RunID {
	s.t.Helper()
	run := s.upload(files...)
	s.work()
	return run.ID
}

// upload starts a run over files "name: text".
func (s *service) upload(files ...string) core.Run {
	s.t.Helper()
	upload, err := s.app.BeginUpload(s.t.Context(), admin, app.UploadRequest{Tenant: tenant, Template: "summary"})
	require.NoError(s.t, err)
	for _, f := range files {
		name, text, _ := strings.Cut(f, ": ")
		_, err := upload.Add(s.t.Context(), name, strings.NewReader(text))
		require.NoError(s.t, err)
	}
	run, err := s.app.Initiate(s.t.Context(), admin, app.InitiateRequest{Tenant: tenant, Template: "summary", Upload: upload})
	require.NoError(s.t, err)
	return run
}

// work does everything that is in the queue, one job after the other.
func (s *service) work() {
	s.t.Helper()
	for s.queue.Len() > 0 {
		deliveries, err := s.queue.Receive(s.t.Context(), 1, ports.Skip{})
		require.NoError(s.t, err)
		for _, d := range deliveries {
			require.NoError(s.t, s.app.Work(s.t.Context(), d))
		}
	}
}

// state gives a run's status and the outcome of each file.
func (s *service) state(id core.RunID) (core.RunStatus, []string) {
	s.t.Helper()
	view, err := s.app.Run(s.t.Context(), admin, id)
	require.NoError(s.t, err)
	files, err := s.app.RunFiles(s.t.Context(), admin, id, ports.FileFilter{Limit: 100, OutputBytes: 1 << 20})
	require.NoError(s.t, err)
	var lines []string
	for _, f := range files {
		line := fmt.Sprintf("%s %s %s", f.Name, f.Status, f.Failure.Code)
		lines = append(lines, strings.TrimSpace(line))
	}
	return view.Run.Status, lines
}

func (s *service) credits() core.Credits {
	s.t.Helper()
	b, err := s.app.Balance(s.t.Context(), admin, tenant)
	require.NoError(s.t, err)
	return b.Monthly + b.Purchased
}

func (s *service) counts(files ...string) []int {
	var n []int
	for _, f := range files {
		n = append(n, s.fake.Count(f))
	}
	return n
}

func TestRunThroughTheUseCases(t *testing.T) {
	t.Parallel()
	files := []string{"ok: fine", "limited: a", "cut: b", "garbled: c", "refused: d", "binary: \x00\x01", "overlong: f"}
	names := []string{"ok", "limited", "cut", "garbled", "refused", "binary", "overlong"}
	// Each of these fails at both tries of the first dispatch, "limited" at the
	// first try alone.
	script := fakellm.Rules(
		fakellm.Rule{File: "limited", To: 1, Do: fakellm.RateLimit(7 * time.Second)},
		fakellm.Rule{File: "cut", To: 2, Do: fakellm.Drop()},
		fakellm.Rule{File: "garbled", To: 2, Do: fakellm.Malformed()},
		fakellm.Rule{File: "refused", Do: fakellm.Refuse("no")},
		// A wait beyond the budget: not tried again in the job, so seen once.
		fakellm.Rule{File: "overlong", To: 1, Do: fakellm.RateLimit(10 * time.Minute)},
	)
	first := []string{
		"ok completed", "limited completed", "cut failed provider_unreachable", "garbled failed malformed_response",
		"refused error content_refused", "binary error file_undecodable", "overlong failed rate_limited",
	}
	second := []string{
		"ok completed", "limited completed", "cut completed", "garbled completed",
		"refused error content_refused", "binary error file_undecodable", "overlong completed",
	}

	t.Run("PerFile", func(t *testing.T) {
		t.Parallel()
		s := newService(t, core.ModePerFile, script)
		run := s.initiate(files...)
		status, got := s.state(run)
		require.Equal(t, core.RunCompletedWithErrors, status)
		require.Equal(t, first, got)
		require.Equal(t, []int{1, 2, 2, 2, 1, 0, 1}, s.counts(names...))
		require.Equal(t, core.Credits(93), s.credits())
		require.Equal(t, []time.Duration{7 * time.Second, 0, 0}, s.clock.takeSlept(), "Retry-After is honoured, by the job that got it")

		_, err := s.app.RetryFailed(t.Context(), admin, run, app.RetryRequest{})
		require.NoError(t, err)
		s.work()
		status, got = s.state(run)
		require.Equal(t, core.RunCompletedWithErrors, status)
		require.Equal(t, second, got)
		require.Equal(t, []int{1, 2, 3, 3, 1, 0, 2}, s.counts(names...), "only what failed ran again")
		require.Equal(t, core.Credits(90), s.credits(), "and only that was charged")

		_, err = s.app.RetryFailed(t.Context(), admin, run, app.RetryRequest{})
		require.ErrorIs(t, err, core.ErrNothingToRetry)
	})
	t.Run("Batch", func(t *testing.T) {
		t.Parallel()
		// Without the wait that is beyond the budget: a batch waits for the longest
		// wait of all its files.
		s := newService(t, core.ModeBatch, script)
		run := s.initiate(files[:6]...)
		status, got := s.state(run)
		require.Equal(t, core.RunCompletedWithErrors, status)
		require.Equal(t, first[:6], got)
		require.Equal(t, []int{1, 2, 2, 2, 1, 0}, s.counts(names[:6]...), "a try has only the files that are still to be done")
		require.Equal(t, []time.Duration{7 * time.Second}, s.clock.takeSlept())

		_, err := s.app.RetryFailed(t.Context(), admin, run, app.RetryRequest{})
		require.NoError(t, err)
		s.work()
		status, got = s.state(run)
		require.Equal(t, core.RunCompletedWithErrors, status)
		require.Equal(t, second[:6], got)
		require.Equal(t, core.Credits(92), s.credits())
	})
	t.Run("Timeout", func(t *testing.T) {
		t.Parallel()
		s := newService(t, core.ModePerFile, fakellm.Rules(fakellm.Rule{To: 2, Do: fakellm.Hang()}),
			func(c *llm.Config) { c.Timeout = 500 * time.Millisecond })
		run := s.initiate("slow: a")
		status, got := s.state(run)
		require.Equal(t, core.RunFailed, status)
		require.Equal(t, []string{"slow failed timeout"}, got)
		require.Equal(t, []int{2}, s.counts("slow"))

		_, err := s.app.RetryFailed(t.Context(), admin, run, app.RetryRequest{})
		require.NoError(t, err)
		s.work()
		status, got = s.state(run)
		require.Equal(t, core.RunCompleted, status)
		require.Equal(t, []string{"slow completed"}, got)
	})
	t.Run("OnlyRefused", func(t *testing.T) {
		t.Parallel()
		s := newService(t, core.ModePerFile, fakellm.Always(fakellm.ContentPolicy()))
		run := s.initiate("a: x")
		status, got := s.state(run)
		require.Equal(t, core.RunFailed, status)
		require.Equal(t, []string{"a error content_refused"}, got)
		_, err := s.app.RetryFailed(t.Context(), admin, run, app.RetryRequest{})
		require.ErrorIs(t, err, core.ErrNothingToRetry)
		require.Equal(t, []int{1}, s.counts("a"))
	})
	t.Run("AnEndedContextHandsTheJobBack", func(t *testing.T) {
		t.Parallel()
		s := newService(t, core.ModePerFile, fakellm.Rules(fakellm.Rule{To: 1, Do: fakellm.Hang()}))
		run := s.upload("a: x")
		deliveries, err := s.queue.Receive(t.Context(), 1, ports.Skip{})
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- s.app.Work(ctx, deliveries[0]) }()
		require.NoError(t, s.fake.AwaitInFlight(t.Context(), 1))
		cancel()
		require.ErrorIs(t, <-done, context.Canceled)
		s.work()
		status, _ := s.state(run.ID)
		require.Equal(t, core.RunCompleted, status, "another worker did it")
		keys := map[string]bool{}
		for _, r := range s.fake.Requests() {
			keys[r.Header.Get("Idempotency-Key")] = true
		}
		require.Len(t, keys, 2, "under a new epoch, as new work")
	})
}

// TestDemoJourney is what `make run` shows: some files fail at first, a Continue runs
// only those, and refused files stay refused.
func TestDemoJourney(t *testing.T) {
	t.Parallel()
	s := newService(t, core.ModePerFile, fakellm.Demo(fakellm.DemoOptions{Failures: 2, RetryAfter: 100 * time.Millisecond}))
	files := []string{"invoice.txt: a", "rate-limit.txt: b", "timeout.txt: c", "outage.txt: d", "refuse.txt: e"}
	for range 2 { // it can be played again
		run := s.initiate(files...)
		status, got := s.state(run)
		require.Equal(t, core.RunCompletedWithErrors, status)
		require.Equal(t, []string{
			"invoice.txt completed", "rate-limit.txt failed rate_limited", "timeout.txt failed timeout",
			"outage.txt failed provider_unavailable", "refuse.txt error content_refused",
		}, got)
		_, err := s.app.RetryFailed(t.Context(), admin, run, app.RetryRequest{})
		require.NoError(t, err)
		s.work()
		status, got = s.state(run)
		require.Equal(t, core.RunCompletedWithErrors, status)
		require.Equal(t, []string{
			"invoice.txt completed", "rate-limit.txt completed", "timeout.txt completed",
			"outage.txt completed", "refuse.txt error content_refused",
		}, got)
	}
}
