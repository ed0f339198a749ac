package app

import (
	"context"
	"errors"
	"time"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// start is a request that may begin an attempt: an initiation or a Continue. It is
// decided by the same rules whether it has a transaction of its own or shares one.
type start struct {
	run      core.RunID      // that is continued; empty for an initiation
	terms    core.RetryTerms // of a Continue
	template core.TemplateID // of an initiation
	files    int             // of an initiation
	key      core.Key        // the caller's idempotency key; empty for none
	trace    core.Trace      // of the request
	// decide decides on what it is given, and writes nothing. A refusal that is not to
	// be remembered is an error, as faults are: there is no verdict then.
	decide func(ctx context.Context, in inputs) (*verdict, error)
	// verdict is what was decided last, if that was no error: a transaction may be run
	// again.
	verdict *verdict
}

// inputs is what a start is decided on.
type inputs interface {
	// run gives a run under its lock. ErrNotFound if there is none.
	run(ctx context.Context, id core.RunID) (core.Run, error)
	// answer gives what is remembered under a key, nil if there is nothing or no key.
	answer(ctx context.Context, key core.Key) (*core.Answer, error)
	// read gives the rest, under the lock of the tenant's credits. The run's is taken before.
	read(ctx context.Context, want startReads) (startInputs, error)
}

// startReads is what one start is decided on. What is empty is not read.
type startReads struct {
	run      core.RunID // whose files are to be retried
	template core.TemplateID
	key      core.Key
}

// startInputs is what one start is decided on, as it is at a time under the lock of the
// tenant's credits.
type startInputs struct {
	balance  core.Balance
	now      time.Time
	files    []core.File
	template *core.Template // soft-deleted or not; nil: there is none
	answer   *core.Answer   // nil: there is none
}

// of gives what was read of one start.
func (want startReads) of(found *ports.StartInputs, now time.Time) startInputs {
	in := startInputs{balance: found.Balance, now: now, files: found.Files[want.run]}
	if template, ok := found.Templates[want.template]; ok {
		in.template = &template
	}
	if answer, ok := found.Answers[want.key]; ok {
		in.answer = &answer
	}
	return in
}

// verdict is what was decided of a start: a replay or a refusal, or else an attempt.
type verdict struct {
	decision

	begin ports.Start
	jobs  []core.Job
	// sent says that the jobs are sent by the transaction that begins the attempt.
	sent bool
	// remember is what is remembered under the caller's key; nil for nothing.
	remember *core.Answer
}

// errRunHeld says that another transaction has the lock of the run. No effect.
var errRunHeld = errors.New("another transaction has the run")

// start decides a start, with others that wait for the same tenant's credits if there
// are any, and dispatches what it began.
func (s *Service) start(ctx context.Context, tenant core.TenantID, st *start) (core.Run, error) {
	st.trace = ports.TraceOf(ctx)
	if err := s.decide(ctx, tenant, st); err != nil {
		return core.Run{}, err
	}
	v := st.verdict
	if !v.done {
		s.outcomes.began(v.begin.Attempt)
	}
	switch {
	case v.done:
		v.tell(ctx)
		return v.answer()
	case v.sent:
		return v.begin.Run, nil
	}
	return s.dispatch(ctx, dispatch{run: v.begin.Run, attempt: v.begin.Attempt.Number, jobs: v.jobs, key: st.key})
}

func (s *Service) decide(ctx context.Context, tenant core.TenantID, st *start) error {
	t := &turn{ctx: ctx, start: st}
	leads, err := s.waiting.enter(tenant, t)
	if err != nil {
		return err
	}
	if leads {
		s.lead(tenant, t)
	}
	if t.alone {
		return s.decideAlone(ctx, tenant, st, false)
	}
	return t.err
}

// lead decides a group. Each of it that is not decided with the others has alone set,
// also after a panic.
func (s *Service) lead(tenant core.TenantID, leader *turn) {
	group := s.waiting.take(tenant, leader)
	var next []*turn
	defer func() { s.waiting.pass(tenant, group, next) }()
	for _, t := range group {
		t.alone, t.err = true, nil
	}
	if len(group) > 1 {
		next = s.decideTogether(tenant, group)
		return
	}
	// Those who come meanwhile wait for this transaction, so it must not wait for one
	// that has only to do with its own run.
	if err := s.decideAlone(leader.ctx, tenant, leader.start, true); !errors.Is(err, errRunHeld) {
		leader.alone, leader.err = false, err
	}
}

// decideAlone decides a start in a transaction of its own. With skip it fails with
// errRunHeld instead of waiting for its run.
func (s *Service) decideAlone(ctx context.Context, tenant core.TenantID, st *start, skip bool) error {
	err := s.store.InTx(ctx, tenant, func(tx ports.Tx) error {
		var before core.Balance
		v, err := st.decide(ctx, ownInputs{s: s, tx: tx, tenant: tenant, skip: skip, balance: &before})
		if err != nil {
			return err
		}
		v.sendBy(ports.OutboxOf(tx), s.opts.Recovery, st.trace)
		st.verdict = v
		if !v.done {
			if err := tellStart(ctx, tx, &v.begin, before); err != nil {
				return err
			}
		}
		return write(ctx, tx, v)
	})
	if err == nil {
		s.toldSomething()
	}
	return err
}

// sendBy lets the transaction that writes the verdict send the attempt's jobs as well, if
// it can. The attempt is dispatched from the outset then: there is nothing to confirm,
// and nothing to undo if it fails.
func (v *verdict) sendBy(outbox ports.Outbox, policy core.RecoveryPolicy, trace core.Trace) {
	for i := range v.jobs {
		v.jobs[i].Trace = trace
	}
	v.sent = outbox != nil && !v.done
	if !v.sent {
		return
	}
	v.begin.Run = core.Sent(v.begin.Run, policy)
	v.begin.Jobs = v.jobs
	if v.remember != nil {
		v.remember.Run = v.begin.Run
	}
}

// write writes what was decided of one start.
func write(ctx context.Context, tx ports.Tx, v *verdict) error {
	var starts []ports.Start
	if !v.done {
		starts = []ports.Start{v.begin}
	}
	var answers []core.Answer
	if v.remember != nil {
		answers = []core.Answer{*v.remember}
	}
	if len(starts)+len(answers) == 0 {
		return nil
	}
	_, err := tx.Starts().Write(ctx, starts, answers)
	if len(answers) > 0 && errors.Is(err, ports.ErrExists) {
		// The key was used meanwhile, for another request (see answerMemo): the error
		// rolls this one back. All else that is written is under locks, or new.
		return core.KeyReused()
	}
	return err
}

// send sends jobs with the transaction, which has an outbox if there are any.
func send(ctx context.Context, tx ports.Tx, jobs []core.Job) error {
	if len(jobs) == 0 {
		return nil
	}
	return ports.OutboxOf(tx).Send(ctx, jobs)
}

// ownInputs reads what a start is decided on as it is asked for, in its transaction.
type ownInputs struct {
	s      *Service
	tx     ports.Tx
	tenant core.TenantID
	skip   bool // errRunHeld instead of waiting for a run
	// balance takes what was read of the credits; nil: it is not asked for.
	balance *core.Balance
}

func (in ownInputs) run(ctx context.Context, id core.RunID) (core.Run, error) {
	if !in.skip {
		return ports.LockRun(ctx, in.tx, id)
	}
	free, err := in.tx.Runs().Lock(ctx, ports.SkipLocked, ports.FilesOf{Run: id})
	switch {
	case err != nil:
		return core.Run{}, err
	case len(free) == 0: // or there is no such run, which who waits finds out
		return core.Run{}, errRunHeld
	}
	return free[0].Run, nil
}

func (in ownInputs) answer(ctx context.Context, key core.Key) (*core.Answer, error) {
	if key == "" {
		return nil, nil
	}
	answer, err := in.tx.Answers().Get(ctx, key)
	if errors.Is(err, ports.ErrNotFound) {
		return nil, nil
	}
	return &answer, err
}

func (in ownInputs) read(ctx context.Context, want startReads) (startInputs, error) {
	reads := ports.StartReads{Templates: []core.TemplateID{want.template}}
	if want.run != "" {
		reads.Runs = []core.RunID{want.run}
	}
	if want.key != "" {
		reads.Keys = []core.Key{want.key}
	}
	found, now, err := in.s.readStarts(ctx, in.tx, in.tenant, reads)
	if err != nil {
		return startInputs{}, err
	}
	if in.balance != nil {
		*in.balance = found.Balance
	}
	return want.of(&found, now), nil
}
