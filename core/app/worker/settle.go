package worker

import (
	"slices"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app/worker/scheduler"
)

// settle records results. What is in hand is recorded also while the process stops.
func (w *Worker) settle(a scheduler.Settle) {
	all := make([]core.Settlement, len(a.Settlements))
	for i, s := range a.Settlements {
		all[i] = core.Settlement{Job: s.Job.Job, Partial: s.Piece > 0}
		if s.Piece > 0 {
			all[i].Results = taskOf(s.Job).piece(s.Piece)
		} else {
			all[i].Results = taskOf(s.Job).whole(s.NotKept)
		}
	}
	answer := scheduler.SettleAnswered{Group: a.Group}
	held, err := w.svcSettle(w.base, all, a.Wait)
	if err != nil {
		answer.Fault = faultOf(err)
		log := w.log.With(append(attrs(all[0].Job), "jobs", len(all), "error", err)...)
		switch {
		case len(all) > 1 && answer.Fault != scheduler.FaultOfStore:
			log.Warn("results of a group not recorded; its parts are tried")
		case answer.Fault == scheduler.FaultRefused:
			log.Error("the store can never hold these results", "results", len(all[0].Results))
		default:
			log.Warn("results not recorded, will try again")
		}
		w.inbox.put(answer)
		return
	}
	if len(held) > 0 {
		answer.Held = make([]bool, len(all))
	}
	for i, s := range a.Settlements {
		if len(held) > 0 && slices.ContainsFunc(held, func(h core.Settlement) bool { return h.Job.Run == s.Job.Run }) {
			answer.Held[i] = true
		} else if s.Piece > 0 {
			taskOf(s.Job).saved(s.Piece)
		}
	}
	w.inbox.put(answer)
}
