package app

import (
	"context"
	"errors"
	"time"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// decision is the result of a transaction that planned nothing new: the replay of an
// earlier answer, or a refusal.
type decision struct {
	done    bool
	run     *core.Run // nil with a refusal
	refusal error
	// replay says that it is the first answer to a repeat; kept, that the refusal stays the
	// answer under the caller's key.
	replay, kept bool
}

// tell tells the caller what it wants to know of the decision.
func (d decision) tell(ctx context.Context) {
	if d.replay {
		replayed(ctx)
	}
	if d.kept {
		kept(ctx)
	}
}

// answer gives the result for the caller.
func (d decision) answer() (core.Run, error) {
	if d.run == nil {
		return core.Run{}, d.refusal
	}
	return *d.run, d.refusal
}

// answerMemo stores the answer under a caller's idempotency key, in the transaction that
// decides it. Without a key it stores nothing. The caller holds a lock that every repeat
// takes as well (the run's or the tenant's), so that a concurrent repeat waits and then
// finds the answer. Another request under the same key may hold another lock; insert
// detects it.
type answerMemo struct {
	key         core.Key
	tenant      core.TenantID
	op          core.Operation
	fingerprint string
	before      string // of a refusal before the upload of the same request; empty for none
	now         time.Time
}

// replay gives the earlier answer under the key; nil: there is none.
func (m answerMemo) replay(answer *core.Answer) decision {
	if answer == nil {
		return decision{}
	}
	fingerprint := m.fingerprint
	if m.before != "" && answer.Fingerprint == m.before {
		fingerprint = m.before
	}
	run, err := answer.Replay(m.op, fingerprint)
	same := !errors.Is(err, core.ErrIdempotencyKeyReused)
	return decision{done: true, run: &run, refusal: err, replay: same, kept: same && err != nil}
}

// refuse stores a refusal. With a key the transaction commits with the stored refusal as
// its only effect. Without a key the refusal is returned as the error that rolls the
// transaction back. Faults are returned as they are.
func (m answerMemo) refuse(err error) (*verdict, error) {
	refusal, ok := asRefusal(err)
	if !ok || m.key == "" {
		return nil, err
	}
	answer := m.answer()
	answer.Refusal = refusal
	return &verdict{decision: decision{done: true, refusal: refusal, kept: true}, remember: &answer}, nil
}

// accept stores a success.
func (m answerMemo) accept(begin ports.Start, jobs []core.Job) *verdict {
	v := &verdict{begin: begin, jobs: jobs}
	if m.key == "" {
		return v
	}
	answer := m.answer()
	answer.Run = begin.Run
	v.remember = &answer
	return v
}

func (m answerMemo) answer() core.Answer {
	return core.Answer{Tenant: m.tenant, Key: m.key, Operation: m.op, Fingerprint: m.fingerprint, At: m.now}
}

// answerEnqueueFailed replaces a stored success by the failure that the caller gets, in
// the transaction that compensates.
func answerEnqueueFailed(ctx context.Context, tx ports.Tx, key core.Key, run core.Run) error {
	if key == "" {
		return nil
	}
	answer, err := tx.Answers().Get(ctx, key)
	if err != nil {
		return err
	}
	answer.Run, answer.Refusal = run, enqueueFailed(run.ID, nil)
	return tx.Answers().Save(ctx, answer)
}
