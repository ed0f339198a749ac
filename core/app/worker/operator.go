package worker

import (
	"context"
	"log/slog"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app/worker/scheduler"
	"github.com/redrive/redrive/ports"
)

// tellOperator logs what is to be known: a fault of ours as a warning that says what to
// do.
func (w *Worker) tellOperator(n scheduler.Note) {
	switch n.Kind {
	case scheduler.NoteUp:
		w.breakerLog(n).Info("jobs are worked on again", "cause", n.Cause, "since", n.Since, "probes", n.Probes+1)
	case scheduler.NoteDown:
		log := w.breakerLog(n).With("fault", n.Fault.Code, "reason", n.Fault.Message, "since", n.Since, "next_probe", n.NextProbe)
		if n.Ours {
			log.Warn("jobs cannot be done because of a fault of the service, and wait for it to be mended", "do", whatToDo(n.Fault))
		} else {
			log.Warn("the provider is down: its jobs are kept back")
		}
	case scheduler.NoteRunLocked:
		w.log.Warn("a run has been locked for long; others are worked on meanwhile", "tenant", n.Run.Tenant, "run", n.Run.Run)
	case scheduler.NoteHandingBack:
		w.log.Warn("stopping: handing back unfinished jobs", "jobs", n.Jobs)
	case scheduler.NoteNotEnded:
		w.log.Error("stopping: executors did not return when told to; their jobs are handed back", "jobs", n.Jobs)
	case scheduler.NoteNotAnswered:
		w.log.Error("stopping: claims are not answered; if they were made, recovery takes over when the leases run out", "jobs", n.Jobs)
	}
}

func (w *Worker) breakerLog(n scheduler.Note) *slog.Logger {
	log := w.log.With("endpoint", n.Endpoint)
	if n.Template != (ports.TemplateKey{}) {
		log = log.With("tenant", n.Template.Tenant, "template", n.Template.Template)
	}
	return log
}

// whatToDo tells an operator how a fault of ours is mended.
func whatToDo(f core.Failure) string {
	switch f.Code {
	case core.FailureUnauthorized:
		return "give the service a credential that the provider takes"
	case core.FailureQuota:
		return "pay the provider's account, or raise its limit"
	case core.FailureMisconfigured:
		return "correct the provider's address or the name of the model"
	case core.FailureRequestRefused:
		return "look at what the template asks for: this model takes no such request"
	}
	return "look at what the provider answers"
}

// interrupt closes the runs that wait because of a fault of ours that has lasted. A run
// in which something is done between two looks is worked on by another server, for which
// the fault does not hold, even if at both moments no file of it is being processed.
func (w *Worker) interrupt(a scheduler.Interrupt) {
	w.inbox.put(scheduler.Interrupted{Interruption: a.Interruption, Closed: w.closeRuns(a.Interruption)})
}

func (w *Worker) closeRuns(i scheduler.Interruption) (closed int) {
	before := map[ports.RunKey]progress{}
	w.eachTemplate(i, func(run core.Run) (spared bool) {
		before[ports.RunKey{Tenant: run.Tenant, Run: run.ID}] = progressOf(run)
		return true
	})
	if len(before) == 0 || w.clock.Sleep(w.receiving, betweenLooks) != nil {
		return 0
	}
	return w.eachTemplate(i, func(run core.Run) (spared bool) {
		seen, there := before[ports.RunKey{Tenant: run.Tenant, Run: run.ID}]
		return !there || seen != progressOf(run)
	})
}

// progress is what changes of a run when something of it is done.
type progress struct {
	attempt           core.AttemptNumber
	completed, failed int // jobs
	files             core.Tally
}

func progressOf(r core.Run) progress {
	return progress{r.Attempt, r.CompletedJobs, r.FailedJobs, r.Tally}
}

// eachTemplate closes the runs of these templates that are not spared, and counts them.
func (w *Worker) eachTemplate(i scheduler.Interruption, spare func(core.Run) bool) (closed int) {
	for _, template := range i.Templates {
		var n int
		err := w.guard(func() (err error) {
			ctx, cancel := context.WithTimeout(w.base, interruptTimeout)
			defer cancel()
			n, err = w.svc.Interrupt(ctx, template, i.Why, spare)
			return err
		})
		closed += n
		if err != nil {
			w.log.Warn("runs not interrupted, the next probe that fails tries again",
				"tenant", template.Tenant, "template", template.Template, "fault", i.Why.Code, "error", err)
		}
	}
	return closed
}
