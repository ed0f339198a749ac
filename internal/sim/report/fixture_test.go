package report_test

import (
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/internal/sim/faults"
	"github.com/redrive/redrive/internal/sim/oracle"
	"github.com/redrive/redrive/internal/sim/report"
	"github.com/redrive/redrive/internal/sim/sched"
	"github.com/redrive/redrive/internal/sim/trace"
	"github.com/redrive/redrive/internal/sim/world"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares with a file of testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		require.NoError(t, os.WriteFile(path, []byte(got), 0o600))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, string(want), got, "go test ./internal/sim/report -update writes %s anew", path)
}

// The cast of the fixture.
const (
	ada = iota
	worker
	idle
)

// state has one tenant and one run; model is what the model says of its credits.
func state(purchased, committed, model core.Credits, file string) *trace.State {
	facts := func(c core.Credits) trace.RunFacts {
		return trace.RunFacts{Status: core.RunRunning, AttemptJobs: 1, Credits: c, Files: []string{file}}
	}
	return &trace.State{
		Tenants: []trace.TenantState{{Tenant: "acme", Monthly: map[string]core.Credits{"2026-11": 3}, Purchased: purchased}},
		Runs:    []trace.RunState{{Run: "r1", Tenant: "acme", Actual: facts(committed), Model: facts(model)}},
	}
}

// fixture is a made-up case with every kind of event, so that the shapes of
// reports do not depend on what the simulator plays.
func fixture() *report.Case {
	began := time.Date(2026, time.November, 30, 23, 59, 50, 0, time.UTC)
	jumped := began.Add(15 * time.Second)
	nobody := uint8(trace.NoActor)
	fault := func(k sched.Kind, v int64) int64 { return int64(k)<<8 | v }
	result := world.Result{
		Violation: &oracle.Violation{Rule: oracle.I2, Text: "run r1 consumed 5 credits, its charges less its refunds are 10 </script>", Step: 12},
		Steps:     12,
		Actors:    []string{"user-0", "worker-0", "recovery-0"},
		Processes: []int{-1, 0, 1},
		Deviations: []sched.Deviation{
			{Point: sched.Point{Actor: ada, Kind: faults.EnqueueFault}, Value: faults.EnqueueUnanswered},
			{Point: sched.Point{Actor: idle, Kind: sched.Next}, Value: worker},
			{Point: sched.Point{Actor: worker, Kind: faults.OrderChoice}, Value: 1},
			{Point: sched.Point{Actor: ada, Kind: faults.CrashFault}, Value: 1},
			{Point: sched.Point{Actor: ada, Kind: faults.ClockFault}, Value: faults.ClockMonth},
		},
		DeviatedAt: []int{5, 7, 7, 9, 9},
		Events: []trace.Event{
			{Fact: trace.Fact{At: began, Actor: nobody, Kind: trace.Commit, Tenant: "acme"}, State: state(20, 0, 0, "pending 0/1")},
			{Fact: trace.Fact{Step: 1, At: began, Actor: idle, Kind: trace.Call, Op: trace.DueRuns}},
			{Fact: trace.Fact{Step: 2, At: began, Actor: ada, Kind: trace.Ask, Tenant: "acme", N: 0}, Text: "initiate"},
			{Fact: trace.Fact{Step: 2, At: began, Actor: ada, Kind: trace.Call, Op: trace.Begin, Tenant: "acme"}},
			{Fact: trace.Fact{Step: 3, At: began, Actor: ada, Kind: trace.Call, Op: trace.CreditsLock, Tenant: "acme"}},
			{Fact: trace.Fact{Step: 4, At: began, Actor: ada, Kind: trace.Call, Op: trace.CommitTx, Tenant: "acme", Run: "r1"}},
			{Fact: trace.Fact{Step: 4, At: began, Actor: ada, Kind: trace.Commit, Tenant: "acme", Run: "r1"}, Text: "run r1 with 1 files", State: state(10, 10, 10, "pending 0/1")},
			{Fact: trace.Fact{Step: 5, At: began, Actor: ada, Kind: trace.Call, Op: trace.Enqueue, Run: "r1"}},
			{Fact: trace.Fact{Step: 5, At: began, Actor: ada, Kind: trace.Fault, Run: "r1", N: fault(faults.EnqueueFault, faults.EnqueueUnanswered)}, Text: "enqueued, answer lost"},
			{Fact: trace.Fact{Step: 5, At: began, Actor: ada, Kind: trace.Send, Tenant: "acme", Run: "r1"}, Text: "r1:file:0", Job: "r1:file:0@1"},
			{Fact: trace.Fact{Step: 5, At: began, Actor: ada, Kind: trace.Send, Tenant: "acme", Run: "r1"}, Text: "r1:file:1", Job: "r1:file:1@1"},
			{Fact: trace.Fact{Step: 6, At: began, Actor: ada, Kind: trace.Rollback, Tenant: "acme"}, Text: "lock timeout"},
			{Fact: trace.Fact{Step: 6, At: began, Actor: ada, Kind: trace.Answer, Tenant: "acme", Run: "r1", N: 14}, Text: "enqueue_failed"},
			{Fact: trace.Fact{Step: 7, At: began, Actor: worker, Kind: trace.Call, Op: trace.Receive}},
			{Fact: trace.Fact{Step: 7, At: began, Actor: worker, Kind: trace.Fault, N: fault(faults.OrderChoice, 1)}, Text: "a later message first"},
			{Fact: trace.Fact{Step: 7, At: began, Actor: worker, Kind: trace.Fault, Run: "r1", N: fault(faults.MessageFault, faults.MessageLost)}, Text: "message lost", Job: "r1:file:1@1"},
			{Fact: trace.Fact{Step: 7, At: began, Actor: worker, Kind: trace.Deliver, Tenant: "acme", Run: "r1", N: 1}, Text: "r1:file:0", Job: "r1:file:0@1"},
			{Fact: trace.Fact{Step: 8, At: began, Actor: ada, Kind: trace.Ask, Tenant: "acme", Run: "r1", N: 1 << 8}, Text: "continue"},
			{Fact: trace.Fact{Step: 9, At: began, Actor: nobody, Kind: trace.Fault, N: fault(faults.CrashFault, 1)}, Text: "process dies"},
			{Fact: trace.Fact{Step: 9, At: began, Actor: nobody, Kind: trace.Crash, N: 0}},
			{Fact: trace.Fact{Step: 9, At: began, Actor: nobody, Kind: trace.Restart, N: 0}},
			{Fact: trace.Fact{Step: 9, At: began, Actor: nobody, Kind: trace.Fault, N: fault(faults.ClockFault, faults.ClockMonth)}, Text: "clock jumps past the end of the month"},
			{Fact: trace.Fact{Step: 9, At: jumped, Actor: nobody, Kind: trace.Time, N: faults.ClockMonth}, Text: "2026-12-01 00:00:05"},
			{Fact: trace.Fact{Step: 10, At: jumped, Actor: worker, Kind: trace.Call, Op: trace.Sleep, N: int64(3 * time.Second)}},
			{Fact: trace.Fact{Step: 10, At: jumped, Actor: worker, Kind: trace.Deliver, Tenant: "acme", Run: "r1", N: 2}, Text: "r1:file:0", Job: "r1:file:0@1"},
			{Fact: trace.Fact{Step: 11, At: jumped, Actor: nobody, Kind: trace.Phase}, Text: "faults stop"},
			{Fact: trace.Fact{Step: 12, At: jumped, Actor: worker, Kind: trace.Send, Tenant: "acme", Run: "r1"}, Text: "r1:file:1", Job: "r1:file:1@2"},
			{Fact: trace.Fact{Step: 12, At: jumped, Actor: worker, Kind: trace.Commit, Tenant: "acme", Run: "r1"}, Text: "file 0 completed", State: state(10, 5, 10, "completed 0/1")},
			{Fact: trace.Fact{Step: 12, At: jumped, Actor: nobody, Kind: trace.Broken, N: int64(oracle.I2)}, Text: "run r1 consumed 5 credits, its charges less its refunds are 10 </script>"},
		},
	}
	return &report.Case{
		Token: "sim1.abc.AAA", Command: "go run ./cmd/sim replay sim1.abc.AAA", Note: "Seed 7.", Result: result,
		Scenario: &world.Scenario{
			Start:     began,
			Tenants:   []world.Tenant{{ID: "acme", Allowance: 3, Purchased: 20}, {ID: "nobody asks for it"}},
			Templates: []world.Template{{ID: "t1", Price: 10, Mode: core.ModePerFile}},
			Runs:      []world.Run{{Files: 2, MaxRetryCount: 2}, {Files: 1}},
			Users:     [][]world.Op{{{Kind: world.Initiate}, {Kind: world.Continue, Key: "k", Early: true}, {Kind: world.Cancel, Run: 1, Dropped: true}}},
			Servers:   []world.Server{{}, {Dropped: true}}, Recoverers: 1,
		},
	}
}
