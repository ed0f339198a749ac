package world

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/core/app/worker/scheduler"
	"github.com/redrive/redrive/internal/sim/faults"
	"github.com/redrive/redrive/internal/sim/oracle"
	"github.com/redrive/redrive/ports"
)

// carry carries out an action of a scheduler, as a goroutine of its worker does, and then
// what has waited for it.
func (w *World) carry(ctx context.Context, a *actor) {
	p := &w.servers[a.process]
	for {
		w.env.Enter(oracle.UseWork)
		w.env.Fresh()
		late := w.env.Choose(faults.ActionFault)
		if late != 0 {
			w.env.Chosen(faults.ActionFault, late)
		}
		if late == faults.ActionBegins && !w.env.Rest(w.recovery.Lease/2) {
			return
		}
		answer := w.carryOut(ctx, p, a)
		if late == faults.ActionAnswered && !w.env.Rest(w.recovery.Lease/2) || late == faults.ActionOutlives && !w.env.Rest(w.recovery.Lease+time.Second) {
			return
		}
		if w.sched.Dead() {
			return
		}
		p.worker.note(a.action, answer)
		w.post(p, answer)
		k := &p.worker
		if w.env.Over || len(k.queued) == 0 {
			return
		}
		a.action = k.queued[0]
		k.queued = slices.Delete(k.queued, 0, 1)
		w.sched.Yield()
	}
}

// note keeps what a worker is told of the jobs that it has claimed.
func (k *worker) note(action scheduler.Action, answer scheduler.Event) {
	switch e := answer.(type) {
	case scheduler.ClaimAnswered:
		for i, j := range action.(scheduler.Claim).Jobs {
			if e.Outcomes != nil && e.Outcomes[i] == scheduler.OutcomeClaimed {
				k.claimed = append(k.claimed, j)
			}
		}
	case scheduler.Renewed:
		lose(e.Lost)
	case scheduler.Looked:
		lose(e.Lost)
	case scheduler.HandedBack:
		for _, j := range action.(scheduler.HandBack).Jobs {
			heldOf(j).over = e.Fault == scheduler.FaultNone
		}
	case scheduler.SettleAnswered:
		for i, s := range action.(scheduler.Settle).Settlements {
			if s.Piece == 0 && e.Fault == scheduler.FaultNone && (e.Held == nil || !e.Held[i]) {
				heldOf(s.Job).over = true
			}
		}
	}
}

// carryOut does what an action says and gives its answer.
func (w *World) carryOut(ctx context.Context, p *server, by *actor) scheduler.Event {
	switch a := by.action.(type) {
	case scheduler.Receive:
		return w.receive(p, a)
	case scheduler.Claim:
		return w.claim(ctx, p, a)
	case scheduler.Execute:
		return w.execute(p, a.Jobs[0])
	case scheduler.Settle:
		return w.settle(ctx, p, a)
	case scheduler.HandBack:
		err := p.svc.HandBack(ctx, jobsOf(a.Jobs))
		if !w.tolerate(err) {
			w.oracle.Met(oracle.HandedBackBesideExecution)
		}
		return scheduler.HandedBack{Group: a.Group, Fault: faultOf(err)}
	case scheduler.Renew:
		return w.renew(ctx, p, a)
	case scheduler.Look:
		jobs := jobsOf(a.Jobs)
		lost, err := p.svc.Lost(ctx, jobs)
		if w.tolerate(err) {
			return scheduler.Looked{Group: a.Group}
		}
		w.oracle.Looked(jobs, lost)
		return scheduler.Looked{Group: a.Group, Lost: among(a.Jobs, lost)}
	case scheduler.Answer:
		return w.answer(ctx, p, a)
	case scheduler.Interrupt:
		return w.interrupt(ctx, p, a.Interruption)
	}
	panic("world: the scheduler asks for something that is not known here")
}

func (w *World) receive(p *server, a scheduler.Receive) scheduler.Event {
	k := &p.worker
	deliveries, err := p.feed.Receive(k.receiving, a.Limit, a.Skip)
	e := scheduler.Received{Failed: err != nil && k.receiving.Err() == nil}
	k.receiving = nil
	if len(deliveries) > 0 {
		w.sched.Yield() // what comes between finds them neither in the queue nor in the scheduler
	}
	e.Messages = make([]scheduler.Message, 0, len(deliveries))
	for _, d := range deliveries {
		e.Messages = append(e.Messages, scheduler.Message{ID: scheduler.MessageID(len(k.messages)), Jobs: d.Jobs()})
		k.messages = append(k.messages, d)
	}
	return e
}

func (w *World) answer(ctx context.Context, p *server, a scheduler.Answer) scheduler.Event {
	d := p.worker.messages[a.Message]
	var err error
	switch a.Reply {
	case scheduler.Ack:
		err = d.Ack(ctx)
	case scheduler.Nack:
		err = d.Nack(ctx)
	case scheduler.Release:
		err = d.Release(ctx, a.Jobs)
	}
	return scheduler.Answered{Message: a.Message, Failed: w.tolerate(err)}
}

func (w *World) claim(ctx context.Context, p *server, a scheduler.Claim) scheduler.Event {
	jobs := jobsOf(a.Jobs)
	claimed, passed, err := p.svc.Claim(ctx, jobs, waitOf(a.Wait))
	answer := scheduler.ClaimAnswered{Group: a.Group, Fault: faultOf(err)}
	if w.tolerate(err) {
		return answer
	}
	answer.Outcomes = make([]scheduler.Outcome, len(a.Jobs))
	for i, j := range a.Jobs {
		if slices.ContainsFunc(passed, func(o core.Job) bool { return sameJob(o, j) }) {
			answer.Outcomes[i] = scheduler.OutcomeHeld
		}
		if n := slices.IndexFunc(claimed, func(c app.Claimed) bool { return sameJob(c.Job, j) }); n >= 0 {
			answer.Outcomes[i] = scheduler.OutcomeClaimed
			j.Work = &held{claimed: claimed[n]}
		}
	}
	return answer
}

// execute executes a claimed job.
func (w *World) execute(p *server, j *scheduler.Job) scheduler.Event {
	h := heldOf(j)
	h.carrier = w.sched.Current()
	results, err := p.svc.Execute(&h.ctx, h.claimed, w.reporting(p, j))
	cancelled := h.ctx.Err() != nil
	h.ctx.end()
	if err != nil {
		if cancelled {
			w.oracle.Met(oracle.ExecutionCancelled)
		}
		return scheduler.Executed{Job: j, GaveUp: true}
	}
	answer := scheduler.Executed{Job: j, Verdict: scheduler.Judge(results)}
	slices.SortStableFunc(results, func(a, b core.FileResult) int { return rank(a) - rank(b) })
	for i := range results {
		if cost := scheduler.ResultCost(&results[i]); len(j.Files) > 1 && rank(results[i]) == 0 {
			answer.Early = append(answer.Early, cost)
		} else {
			answer.Rest += cost
		}
	}
	if len(h.results) == 0 {
		h.results = results
	} else {
		h.results = append(h.results, results...)
	}
	return answer
}

// rank puts results first that may be recorded before their job is counted.
func rank(r core.FileResult) int {
	if r.Outcome == core.OutcomeCompleted || r.Outcome == core.OutcomePermanent {
		return 0
	}
	return 1
}

// reporting takes in results of a batch job as they come, while it goes on.
func (w *World) reporting(p *server, j *scheduler.Job) func(context.Context, core.FileResult) error {
	if len(j.Files) < 2 || !w.sc.Early {
		return nil
	}
	return func(ctx context.Context, r core.FileResult) error {
		h := heldOf(j)
		h.results = append(h.results, r)
		h.reported++
		w.post(p, scheduler.Reported{Job: j, Cost: scheduler.ResultCost(&r)})
		for h.reported > 0 && ctx.Err() == nil && !w.env.Over {
			w.sched.Block()
		}
		return ctx.Err()
	}
}

func (w *World) settle(ctx context.Context, p *server, a scheduler.Settle) scheduler.Event {
	settlements := make([]core.Settlement, len(a.Settlements))
	for i := range a.Settlements {
		settlements[i] = settlementOf(&a.Settlements[i])
	}
	passed, err := p.svc.Settle(ctx, settlements, waitOf(a.Wait))
	answer := scheduler.SettleAnswered{Group: a.Group, Fault: faultOf(err)}
	if w.tolerate(err) {
		return answer
	}
	for i := range a.Settlements {
		s := &a.Settlements[i]
		if slices.ContainsFunc(passed, func(o core.Settlement) bool { return o.Job.Run == s.Job.Run && sameJob(o.Job, s.Job) }) {
			if answer.Held == nil {
				answer.Held = make([]bool, len(a.Settlements))
			}
			answer.Held[i] = true
			continue
		}
		if h := heldOf(s.Job); s.Piece > 0 {
			h.results = h.results[len(settlements[i].Results):]
		} else {
			h.results = nil
		}
	}
	return answer
}

// settlementOf is what is recorded of a job.
func settlementOf(s *scheduler.Settlement) core.Settlement {
	h := heldOf(s.Job)
	if s.Piece > 0 {
		return core.Settlement{Job: s.Job.Job, Results: h.results[:min(s.Piece, len(h.results))], Partial: true}
	}
	results := slices.Concat(h.results, h.forfeits)
	if s.NotKept {
		for i := range results {
			results[i] = scheduler.NotRecorded(results[i].Index)
		}
	}
	return core.Settlement{Job: s.Job.Job, Results: results}
}

func (w *World) renew(ctx context.Context, p *server, a scheduler.Renew) scheduler.Event {
	if w.sc.Sluggish && !w.env.Rest(w.recovery.Lease) {
		return scheduler.Renewed{Group: a.Group}
	}
	jobs := jobsOf(a.Jobs)
	lost, passed, err := p.svc.Renew(ctx, jobs, waitOf(a.Wait))
	answer := scheduler.Renewed{Group: a.Group, Fault: faultOf(err)}
	if w.tolerate(err) {
		return answer
	}
	answer.Lost, answer.Held = among(a.Jobs, lost), among(a.Jobs, passed)
	if len(lost)+len(passed) < len(jobs) {
		w.oracle.Met(oracle.RenewedBesideExecution)
	}
	for _, j := range answer.Lost {
		if h := heldOf(j); h.begun && h.ctx.Err() == nil {
			w.oracle.Met(oracle.LeaseLostAlive)
		}
	}
	return answer
}

// interrupt closes the runs that wait because of a fault of ours.
func (w *World) interrupt(ctx context.Context, p *server, i scheduler.Interruption) scheduler.Event {
	w.env.Enter(oracle.UseInterrupt)
	answer := scheduler.Interrupted{Interruption: i}
	for _, t := range i.Templates {
		n, err := p.svc.Interrupt(ctx, t, i.Why)
		w.tolerate(err)
		answer.Closed += n
	}
	return answer
}

func waitOf(wait bool) app.Wait {
	if wait {
		return app.WaitForLock
	}
	return app.SkipLocked
}

func jobsOf(jobs []*scheduler.Job) []core.Job {
	list := make([]core.Job, len(jobs))
	for i, j := range jobs {
		list[i] = j.Job
	}
	return list
}

func sameJob(a core.Job, j *scheduler.Job) bool {
	return a.ID == j.ID && a.Epoch == j.Epoch && a.Run == j.Run
}

// among finds the jobs of a scheduler that others name.
func among(jobs []*scheduler.Job, named []core.Job) (found []*scheduler.Job) {
	for _, j := range jobs {
		if slices.ContainsFunc(named, func(o core.Job) bool { return sameJob(o, j) }) {
			found = append(found, j)
		}
	}
	return found
}

// faultOf tells how an attempt failed.
func faultOf(err error) scheduler.Fault {
	switch {
	case err == nil:
		return scheduler.FaultNone
	case errors.Is(err, ports.ErrRefused):
		return scheduler.FaultRefused
	case errors.Is(err, ports.ErrUnavailable), errors.Is(err, ports.ErrLockTimeout), errors.Is(err, ports.ErrCommitUnknown),
		errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return scheduler.FaultOfStore
	}
	return scheduler.FaultOfOne
}

// tolerate reports whether there was an error. Faults are what a world is made of,
// and who lost a lease is told to stop; but what failed without either fails by itself.
func (w *World) tolerate(err error) bool {
	if err != nil && !w.env.Over && !w.env.Failed() && !errors.Is(err, context.Canceled) {
		w.oracle.Fail(oracle.Explained, "an error, although nothing was made to fail: %v", err)
	}
	return err != nil
}
