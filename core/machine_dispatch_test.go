package core_test

import (
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/redrive/redrive/core"
)

// takeOpen draws an attempt whose enqueueing is under way, and removes it from the list;
// ok is false if there is none.
func (w *world) takeOpen(t *rapid.T) (r *runRecord, d dispatched, ok bool) {
	r = w.pick(t)
	if len(r.open) == 0 {
		return nil, dispatched{}, false
	}
	i := rapid.IntRange(0, len(r.open)-1).Draw(t, "dispatch")
	d = r.open[i]
	r.open = append(r.open[:i:i], r.open[i+1:]...)
	return r, d, true
}

func (w *world) enqueued(t *rapid.T) {
	r, d, ok := w.takeOpen(t)
	if !ok {
		return
	}
	r.sent = append(r.sent, d.jobs...)
	if run, changed := core.ConfirmDispatch(r.run, d.attempt); changed {
		w.save(t, r, run, nil)
		w.did("confirmed")
	}
}

func (w *world) enqueueFails(t *rapid.T) {
	r, d, ok := w.takeOpen(t)
	if !ok {
		return
	}
	if rapid.IntRange(0, 3).Draw(t, "hangs") == 0 {
		w.now = w.now.Add(20 * 24 * time.Hour) // as slow as it takes for a month to end meanwhile
	}
	attempt := r.attempts[d.attempt]
	files := make([]core.File, len(attempt.Files))
	for i, f := range attempt.Files {
		files[i] = r.files[f.Index]
	}
	var p core.CompensatePlan
	var err error
	unchanged(t, func() { p, err = core.Compensate(r.run, attempt, files, core.System, w.now) }, r.run, attempt, files)
	if !core.Compensable(r.run, d.attempt) {
		fault(t, err, "cannot be compensated")
		if run, changed := core.DispatchPartly(r.run, d.attempt, w.now); changed {
			require.True(t, core.RecoveryDue(run, w.now, horizon))
			w.save(t, r, run, nil)
			w.did("sent what is missing")
		}
		return
	}
	require.NoError(t, err)
	w.save(t, r, p.Run, p.Files)
	r.attempts[d.attempt] = p.Attempt
	w.post(t, p.Refund)
	if d.attempt == 0 {
		w.did("compensated attempt 0")
	} else {
		w.did("compensated a Continue")
	}
	if len(p.Refund) > 0 && p.Refund[0].Period != core.PeriodOf(w.now) {
		w.did("refunded another month")
	}
	require.False(t, core.Compensable(r.run, d.attempt), "once is enough")
}

func (w *world) recover(t *rapid.T) { w.recoverRun(t, w.pick(t)) }

func (w *world) recoverRun(t *rapid.T, r *runRecord) {
	if !core.RecoveryDue(r.run, w.now, horizon) {
		return
	}
	unfinished := r.unfinished()
	var p core.RecoveryPlan
	var err error
	unchanged(t, func() { p, err = core.PlanRecovery(r.run, unfinished, w.now, impatient) }, r.run, unfinished)
	require.NoError(t, err)
	resent := p.Run.Redispatches > r.run.Redispatches
	w.save(t, r, p.Run, p.Files)
	require.False(t, core.RecoveryDue(r.run, w.now, horizon), "the next instance finds nothing due")
	r.sent = append(r.sent, p.Jobs...)
	w.seen["expired"] += p.Expired
	if resent {
		w.did("redispatched")
	}
	if p.Closed {
		w.did("given up")
	}
	if p.Unconfirmed {
		if run, changed := core.ConfirmDispatch(r.run, r.run.Attempt); changed {
			w.save(t, r, run, nil)
		}
	}
}

// resume is a new process that has the store for itself: nobody works on any file any more,
// and what the ones before still bring is fenced.
func (w *world) resume(t *rapid.T) {
	if rapid.IntRange(0, 3).Draw(t, "mood") > 0 {
		return // or no lease would ever expire
	}
	r := w.pick(t)
	if r.run.Status != core.RunRunning {
		return
	}
	unfinished := r.unfinished()
	var p core.RecoveryPlan
	var err error
	unchanged(t, func() { p, err = core.PlanResume(r.run, unfinished, w.now, impatient) }, r.run, unfinished)
	require.NoError(t, err)
	w.save(t, r, p.Run, p.Files)
	r.sent = append(r.sent, p.Jobs...)
	sent := map[int]bool{}
	for _, job := range p.Jobs {
		for _, i := range job.Files {
			sent[i] = true
		}
	}
	for _, f := range r.files {
		require.NotEqual(t, core.FileProcessing, f.Status, "file %d", f.Index)
		if f.Status == core.FilePending && f.Failure.Code == "" && f.Redeliveries <= impatient.MaxRedeliveries && !p.Closed {
			require.True(t, sent[f.Index], "file %d waits and was not sent", f.Index)
		}
	}
	if p.Unconfirmed {
		if run, changed := core.ConfirmDispatch(r.run, r.run.Attempt); changed {
			w.save(t, r, run, nil)
		}
	}
	w.did("resumed")
}

func (w *world) cancel(t *rapid.T) {
	if rapid.IntRange(0, 2).Draw(t, "mood") > 0 {
		return // or no run would ever end by itself
	}
	r := w.pick(t)
	unfinished := r.unfinished()
	var p core.InterruptPlan
	var err error
	unchanged(t, func() { p, err = core.PlanCancel(r.run, unfinished, w.now) }, r.run, unfinished)
	if r.run.Status != core.RunRunning {
		refused(t, err, core.CodeRunNotRunning)
		return
	}
	require.NoError(t, err)
	w.save(t, r, p.Run, p.Files)
	w.did("cancelled")
	w.did("closed %s", r.run.Status)
}

func (w *world) retry(t *rapid.T) {
	r := w.pick(t)
	template := inMode(w.template, r.run.Mode)
	if rapid.Bool().Draw(t, "deleted") {
		template = template.SoftDelete(w.now)
	}
	given := shuffled(t, r.files)
	var p core.RetryPlan
	var err error
	unchanged(t, func() {
		p, err = core.PlanRetry(r.run, given, w.balance(), template, core.RetryTerms{By: admin}, w.now)
	}, r.run, given, template)
	if err != nil {
		var refusal *core.Error
		require.ErrorAs(t, err, &refusal)
		w.did("refused %s", refusal.Code)
		require.Equal(t, r.run.Status == core.RunRunning, refusal.Code == core.CodeRunAlreadyRunning)
		return
	}
	for _, f := range r.files {
		if f.Status == core.FileFailed {
			r.failedAt[p.Attempt.Number]++
		}
	}
	_, err = core.PlanRetry(p.Run, p.Files, w.balance(), template, core.RetryTerms{By: admin}, w.now)
	refused(t, err, core.CodeRunAlreadyRunning)
	require.Len(t, r.attempts, int(p.Attempt.Number))
	r.attempts = append(r.attempts, p.Attempt)
	w.post(t, p.Charge)
	w.save(t, r, p.Run, p.Files)
	r.open = append(r.open, dispatched{p.Attempt.Number, p.Jobs})
	w.did("continued")
	if p.Price() == 0 {
		w.did("continued for free")
	} else if p.Free > 0 {
		w.did("continued for free and charged")
	}
}

func (w *world) raise(t *rapid.T) {
	r := w.pick(t)
	run, amendment, err := core.RaiseMaxRetryCount(r.run, r.run.MaxRetryCount+1, operator, w.now)
	if r.run.Status == core.RunRunning {
		refused(t, err, core.CodeRunAlreadyRunning)
		return
	}
	if r.run.MaxRetryCount == core.MaxMaxRetryCount {
		refused(t, err, core.CodeInvalidRequest)
		return
	}
	require.NoError(t, err)
	require.Equal(t, run.MaxRetryCount, amendment.MaxRetryCountTo)
	w.save(t, r, run, nil)
	w.did("raised")
}

// calm stops the faults: messages arrive, workers answer, recovery runs. Every run must
// close from any state (I11). Dispatches whose process died are not resumed.
func (w *world) calm(t *rapid.T) {
	for _, r := range w.runs {
		for range 200 {
			if r.run.Status != core.RunRunning {
				break
			}
			w.now = w.now.Add(lease)
			before := len(r.sent)
			w.recoverRun(t, r)
			if r.run.Status != core.RunRunning || len(r.sent) == before {
				continue
			}
			held := len(r.held)
			w.claim(t, r, r.sent[before:])
			var group []core.Settlement
			for _, job := range r.held[held:] {
				s := core.Settlement{Job: job}
				for _, i := range job.Files {
					s.Results = append(s.Results, outcome(i, core.OutcomeCompleted))
				}
				group = append(group, s)
			}
			w.settleGroup(t, r, group)
		}
		require.NotEqual(t, core.RunRunning, r.run.Status, "I11: run %s never closes", r.run.ID)
	}
	w.check(t)
}
