package worker

import (
	"context"
	"time"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// tellOperator logs what is to be known of outages: a fault of ours as a warning that
// says what to do.
func (w *Worker) tellOperator(notes []note) {
	for _, n := range notes {
		o := &n.outage
		log := w.log.With("endpoint", n.endpoint)
		if n.template != (ports.TemplateKey{}) {
			log = log.With("tenant", n.template.Tenant, "template", n.template.Template)
		}
		switch n.kind {
		case noteOver:
			w.stats.breakerClosed.Add(1)
			log.Info("jobs are worked on again", "cause", o.cause.String(), "since", o.since, "probes", o.probes+1)
			continue
		case noteOpened:
			w.stats.breakerOpened.Add(1)
		case noteGoesOn:
		}
		log = log.With("fault", o.failure.Code, "reason", o.failure.Message, "since", o.since, "next_probe", o.probeAt)
		if o.cause == causeBlocked {
			log.Warn("jobs cannot be done because of a fault of the service, and wait for it to be mended", "do", whatToDo(o.failure))
		} else {
			log.Warn("the provider is down: its jobs are kept back")
		}
	}
}

// interrupt closes the runs that wait because of a fault of ours that has lasted. A run
// in which something is done between two looks is worked on by another server, for which
// the fault does not hold, even if at both moments no file of it is being processed.
func (w *Worker) interrupt(i interruption) {
	if len(i.templates) == 0 {
		return
	}
	before := map[ports.RunKey]progress{}
	w.eachTemplate(i, func(run core.Run) (spared bool) {
		before[ports.RunKey{Tenant: run.Tenant, Run: run.ID}] = progressOf(run)
		return true
	})
	if len(before) == 0 || w.clock.Sleep(w.receiving, betweenLooks) != nil {
		return
	}
	closed := w.eachTemplate(i, func(run core.Run) (spared bool) {
		seen, there := before[ports.RunKey{Tenant: run.Tenant, Run: run.ID}]
		return !there || seen != progressOf(run)
	})
	if closed == 0 {
		return
	}
	now := time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pool.gate.breaker.interrupted(i, now)
	w.opened(nil, now)
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
func (w *Worker) eachTemplate(i interruption, spare func(core.Run) bool) (closed int) {
	for _, template := range i.templates {
		var n int
		var err error
		w.slots.use(func() {
			ctx, cancel := context.WithTimeout(w.working, interruptTimeout)
			defer cancel()
			err = w.guard(func() (err error) {
				n, err = w.svc.Interrupt(ctx, template, i.why, spare)
				return err
			})
		})
		closed += n
		w.stats.interrupted.Add(int64(n))
		if err != nil {
			w.log.Warn("runs not interrupted, the next probe that fails tries again",
				"tenant", template.Tenant, "template", template.Template, "fault", i.why.Code, "error", err)
		}
	}
	return closed
}
