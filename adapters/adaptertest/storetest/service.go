package storetest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/adaptertest/queuetest"
	"github.com/redrive/redrive/adapters/memory"
	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/ports"
)

const (
	lease = time.Minute
	price = core.Credits(3)
)

// service is a small installation on the store under test: several servers that
// share store, queue, files and clock.
type service struct {
	store   *recorder
	queue   *faultyQueue
	clock   *memory.ManualClock
	servers []*app.Service
	file    core.NewFile // of the first tenant
	tenants []core.TenantID
	// outcome decides how the execution of a file ends.
	outcome atomic.Pointer[func(task ports.Task, index int) core.Outcome]
}

// faultyQueue is a queue in memory whose Enqueue can be made to fail after some
// of the jobs got out.
type faultyQueue struct {
	*memory.Queue
	// out says how many of n jobs get out; a negative number is no fault.
	out atomic.Pointer[func(n int) int]
	// silent makes it give the number that got out without an error.
	silent atomic.Bool
	// lag is called when some have got out, before the failure is reported.
	lag atomic.Pointer[func()]
}

var errBroker = errors.New("the broker is away")

// Enqueue implements ports.Queue.
func (q *faultyQueue) Enqueue(ctx context.Context, jobs []core.Job) (int, error) {
	if out := q.out.Load(); out != nil {
		if n := (*out)(len(jobs)); n >= 0 {
			if _, err := (queuetest.Singly{Queue: q.Queue}).Enqueue(ctx, jobs[:n]); err != nil {
				return 0, err
			}
			if lag := q.lag.Load(); lag != nil && n > 0 {
				(*lag)()
			}
			if q.silent.Load() {
				return n, nil
			}
			return n, errBroker
		}
	}
	return queuetest.Singly{Queue: q.Queue}.Enqueue(ctx, jobs)
}

// newService makes tenants with a published template "t" and plenty of credits,
// some of them monthly and some purchased.
func newService(t *testing.T, newStore Factory, tenants ...core.TenantID) *service {
	t.Helper()
	s := &service{
		store: newRecorder(newStore(t)), queue: &faultyQueue{Queue: memory.NewQueue()},
		// The month ends soon: a test that runs for a while gets over it.
		clock:   memory.NewManualClock(time.Date(2026, time.March, 31, 23, 50, 0, 0, time.UTC)),
		tenants: tenants,
	}
	s.store.pause = func() {
		if rand.IntN(8) == 0 {
			time.Sleep(time.Duration(rand.IntN(50)) * time.Microsecond)
		}
		runtime.Gosched()
	}
	s.outcomes(func(ports.Task, int) core.Outcome { return core.OutcomeCompleted })
	files := memory.NewFiles()
	for i := range 3 {
		server, err := app.New(app.Deps{
			Store: s.store, Queue: s.queue, Executor: ports.ExecutorFunc(s.execute), Files: files, Clock: s.clock,
			IDs: memory.NewSequence(fmt.Sprint("run-", i)), Log: slog.New(slog.DiscardHandler), Webhooks: noWebhooks{},
		}, app.Options{
			Recovery: core.RecoveryPolicy{
				DispatchGrace: 30 * time.Second, RedispatchAfter: 2 * time.Minute, MaxRedispatchAfter: 10 * time.Minute,
				Lease: lease, MaxRedeliveries: 2,
			},
			Retry:           core.RetryPolicy{MaxTries: 1}, // the clock stands still: nothing may wait on it
			DispatchTimeout: patience,
		})
		require.NoError(t, err)
		s.servers = append(s.servers, server)
	}
	ctx := bounded(t)
	for _, id := range tenants {
		_, err := s.servers[0].CreateTenant(ctx, core.System, id, string(id), 1000)
		require.NoError(t, err)
		_, err = s.servers[0].CreateTemplate(ctx, core.System, core.Template{
			ID: "t", Tenant: id, Name: "t", CreditsPerRun: price, Mode: core.ModePerFile,
		})
		require.NoError(t, err)
		_, err = s.servers[0].PublishTemplate(ctx, core.System, id, "t")
		require.NoError(t, err)
		_, err = s.servers[0].GrantAllowance(ctx, core.System, id, "march", march, 100)
		require.NoError(t, err)
		_, err = s.servers[0].PurchaseCredits(ctx, core.System, id, "first", 1_000_000)
		require.NoError(t, err)
	}
	s.file = core.NewFile{Name: "file.txt", Ref: "a-reference-that-no-one-reads", Size: 7}
	return s
}

func admin(tenant core.TenantID) core.Actor {
	return core.Actor{Subject: "admin", Tenant: tenant, Role: core.RoleCustomerAdmin}
}

func (s *service) outcomes(decide func(task ports.Task, index int) core.Outcome) {
	s.outcome.Store(&decide)
}

// execute is the executor.
func (s *service) execute(_ context.Context, task ports.Task) ([]core.FileResult, error) {
	results := make([]core.FileResult, len(task.Files))
	for i, f := range task.Files {
		r := core.FileResult{Index: f.Index, Outcome: (*s.outcome.Load())(task, f.Index)}
		if r.Outcome == core.OutcomeCompleted {
			r.Output = outputUnder(task.Job.Epoch)
		} else {
			r.Failure = core.Failure{Code: "scripted", Message: string(r.Outcome)}
		}
		results[i] = r
	}
	return results, nil
}

// outputUnder is the output of a file that was executed under an epoch.
func outputUnder(epoch core.Epoch) string { return fmt.Sprint("done under epoch ", epoch) }

// request asks for a run of n files.
func (s *service) request(tenant core.TenantID, n int) app.InitiateRequest {
	most := core.MaxMaxRetryCount
	req := app.InitiateRequest{Tenant: tenant, Template: "t", Files: make([]core.NewFile, n), MaxRetryCount: &most}
	for i := range req.Files {
		req.Files[i] = s.file
	}
	return req
}

// initiate starts a run that must be accepted.
func (s *service) initiate(t *testing.T, tenant core.TenantID, n int) core.Run {
	t.Helper()
	run, err := s.servers[0].Initiate(bounded(t), admin(tenant), s.request(tenant, n))
	require.NoError(t, err)
	return run
}

// work works until no job waits. Jobs of one run are claimed and settled in groups.
func (s *service) work(ctx context.Context, server *app.Service) error {
	for s.queue.Len() > 0 {
		soon, cancel := context.WithTimeout(ctx, 20*time.Millisecond) // others may have been faster
		deliveries, err := s.queue.Receive(soon, 256, ports.Skip{})
		cancel()
		if err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			continue
		}
		var jobs []core.Job
		for _, d := range deliveries {
			jobs = append(jobs, d.Jobs()...)
		}
		for _, group := range app.ByRun(jobs) {
			claimed, _, err := server.Claim(ctx, group, app.WaitForLock)
			if err != nil {
				return err
			}
			settlements, err := executeAll(ctx, server, claimed)
			if err != nil {
				return err
			}
			if _, err := server.Settle(ctx, settlements, app.WaitForLock); err != nil {
				return err
			}
		}
		for _, d := range deliveries {
			if err := d.Ack(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

func executeAll(ctx context.Context, server *app.Service, claimed []app.Claimed) ([]core.Settlement, error) {
	settlements := make([]core.Settlement, len(claimed))
	for i, c := range claimed {
		results, err := server.Execute(ctx, c, nil)
		if err != nil {
			return nil, err
		}
		settlements[i] = core.Settlement{Job: c.Job, Results: results}
	}
	return settlements, nil
}

// settleDown ends all faults, and works and recovers until every run has closed
// (I11). It fails the test if that does not come about.
func (s *service) settleDown(t *testing.T) {
	t.Helper()
	s.queue.out.Store(nil)
	ctx := bounded(t)
	for range 200 {
		require.NoError(t, s.work(ctx, s.servers[0]))
		running := 0
		for _, id := range s.tenants {
			for _, run := range MustRead(t, s.store, id).Runs {
				if run.Status == core.RunRunning {
					running++
				}
			}
		}
		if running == 0 {
			return
		}
		s.clock.Advance(lease)
		_, err := s.servers[0].Recover(ctx, 1000)
		require.NoError(t, err)
	}
	require.Fail(t, "I11: a run stays RUNNING")
}

// check recomputes every invariant, and asks the service's own audit as well.
func (s *service) check(t *testing.T) {
	t.Helper()
	CheckInvariants(t, s.store, s.tenants...)
	s.store.check(t)
	for _, id := range s.tenants {
		found, err := s.servers[0].CheckLedger(bounded(t), core.System, id)
		require.NoError(t, err)
		require.Empty(t, found)
		for run, files := range MustRead(t, s.store, id).Files {
			for _, f := range files {
				if f.Status == core.FileCompleted && f.Output != outputUnder(f.Epoch) {
					require.Fail(t, "I8: the result of a fenced worker was recorded", "run %s, file %d under epoch %d: %q", run, f.Index, f.Epoch, f.Output)
				}
			}
		}
	}
}

// read gives one run with its files.
func (s *service) read(t *testing.T, id core.RunID) (core.Run, []core.File, []core.Attempt) {
	t.Helper()
	owner, err := s.store.TenantOf(bounded(t), id)
	require.NoError(t, err)
	c := MustRead(t, s.store, owner)
	for _, run := range c.Runs {
		if run.ID == id {
			return run, c.Files[id], c.Attempts[id]
		}
	}
	require.FailNow(t, "no such run", "%s", id)
	return core.Run{}, nil, nil
}

// charges lists a tenant's charges.
func charges(t *testing.T, s ports.Store, tenant core.TenantID) []core.Entry {
	t.Helper()
	var list []core.Entry
	for _, e := range MustRead(t, s, tenant).Entries {
		if e.Kind == core.EntryCharge {
			list = append(list, e)
		}
	}
	return list
}

// settle records results of jobs of one run.
func settle(ctx context.Context, server *app.Service, settlements []core.Settlement) error {
	_, err := server.Settle(ctx, settlements, app.WaitForLock)
	return err
}

// noWebhooks lets endpoints be made, and sends nothing.
type noWebhooks struct{}

func (noWebhooks) Check(string) error { return nil }

func (noWebhooks) Send(context.Context, ports.WebhookRequest) (ports.WebhookAnswer, error) {
	return ports.WebhookAnswer{}, errors.New("nothing is sent here")
}
