package metrics_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/metrics"
	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/core/app/worker"
	"github.com/redrive/redrive/core/app/worker/scheduler"
	"github.com/redrive/redrive/ports"
)

type service struct {
	stats    app.Stats
	outcomes app.Outcomes
}

func (s service) Stats() app.Stats       { return s.stats }
func (s service) Outcomes() app.Outcomes { return s.outcomes }

type pool struct{ is worker.Stats }

func (p pool) Stats() worker.Stats { return p.is }

type queue struct {
	depth ports.QueueDepth
	err   error
}

func (q *queue) Stats(context.Context) (ports.QueueDepth, error) { return q.depth, q.err }

// all is a process in which everything has happened.
func all(q *queue) metrics.Config {
	return metrics.Config{
		Service: service{
			app.Stats{Compensated: 1, CompensationFailures: 2, Unconfirmed: 3, Dropped: 4, ExpiredLeases: 5, Redispatched: 6, ExecutorPanics: 7, SweptUploads: 8},
			app.Outcomes{
				Initiated: 10, Continued: 11, ClaimedFiles: 12, CreditsCharged: 13, CreditsRefunded: 14,
				Runs:  map[app.RunOutcome]int64{{Status: core.RunCompleted}: 15, {Status: core.RunInterrupted, Reason: core.ReasonServiceFault}: 16},
				Files: map[app.FileOutcome]int64{{Status: core.FileFailed, Reason: "timeout"}: 17, {Status: core.FilePending, Reason: "provider_unauthorized"}: 18},
			},
		},
		Worker: pool{worker.Stats{Panics: 20, Stats: scheduler.Stats{
			Running: 21, Unsaved: 22, Waiting: 23, Parked: 24, Received: 25, Released: 26, Nacked: 27, Claimed: 28, Settled: 29, HandedBack: 30, LostLeases: 31,
			ClaimGroups: 32, SettleGroups: 33, RenewGroups: 34, BreakerOpened: 35, BreakerClosed: 36,
			Breakers: []worker.BreakerStats{{Endpoint: "llm", CircuitState: worker.CircuitState{State: "open"}, Circuits: []worker.CircuitStats{{}, {}}}, {Endpoint: "other", CircuitState: worker.CircuitState{State: "closed"}}},
		}}},
		Queue: q, Pool: func() metrics.Pool {
			return metrics.Pool{InUse: 40, Idle: 41, Max: 42, Acquired: 43, Waited: 44, WaitedFor: 45 * time.Second}
		},
		Version: "v1.2.3", Commit: "abc", Log: slog.New(slog.DiscardHandler),
	}
}

func scrape(t *testing.T, m *metrics.Metrics) string {
	t.Helper()
	server := httptest.NewServer(m.Handler())
	defer server.Close()
	resp, err := http.Get(server.URL)
	require.NoError(t, err)
	defer func() { require.NoError(t, resp.Body.Close()) }()
	require.Equal(t, http.StatusOK, resp.StatusCode)
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return string(body)
}

func TestEveryNumberIsThere(t *testing.T) {
	t.Parallel()
	q := &queue{depth: ports.QueueDepth{Waiting: ports.Count{N: 50}, Taken: ports.Count{N: 51}, Dead: ports.Count{N: 52}, Oldest: time.Now().Add(-time.Hour)}}
	m := metrics.New(all(q))
	m.Answered("GET", "/balance", 200, false, 20*time.Millisecond)
	m.Answered("BREW", "", 405, false, time.Millisecond)
	m.Answered("GET", "/workflow-runs/:id/events", 200, true, time.Hour)
	text := scrape(t, m)
	for _, line := range []string{
		`redrive_http_requests_total{method="GET",route="/balance",status="200"} 1`,
		`redrive_http_requests_total{method="other",route="none",status="405"} 1`,
		`redrive_http_requests_total{method="GET",route="/workflow-runs/:id/events",status="200"} 1`,
		`redrive_http_request_duration_seconds_bucket{method="GET",route="/balance",le="0.025"} 1`,
		`redrive_http_request_duration_seconds_bucket{method="GET",route="/balance",le="0.01"} 0`,
		`redrive_build_info{commit="abc",version="v1.2.3"} 1`,
		`redrive_attempts_total{kind="initiation"} 10`, `redrive_attempts_total{kind="continue"} 11`,
		`redrive_files_claimed_total 12`, `redrive_credits_charged_total 13`, `redrive_credits_refunded_total 14`,
		`redrive_runs_closed_total{reason="results",status="COMPLETED"} 15`,
		`redrive_runs_closed_total{reason="service_fault",status="INTERRUPTED"} 16`,
		`redrive_runs_closed_total{reason="dispatch_failed",status="FAILED"} 0`,
		`redrive_files_settled_total{outcome="failed",reason="timeout"} 17`,
		`redrive_files_settled_total{outcome="interrupted",reason="provider_unauthorized"} 18`,
		`redrive_files_settled_total{outcome="completed",reason="none"} 0`,
		`redrive_compensations_total 1`, `redrive_compensation_failures_total 2`, `redrive_dispatches_unconfirmed_total 3`,
		`redrive_dropped_total 4`, `redrive_leases_expired_total 5`, `redrive_jobs_redispatched_total 6`,
		`redrive_executor_panics_total 7`, `redrive_uploads_swept_total 8`,
		`redrive_worker_panics_total 20`, `redrive_worker_jobs{state="running"} 21`, `redrive_worker_jobs{state="unsaved"} 22`,
		`redrive_worker_jobs{state="claiming"} 23`, `redrive_worker_jobs{state="parked"} 24`,
		`redrive_worker_jobs_received_total 25`, `redrive_worker_jobs_released_total 26`, `redrive_worker_jobs_nacked_total 27`,
		`redrive_worker_jobs_claimed_total 28`, `redrive_worker_jobs_settled_total 29`, `redrive_worker_jobs_handed_back_total 30`, `redrive_worker_leases_lost_total 31`,
		`redrive_worker_transactions_total{kind="claim"} 32`, `redrive_worker_transactions_total{kind="settle"} 33`, `redrive_worker_transactions_total{kind="renew"} 34`,
		`redrive_breaker_openings_total 35`, `redrive_breaker_closings_total 36`,
		`redrive_breaker_open{endpoint="llm"} 1`, `redrive_breaker_open{endpoint="other"} 0`, `redrive_breaker_templates_open{endpoint="llm"} 2`,
		`redrive_db_connections{state="in_use"} 40`, `redrive_db_connections{state="idle"} 41`, `redrive_db_connections_max 42`,
		`redrive_db_acquires_total 43`, `redrive_db_acquire_waits_total 44`, `redrive_db_acquire_wait_seconds_total 45`,
		`redrive_queue_jobs{state="waiting"} 50`, `redrive_queue_jobs{state="taken"} 51`, `redrive_queue_jobs{state="dead"} 52`, `redrive_queue_readable 1`,
	} {
		require.Contains(t, text, "\n"+line+"\n")
	}
	require.Regexp(t, `redrive_queue_oldest_job_age_seconds 3[56]\d\d`, text)
	require.NotContains(t, text, `duration_seconds_count{method="GET",route="/workflow-runs/:id/events"}`, "a stream lasts as long as its client likes")
	require.Contains(t, text, "\ngo_goroutines ")
	require.Contains(t, text, "\nprocess_open_fds ")

	problems, err := promlint.New(strings.NewReader(text)).Lint()
	require.NoError(t, err)
	problems = slices.DeleteFunc(problems, func(p promlint.Problem) bool { return !strings.HasPrefix(p.Metric, "redrive_") })
	require.Empty(t, problems)
	for _, label := range regexp.MustCompile(`[{,]([a-z_]+)="`).FindAllStringSubmatch(text, -1) {
		require.Contains(t, []string{"method", "route", "status", "le", "kind", "reason", "outcome", "state", "endpoint", "version", "commit", "quantile"}, label[1], "a label with many values")
	}
}

func TestWhatCannotBeRead(t *testing.T) {
	t.Parallel()
	q := &queue{err: errors.New("down")}
	text := scrape(t, metrics.New(all(q)))
	require.Contains(t, text, "\nredrive_queue_readable 0\n")
	require.NotContains(t, text, "redrive_queue_jobs{")
	require.Contains(t, text, "\nredrive_files_claimed_total 12\n", "the others are there")
	require.NotContains(t, scrape(t, metrics.New(metrics.Config{})), "redrive_worker", "what there is not is left out")
}

func TestCounted(t *testing.T) {
	t.Parallel()
	m := metrics.New(metrics.Config{})
	h := m.Counted("page", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/missing":
			w.WriteHeader(http.StatusEarlyHints)
			w.WriteHeader(http.StatusNotFound)
		case "/panic":
			panic(http.ErrAbortHandler)
		}
		require.NoError(t, http.NewResponseController(w).Flush())
	}))
	for _, path := range []string{"/", "/missing"} {
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, path, nil))
	}
	require.Panics(t, func() { h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/panic", nil)) })
	text := scrape(t, m)
	require.Contains(t, text, `redrive_http_requests_total{method="GET",route="page",status="200"} 2`)
	require.Contains(t, text, `redrive_http_requests_total{method="GET",route="page",status="404"} 1`)
}
