package main

import (
	"io"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
)

// scrape reads the metrics of a server that serves them.
func (p *process) scrape(t *testing.T) string {
	t.Helper()
	at := regexp.MustCompile(`msg=metrics url=(\S+)`).FindStringSubmatch(p.log.String())
	require.NotNil(t, at, p.log.String())
	resp, err := http.Get(at[1])
	require.NoError(t, err)
	defer func() { require.NoError(t, resp.Body.Close()) }()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, resp.StatusCode)
	return string(body)
}

// A real server is scraped while it works on a run of which a file fails.
func TestMetrics(t *testing.T) {
	t.Parallel()
	p := start(t, "--demo", "--metrics-listen=127.0.0.1:0")
	first := p.scrape(t)
	require.Contains(t, first, "\nredrive_files_claimed_total 0\n")
	problems, err := promlint.New(strings.NewReader(first)).Lint()
	require.NoError(t, err)
	for _, problem := range problems {
		require.False(t, strings.HasPrefix(problem.Metric, "redrive_"), "%s: %s", problem.Metric, problem.Text)
	}

	files := `{"template":"` + string(demoTemplate) + `","files":[{"name":"a.txt","text":"A"},{"name":"rate-limit.txt","text":"B"}]}`
	status, run := p.call(t, demoAdmin, http.MethodPost, "/workflow-runs", files)
	require.Equal(t, http.StatusCreated, status, run)
	require.Eventually(t, func() bool {
		_, now := p.call(t, demoAdmin, http.MethodGet, "/workflow-runs/"+run["id"].(string), "")
		return now["status"] == string(core.RunCompletedWithErrors)
	}, 30*time.Second, 20*time.Millisecond)
	status, _ = p.call(t, demoAdmin, http.MethodGet, "/workflow-runs/unknown", "")
	require.Equal(t, http.StatusNotFound, status)

	text := p.scrape(t)
	for _, line := range []string{
		`redrive_http_requests_total{method="POST",route="/workflow-runs",status="201"} 1`,
		`redrive_http_requests_total{method="GET",route="/workflow-runs/:id",status="404"} 1`,
		`redrive_attempts_total{kind="initiation"} 1`, `redrive_files_claimed_total 2`,
		`redrive_files_settled_total{outcome="completed",reason="none"} 1`, `redrive_files_settled_total{outcome="failed",reason="rate_limited"} 1`,
		`redrive_runs_closed_total{reason="results",status="COMPLETED_WITH_ERRORS"} 1`,
		`redrive_worker_jobs{state="running"} 0`, `redrive_worker_jobs_settled_total 2`, `redrive_queue_readable 1`, `redrive_queue_jobs{state="waiting"} 0`,
	} {
		require.Contains(t, text, "\n"+line+"\n")
	}
	require.NotContains(t, text, run["id"].(string))
	require.NotContains(t, text, string(demoTenant))
	require.Zero(t, p.stop(t))
}

// Every metric that the operations guide's alerts name is there.
func TestAlertsNameMetrics(t *testing.T) {
	t.Parallel()
	p := start(t, "--demo", "--metrics-listen=127.0.0.1:0")
	p.call(t, demoAdmin, http.MethodGet, "/balance", "")
	text := p.scrape(t)
	require.Zero(t, p.stop(t))
	guide, err := os.ReadFile("../../docs/operations.md")
	require.NoError(t, err)
	named := regexp.MustCompile(`\bredrive_[a-z_]+\b`).FindAllString(string(guide), -1)
	require.Greater(t, len(named), 10)
	for _, name := range named {
		if strings.HasPrefix(name, "redrive_db_") || name == "redrive_breaker_open" {
			continue // of Postgres, and of a provider that was used: adapters/metrics has them
		}
		require.Contains(t, text, "\n"+name, "an alert names it")
	}
}

func TestMetricsAreOffAndRefusedInWords(t *testing.T) {
	t.Parallel()
	p := start(t, "--demo")
	require.NotContains(t, p.log.String(), "msg=metrics")
	status, _ := p.call(t, demoAdmin, http.MethodGet, "/metrics", "")
	require.Equal(t, http.StatusNotFound, status, "they are not on the address of clients")
	require.Zero(t, p.stop(t))
	code, _, logs := command("serve", "--demo", "--database-url=memory:", "--listen=127.0.0.1:0", "--metrics-listen="+strings.TrimPrefix(p.url, "http://")+"0")
	require.Equal(t, 1, code)
	require.Contains(t, logs, "--metrics-listen")
}
