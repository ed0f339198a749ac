package world

import (
	"context"
	"errors"
	"slices"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
	"github.com/redrive/redrive/internal/sim/oracle"
	"github.com/redrive/redrive/internal/sim/sched"
	"github.com/redrive/redrive/ports"
)

// How is the way in which a worker works. Real processes mix them.
type How uint8

// The ways.
const (
	Singly How = iota // Service.Work, one delivery after the other
	ByRun             // jobs of one run share transactions
	Freely            // jobs of one tenant do, and held runs are passed over
)

// work is the loop of a worker.
func (w *World) work(ctx context.Context, a *actor, how Worker) {
	p := &w.processes[a.process]
	for !w.env.Over {
		a.busy = false
		w.env.Enter(oracle.UseWork)
		deliveries, err := p.feed.Receive(ctx, how.Limit, ports.Skip{})
		if errors.Is(err, ports.ErrClosed) {
			return
		}
		a.busy = true
		if w.tolerate(err) {
			continue
		}
		if how.How == Singly {
			for _, d := range deliveries {
				w.tolerate(p.svc.Work(ctx, d))
			}
			continue
		}
		a.hand.take(deliveries)
		w.workTogether(ctx, a, how, &a.hand)
	}
}

// hand is what a worker has received and not acked or nacked.
type hand struct {
	jobs       []core.Job
	deliveries []ports.Delivery // nil once the queue was told
}

func (h *hand) take(deliveries []ports.Delivery) {
	h.jobs, h.deliveries = h.jobs[:0], deliveries
	for _, d := range deliveries {
		h.jobs = append(h.jobs, d.Jobs()...)
	}
}

// told tells the queue what became of jobs. One may have been delivered twice at once.
func (w *World) told(ctx context.Context, h *hand, jobs []core.Job, failed bool) {
	tell := ports.Delivery.Ack
	if failed {
		tell = ports.Delivery.Nack
	}
	for _, job := range jobs {
		for i, d := range h.deliveries {
			if d != nil && keyOf(h.jobs[i]) == keyOf(job) {
				h.deliveries[i] = nil
				w.tolerate(tell(d, ctx))
			}
		}
	}
}

// jobKey tells claims apart.
type jobKey struct {
	run   core.RunID
	job   core.JobID
	epoch core.Epoch
}

func keyOf(j core.Job) jobKey { return jobKey{j.Run, j.ID, j.Epoch} }

// workTogether does what core/app/worker does, one thing after the other: claims
// share a transaction, so do renewals and results.
func (w *World) workTogether(ctx context.Context, a *actor, how Worker, h *hand) {
	svc := w.processes[a.process].svc
	byRun := h.jobs
	if how.How == Freely {
		byRun = nil
		for _, group := range app.ByTenant(h.jobs) {
			claimed, held, err := svc.Claim(ctx, group, app.SkipLocked)
			if w.tolerate(err) {
				w.told(ctx, h, group, true)
				w.pause(ctx, svc)
				continue
			}
			byRun = append(byRun, held...)
			w.told(ctx, h, without(group, held), false)
			w.execute(ctx, a, how, claimed)
		}
	}
	for _, group := range app.ByRun(byRun) {
		claimed, _, err := svc.Claim(ctx, group, app.WaitForLock)
		failed := w.tolerate(err)
		w.told(ctx, h, group, failed)
		if failed {
			w.pause(ctx, svc)
			continue
		}
		w.execute(ctx, a, how, claimed)
	}
}

// without gives the jobs that are not among others.
func without(jobs, others []core.Job) []core.Job {
	if len(others) == 0 {
		return jobs
	}
	return slices.DeleteFunc(slices.Clone(jobs), func(j core.Job) bool {
		return slices.ContainsFunc(others, func(o core.Job) bool { return keyOf(o) == keyOf(j) })
	})
}

func (w *World) pause(ctx context.Context, svc *app.Service) {
	_ = svc.Clock().Sleep(ctx, faultPause) // ends early only when the world does
}

// execute works on claimed jobs and settles them together.
func (w *World) execute(ctx context.Context, a *actor, how Worker, claimed []app.Claimed) {
	svc := w.processes[a.process].svc
	settlements := make([]core.Settlement, 0, len(claimed))
	for _, c := range claimed {
		began := w.sched.Now
		a.claims++
		givesBack := a.claims == how.HandBack
		if givesBack && !how.Late {
			w.tolerate(svc.HandBack(ctx, []core.Job{c.Job}))
			continue
		}
		if how.Renews {
			if lost, _, err := svc.Renew(ctx, []core.Job{c.Job}, app.WaitForLock); !w.tolerate(err) && len(lost) > 0 {
				continue
			}
		}
		results, err := w.hold(ctx, a, how, c)
		if givesBack || how.Late && how.HandBack > 0 && w.sched.Now.Sub(began) >= w.recovery.Lease {
			w.tolerate(svc.HandBack(ctx, []core.Job{c.Job}))
			continue
		}
		if w.tolerate(err) {
			continue
		}
		if how.Renews && how.Late {
			if lost, _, err := svc.Renew(ctx, []core.Job{c.Job}, app.WaitForLock); !w.tolerate(err) && len(lost) > 0 {
				continue
			}
		}
		settlements = append(settlements, core.Settlement{Job: c.Job, Results: results})
	}
	for try := 1; len(settlements) > 0 && try <= 3 && !w.env.Over; try++ {
		if settlements = w.settle(ctx, svc, how, settlements); len(settlements) > 0 {
			w.pause(ctx, svc)
		}
	}
}

// settle records results, which are of one tenant, and gives those that are left.
func (w *World) settle(ctx context.Context, svc *app.Service, how Worker, all []core.Settlement) (left []core.Settlement) {
	if how.How == Freely {
		held, err := svc.Settle(ctx, all, app.SkipLocked)
		if w.tolerate(err) {
			return all
		}
		all = held
	}
	for len(all) > 0 {
		var group, rest []core.Settlement
		for _, s := range all {
			if s.Job.Run == all[0].Job.Run {
				group = append(group, s)
			} else {
				rest = append(rest, s)
			}
		}
		if _, err := svc.Settle(ctx, group, app.WaitForLock); w.tolerate(err) {
			left = append(left, group...)
		}
		all = rest
	}
	return left
}

// heldJob is a job that a worker executes while its process renews the lease.
type heldJob struct {
	job    core.Job
	cancel context.CancelFunc
}

// hold executes a job, seen by the rest of its process.
func (w *World) hold(ctx context.Context, a *actor, how Worker, c app.Claimed) ([]core.FileResult, error) {
	p := &w.processes[a.process]
	record := w.recording(p.svc, how, c.Job)
	if !w.sc.Renewals {
		return p.svc.Execute(ctx, c, record)
	}
	ctx, cancel := context.WithCancel(ctx)
	h := &heldJob{c.Job, cancel}
	p.held = append(p.held, h)
	if p.idle {
		w.sched.Wake(p.renewer)
	}
	defer func() {
		cancel()
		p.held = slices.DeleteFunc(p.held, func(o *heldJob) bool { return o == h })
	}()
	results, err := p.svc.Execute(ctx, c, record)
	if err != nil && ctx.Err() != nil {
		w.oracle.Met(oracle.ExecutionCancelled)
	}
	return results, err
}

// recording settles results of a batch job as they come, while it goes on.
func (w *World) recording(svc *app.Service, how Worker, job core.Job) func(context.Context, core.FileResult) error {
	if len(job.Files) < 2 || !w.sc.Early {
		return nil
	}
	return func(ctx context.Context, r core.FileResult) error {
		left := w.settle(ctx, svc, how, []core.Settlement{{Job: job, Results: []core.FileResult{r}, Partial: true}})
		if len(left) > 0 {
			return errNotRecorded
		}
		return nil
	}
}

// errNotRecorded says that a result could not be recorded early.
var errNotRecorded = errors.New("the store did not take a result")

func (p *process) heldJobs() []core.Job {
	jobs := make([]core.Job, len(p.held))
	for i, h := range p.held {
		jobs[i] = h.job
	}
	return jobs
}

// renew is the loop that renews the leases of what the process executes.
func (w *World) renew(ctx context.Context, id sched.ActorID) {
	p := &w.processes[w.actors[id].process]
	p.renewer = id
	every := w.recovery.Lease / 3
	if w.sc.Sluggish {
		every = w.recovery.Lease * 5 / 4
	}
	for !w.env.Over {
		if len(p.held) == 0 {
			p.idle = true
			w.sched.Block()
			p.idle = false
			continue
		}
		if w.sc.Looks {
			if !w.env.Rest(every / 2) {
				return
			}
			w.look(ctx, p)
			if len(p.held) == 0 {
				continue
			}
		}
		if !w.env.Rest(every) {
			return
		}
		w.env.Enter(oracle.UseWork)
		for _, group := range app.ByTenant(p.heldJobs()) {
			lost, byRun, err := p.svc.Renew(ctx, group, app.SkipLocked)
			w.renewed(p, len(group)-len(byRun), lost, err)
			for _, group := range app.ByRun(byRun) {
				lost, _, err := p.svc.Renew(ctx, group, app.WaitForLock)
				w.renewed(p, len(group), lost, err)
			}
		}
	}
}

// look finds out whether what the process executes is lost, without renewing it.
func (w *World) look(ctx context.Context, p *process) {
	w.env.Enter(oracle.UseWork)
	for _, group := range app.ByTenant(p.heldJobs()) {
		lost, err := p.svc.Lost(ctx, group)
		if w.tolerate(err) {
			continue
		}
		w.oracle.Looked(group, lost)
		for _, job := range lost {
			for _, h := range p.held {
				if keyOf(h.job) == keyOf(job) {
					h.cancel()
				}
			}
		}
	}
}

// renewed stops the execution of what is lost.
func (w *World) renewed(p *process, asked int, lost []core.Job, err error) {
	if w.tolerate(err) {
		return
	}
	if len(lost) < asked {
		w.oracle.Met(oracle.RenewedBesideExecution)
	}
	for _, job := range lost {
		for _, h := range p.held {
			if keyOf(h.job) == keyOf(job) {
				w.oracle.Met(oracle.LeaseLostAlive)
				h.cancel()
			}
		}
	}
}

// handBack is what a process does that stops while its workers execute.
func (w *World) handBack(ctx context.Context, p *process) error {
	var errs []error
	for _, group := range app.ByRun(p.heldJobs()) {
		err := p.svc.HandBack(ctx, group)
		if err == nil {
			w.oracle.Met(oracle.HandedBackBesideExecution)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// tolerate reports whether there was an error. Faults are what a world is made of,
// and who lost a lease is told to stop; but what failed without either fails by itself.
func (w *World) tolerate(err error) bool {
	if err != nil && !w.env.Over && !w.env.Failed() && !errors.Is(err, context.Canceled) {
		w.oracle.Fail(oracle.Explained, "an error, although nothing was made to fail: %v", err)
	}
	return err != nil
}
