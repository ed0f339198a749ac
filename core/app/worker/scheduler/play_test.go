package scheduler

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// play is a breaker whose jobs a test moves, with a time that it sets.
type play struct {
	t     testing.TB
	b     breaker
	start time.Time
	now   time.Time
	in    map[core.JobID]*pass
	jobs  map[core.JobID]core.Job
}

var quick = Breaker{
	Failures: 3, OpenFor: 30 * time.Second, MaxOutage: time.Hour, InterruptAfter: 30 * time.Second,
	Endpoint: func(ports.TemplateKey) string { return "llm" },
}

func newPlay(t testing.TB) *play {
	start := time.Date(2026, 11, 10, 9, 0, 0, 0, time.UTC)
	return &play{t: t, b: newBreaker(quick), start: start, now: start, in: map[core.JobID]*pass{}, jobs: map[core.JobID]core.Job{}}
}

// job makes a job: "acme/t/3" is file 3 of that template's run.
func job(name string) core.Job {
	var tenant, template string
	var index int
	for i, at := 0, 0; i < len(name); i++ {
		if name[i] == '/' {
			if tenant == "" {
				tenant, at = name[:i], i+1
			} else {
				template = name[at:i]
				_, _ = fmt.Sscan(name[i+1:], &index)
			}
		}
	}
	run := core.RunID(tenant + "-" + template)
	return core.Job{
		Tenant: core.TenantID(tenant), Template: core.TemplateID(template), Run: run, Epoch: 1,
		ID: core.FileJobID(run, index), Files: []int{index},
	}
}

func (p *play) after(d time.Duration) { p.now = p.start.Add(d) }

func (p *play) enters(name string) bool {
	j := job(name)
	pass, ok := p.b.enter(j, p.now)
	if ok {
		p.in[j.ID], p.jobs[j.ID] = &pass, j
	}
	return ok
}

func (p *play) leaves(name string, v Verdict) decision {
	j := job(name)
	d := p.b.leave(j, p.in[j.ID], v, p.now)
	delete(p.in, j.ID)
	return d
}

// goes sends a job through, which must be let in.
func (p *play) goes(name string, v Verdict) decision {
	require.True(p.t, p.enters(name), "%s is kept back after %s", name, p.now.Sub(p.start))
	return p.leaves(name, v)
}

func (p *play) kept(names ...string) {
	for _, name := range names {
		require.False(p.t, p.enters(name), "%s is let through after %s", name, p.now.Sub(p.start))
	}
}

var (
	answered = Verdict{kind: saysAnswered}
	nothing  = Verdict{}
	timeout  = Verdict{kind: saysDown, failure: core.Failure{Code: core.FailureTimeout}}
	wrongKey = Verdict{kind: saysBlocked, failure: core.Failure{Code: core.FailureUnauthorized}}
	shape    = Verdict{kind: saysBlocked, failure: core.Failure{Code: core.FailureRequestRefused}}
)

func limited(d time.Duration) Verdict {
	return Verdict{kind: saysDown, failure: core.Failure{Code: core.FailureRateLimited}, retryAfter: d}
}
