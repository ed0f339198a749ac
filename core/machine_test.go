package core_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/redrive/redrive/core"
)

// impatient is a policy that gives up soon, so that the machine covers it.
var impatient = core.RecoveryPolicy{
	DispatchGrace: 30 * time.Second, RedispatchAfter: 2 * time.Minute, MaxRedispatchAfter: 10 * time.Minute,
	Lease: lease, MaxRedeliveries: 1,
}

// TestMachine does random operations on a tenant's runs, in any order, with messages and
// answers that are late, lost or repeated, and checks the invariants after each. In the
// end the faults stop, and every run must close (I11).
func TestMachine(t *testing.T) {
	t.Parallel()
	seen := map[string]int{}
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld()
		w.grant(t)
		w.grant(t)
		w.initiate(t)
		t.Repeat(map[string]func(*rapid.T){
			"":            w.check,
			"advance":     w.advance,
			"grant":       w.grant,
			"reprice":     w.reprice,
			"initiate":    w.initiate,
			"deliver":     w.deliver,
			"settle":      w.settle,
			"work":        w.work, // the most frequent one
			"work2":       w.work,
			"die":         w.die,
			"renew":       w.renew,
			"handBack":    w.handBack,
			"enqueued":    w.enqueued,
			"enqueueFail": w.enqueueFails,
			"recover":     w.recover,
			"resume":      w.resume,
			"cancel":      w.cancel,
			"continue":    w.retry,
			"continue2":   w.retry,
			"raise":       w.raise,
		})
		w.calm(t)
		for what, n := range w.seen {
			seen[what] += n
		}
	})
	for _, what := range []string{
		"claimed", "settled", "closed COMPLETED", "closed COMPLETED_WITH_ERRORS", "closed FAILED", "closed INTERRUPTED",
		"renewed", "lost", "handed back", "confirmed", "compensated attempt 0", "compensated a Continue",
		"refunded another month", "sent what is missing", "expired", "redispatched", "given up", "resumed", "cancelled",
		"continued", "continued for free", "continued for free and charged", "raised",
		"refused run_already_running", "refused no_errors_to_retry", "refused nothing_to_retry",
		"refused max_retry_count_exceeded", "refused insufficient_credits",
		"dropped run_closed", "dropped stale_epoch", "dropped not_pending", "dropped lease_lost",
	} {
		require.NotZero(t, seen[what], "the machine never %s; it saw %v", what, seen)
	}
}

// pick draws one of the runs.
func (w *world) pick(t *rapid.T) *runRecord { return rapid.SampledFrom(w.runs).Draw(t, "run") }

func (w *world) advance(t *rapid.T) {
	w.now = w.now.Add(rapid.SampledFrom([]time.Duration{
		time.Second, 20 * time.Second, lease, 6 * time.Minute, 2 * time.Hour, 16 * 24 * time.Hour,
	}).Draw(t, "by"))
}

func (w *world) grant(t *rapid.T) {
	key := core.Key(fmt.Sprintf("client/%d", len(w.entries)))
	amount := core.Credits(rapid.Int64Range(1, 25).Draw(t, "amount"))
	var e core.Entry
	var err error
	if rapid.Bool().Draw(t, "purchase") {
		e, err = core.NewPurchase(acme, key, amount, operator, w.now)
	} else {
		p := core.PeriodOf(w.now)
		if rapid.Bool().Draw(t, "ahead") {
			p = p.Next()
		}
		e, err = core.NewAllowance(acme, key, p, amount, operator, w.now)
	}
	require.NoError(t, err)
	w.post(t, []core.Entry{e})
}

func (w *world) reprice(t *rapid.T) {
	w.template.CreditsPerRun = core.Credits(rapid.Int64Range(0, 4).Draw(t, "price"))
}

func (w *world) initiate(t *rapid.T) {
	if len(w.runs) == 3 {
		return
	}
	req := newRun(rapid.IntRange(1, 5).Draw(t, "files"))
	req.ID = core.RunID(fmt.Sprintf("run-%d", len(w.runs)+1))
	limit := rapid.IntRange(1, 3).Draw(t, "maxRetryCount")
	req.MaxRetryCount = &limit
	template := inMode(w.template, anyMode().Draw(t, "mode"))
	var p core.RunPlan
	var err error
	unchanged(t, func() { p, err = core.PlanRun(req, template, w.balance(), w.now) }, req, template)
	if err != nil {
		refused(t, err, core.CodeInsufficientCredits)
		if len(w.runs) == 0 { // one is needed
			p, err = core.PlanRun(req, inMode(published(0), template.Mode), w.balance(), w.now)
			require.NoError(t, err)
		} else {
			return
		}
	}
	w.runs = append(w.runs, &runRecord{
		run: p.Run, files: p.Files, attempts: []core.Attempt{p.Attempt},
		open:     []dispatched{{0, p.Jobs}},
		failedAt: map[core.AttemptNumber]int{0: len(p.Files)}, closes: map[core.AttemptNumber]int{},
		claims: map[fileEpoch]int{}, results: map[fileEpoch]int{},
		executed: map[fileAttempt]bool{}, final: map[int]core.File{},
	})
	w.post(t, p.Charge)
}

// drawFrom draws up to three deliveries of messages, which may be obsolete; none if there
// was no message yet.
func drawFrom(t *rapid.T, jobs []core.Job) []core.Job {
	if len(jobs) == 0 {
		return nil
	}
	// Mostly the latest ones; otherwise hardly any job would be under way.
	recent := jobs[max(0, len(jobs)-5):]
	return rapid.SliceOfN(rapid.OneOf(rapid.SampledFrom(recent), rapid.SampledFrom(jobs)), 1, 3).Draw(t, "jobs")
}

func (w *world) dropped(drops []core.Drop) {
	for _, d := range drops {
		w.did("dropped %s", d.Reason)
	}
}

func (w *world) deliver(t *rapid.T) {
	r := w.pick(t)
	// A message that reached the queue although its enqueueing is not confirmed yet.
	if len(r.open) > 0 && rapid.Bool().Draw(t, "getsOut") {
		open := rapid.SampledFrom(r.open).Draw(t, "dispatch")
		r.sent = append(r.sent, rapid.SampledFrom(open.jobs).Draw(t, "job"))
	}
	w.claim(t, r, drawFrom(t, r.sent))
}

func (w *world) claim(t *rapid.T, r *runRecord, jobs []core.Job) {
	var p core.ClaimPlan
	var err error
	unchanged(t, func() { p, err = core.Claim(r.run, r.files, jobs, w.now, lease) }, r.run, r.files, jobs)
	require.NoError(t, err)
	require.Equal(t, len(jobs), len(p.Claimed)+len(p.Dropped))
	require.Equal(t, p.RunChanged, p.Run != r.run, "files alone are written if the run did not change")
	if len(p.Claimed) > 0 {
		require.Equal(t, core.DispatchConfirmed, p.Run.Dispatch)
		w.did("claimed")
	}
	w.save(t, r, p.Run, p.Files)
	r.held = append(r.held, p.Claimed...)
	w.dropped(p.Dropped)
}

func (w *world) settle(t *rapid.T) {
	r := w.pick(t)
	var group []core.Settlement
	for _, job := range drawFrom(t, r.held) {
		s := core.Settlement{Job: job}
		for _, i := range job.Files {
			if rapid.IntRange(0, 9).Draw(t, "answers") > 0 {
				s.Results = append(s.Results, outcome(i, anyOutcome().Draw(t, "outcome")))
			}
		}
		group = append(group, s)
	}
	w.settleGroup(t, r, group)
}

func (w *world) settleGroup(t *rapid.T, r *runRecord, group []core.Settlement) {
	var p core.SettlePlan
	var err error
	unchanged(t, func() { p, err = core.Settle(r.run, r.files, group, w.now) }, r.run, r.files, group)
	require.NoError(t, err)
	require.Equal(t, len(group), len(p.Settled)+len(p.Dropped))
	require.Equal(t, p.Closed, p.Run.Status != r.run.Status)
	if p.Closed {
		w.did("closed %s", p.Run.Status)
	}
	if !p.Changed() {
		require.Equal(t, r.run, p.Run)
		require.Empty(t, p.Files)
	} else {
		w.did("settled")
	}
	w.save(t, r, p.Run, p.Files)
	w.dropped(p.Dropped)
}

// work is a worker without faults: it claims a message and settles it.
func (w *world) work(t *rapid.T) {
	r := w.pick(t)
	if r.run.Status != core.RunRunning || len(r.sent) == 0 {
		return
	}
	held := len(r.held)
	w.claim(t, r, r.sent[max(0, len(r.sent)-rapid.IntRange(1, 5).Draw(t, "last")):])
	var group []core.Settlement
	for _, job := range r.held[held:] {
		s := core.Settlement{Job: job}
		for _, i := range job.Files {
			s.Results = append(s.Results, outcome(i, anyOutcome().Draw(t, "outcome")))
		}
		group = append(group, s)
	}
	w.settleGroup(t, r, group)
}

// die is a worker that claims the latest message and dies, perhaps because of its
// content, so that the next worker may die as well.
func (w *world) die(t *rapid.T) {
	r := w.pick(t)
	for range rapid.IntRange(1, 3).Draw(t, "workers") {
		if r.run.Status != core.RunRunning || len(r.sent) == 0 {
			return
		}
		w.claim(t, r, r.sent[len(r.sent)-1:])
		w.now = w.now.Add(lease)
		w.recoverRun(t, r)
	}
}

func (w *world) renew(t *rapid.T) {
	r := w.pick(t)
	jobs := drawFrom(t, r.held)
	var p core.LeasePlan
	unchanged(t, func() { p = core.Renew(r.run, r.files, jobs, w.now, lease) }, r.run, r.files, jobs)
	require.Equal(t, len(jobs), len(p.Renewed)+len(p.Lost))
	w.save(t, r, r.run, p.Files)
	w.seen["renewed"] += len(p.Renewed)
	w.seen["lost"] += len(p.Lost)
}

func (w *world) handBack(t *rapid.T) {
	r := w.pick(t)
	jobs := drawFrom(t, r.held)
	var p core.HandBackPlan
	var err error
	unchanged(t, func() { p, err = core.HandBack(r.run, r.files, jobs, w.now) }, r.run, r.files, jobs)
	require.NoError(t, err)
	w.save(t, r, p.Run, p.Files)
	r.sent = append(r.sent, p.Jobs...)
	w.seen["handed back"] += len(p.Jobs)
}
