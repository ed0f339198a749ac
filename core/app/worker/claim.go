package worker

import (
	"context"

	"github.com/redrive/redrive/core/app/worker/scheduler"
)

// claim claims a group. It is not cancelled by a stop, which must not leave in the dark
// whether a claim was made.
func (w *Worker) claim(a scheduler.Claim) {
	answer := scheduler.ClaimAnswered{Group: a.Group}
	claimed, held, err := w.svcClaim(w.base, jobsOf(a.Jobs), a.Wait)
	if err != nil {
		answer.Fault = faultOf(err)
		log := w.log.With(append(attrs(a.Jobs[0].Job), "jobs", len(a.Jobs), "error", err)...)
		if len(a.Jobs) > 1 && answer.Fault != scheduler.FaultOfStore {
			log.Warn("claim of a group failed; its parts are tried")
		} else {
			log.Error("claim failed, the jobs go back to the queue")
		}
		w.inbox.put(answer)
		return
	}
	answer.Outcomes = make([]scheduler.Outcome, len(a.Jobs))
	f := finder{jobs: a.Jobs}
	for i := range claimed {
		if at := f.find(claimed[i].Job); at >= 0 {
			answer.Outcomes[at] = scheduler.OutcomeClaimed
			a.Jobs[at].Work = newTask(w.base, claimed[i])
		}
	}
	for _, j := range held {
		if at := f.find(j); at >= 0 {
			answer.Outcomes[at] = scheduler.OutcomeHeld
		}
	}
	w.inbox.put(answer)
}

// handBack gives jobs of a run back unfinished.
func (w *Worker) handBack(a scheduler.HandBack) {
	for _, j := range a.Jobs {
		taskOf(j).drop()
	}
	ctx, cancel := context.WithTimeout(w.base, scheduler.HandBackTimeout)
	defer cancel()
	answer := scheduler.HandedBack{Group: a.Group}
	if err := w.guard(func() error { return w.svc.HandBack(ctx, jobsOf(a.Jobs)) }); err != nil {
		answer.Fault = faultOf(err)
		w.log.Warn("jobs not handed back, will try again", append(attrs(a.Jobs[0].Job), "jobs", len(a.Jobs), "error", err)...)
	}
	w.inbox.put(answer)
}
