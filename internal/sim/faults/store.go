package faults

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/internal/sim/oracle"
	"github.com/redrive/redrive/internal/sim/trace"
	"github.com/redrive/redrive/ports"
)

// Store wraps the store that all processes share.
type Store struct {
	Env   *Env
	Inner ports.Store
	Queue *Queue
	// Sends says that the process has its transactions send jobs themselves.
	Sends *bool
}

var _ ports.Store = (*Store)(nil)

// errRerun makes the wrapper run a transaction again, as stores do after a
// serialization failure.
var errRerun = errors.New("faults: run again")

var errNetwork = fmt.Errorf("connection reset: %w", ports.ErrUnavailable)

// InTx implements ports.Store.
func (s *Store) InTx(ctx context.Context, tenant core.TenantID, fn func(ports.Tx) error) error {
	e := s.Env
	a := e.actor()
	if a != nil {
		a.seenMin, a.seenMax = time.Time{}, time.Time{}
		if a.inTx {
			e.Oracle.Fail(oracle.NoCallInTx, "a transaction was begun inside another one, which two connections can deadlock on")
		}
	}
	e.step(trace.Begin, tenant, "")
	if e.fault(BeginFault, "") != 0 || e.unlucky(tenant) {
		return e.erred(errNetwork)
	}
	for {
		if err := s.once(ctx, tenant, a, fn); !errors.Is(err, errRerun) {
			return e.erred(err)
		}
	}
}

// once runs the transaction one time.
func (s *Store) once(ctx context.Context, tenant core.TenantID, a *actorState, fn func(ports.Tx) error) error {
	e := s.Env
	t := e.newTx(tenant)
	t.sends = *s.Sends
	if a != nil {
		a.inTx = true
	}
	t.fn = fn
	err := s.Inner.InTx(ctx, tenant, t.body)
	t.over, e.committing = true, nil
	e.Sched.Alive() // a lock that a killed actor waited for
	if a != nil {
		a.inTx = false
	}
	if err != nil {
		if t.commit.Wrote() {
			e.event(trace.Rollback, trace.NoOp, tenant, t.first, 0)
			if e.Tape.Recording {
				e.say(err.Error())
			}
		}
		e.free(t)
		return err
	}
	if t.commit.Wrote() {
		s.committed(t, a)
	}
	lost := t.lost
	e.free(t)
	if lost {
		e.Oracle.Met(oracle.CommitAnswerLost)
		return ports.ErrCommitUnknown
	}
	return nil
}

// run is what the inner store runs: the transaction, and what becomes of its commit.
func (t *tx) run(inner ports.Tx) error {
	e := t.env
	t.inner = inner
	if err := t.fn(t); err != nil {
		return err
	}
	if t.broken != nil {
		return t.broken
	}
	if !t.commit.Wrote() {
		return nil
	}
	e.step(trace.CommitTx, t.tenant, t.first)
	switch e.fault(CommitFault, t.first) {
	case CommitAborted:
		return ports.ErrSerialization
	case CommitDown:
		return errNetwork
	case CommitUnknown:
		e.Oracle.Met(oracle.CommitLost)
		return ports.ErrCommitUnknown
	case CommitUnanswered:
		t.lost = true
	case CommitRerun:
		return errRerun
	}
	e.committing = t
	return nil
}

func (s *Store) committed(t *tx, a *actorState) {
	c := &t.commit
	c.Tenant, c.Actor, c.Together = t.tenant, trace.NoActor, 0
	c.Use, c.SeenMin, c.SeenMax = oracle.UseOther, s.Env.Sched.Now, s.Env.Sched.Now
	if a != nil {
		a.committed = true
		c.Actor, c.Use = uint8(s.Env.Sched.Current()), a.use
		c.Together = oracle.Actors(s.Env.together() | 1<<s.Env.Sched.Current())
		if !a.seenMin.IsZero() {
			c.SeenMin, c.SeenMax = a.seenMin, a.seenMax
		}
	}
	s.Env.Committed(c, t.first)
	s.sent(t, a)
}

// Committed records a commit and lets the oracle look at it. about is a run that it
// is about, or empty.
func (e *Env) Committed(c *oracle.Commit, about core.RunID) {
	e.event(trace.Commit, trace.NoOp, c.Tenant, about, int64(len(c.Runs)+len(c.Files)<<8+len(c.Entries)<<16))
	e.Oracle.Step = e.Sched.Steps
	e.Oracle.Committed(c)
	if n := len(e.Tape.Events); e.Tape.Recording && n > 0 {
		e.Tape.Events[n-1].Text = describe(c)
		e.Tape.Events[n-1].State = e.Oracle.State()
	}
}

// View implements ports.Store. The snapshot is one step: nobody can come between
// its reads.
func (s *Store) View(ctx context.Context, tenant core.TenantID, fn func(ports.Tx) error) error {
	e := s.Env
	e.step(trace.View, tenant, "")
	if e.fault(ReadFault, "") != 0 || e.unlucky(tenant) {
		return e.erred(errNetwork)
	}
	a := e.actor()
	t := e.newTx(tenant)
	if a != nil {
		a.atomic++
	}
	t.fn = fn
	err := s.Inner.View(ctx, tenant, t.look)
	if a != nil {
		a.atomic--
	}
	t.over = true
	e.free(t)
	return e.erred(err)
}

// see is what the inner store runs for a snapshot.
func (t *tx) see(inner ports.Tx) error {
	t.inner = inner
	return t.fn(t)
}

// look is a read outside any transaction.
func look[T any](e *Env, op trace.Op, run core.RunID, get func() (T, error)) (found T, err error) {
	e.step(op, "", run)
	if e.fault(ReadFault, run) != 0 {
		return found, e.erred(errNetwork)
	}
	return get()
}

// AuditEvents implements ports.Store. No use case that is played reads it.
func (s *Store) AuditEvents(ctx context.Context, page ports.AuditPage) ([]core.AuditEvent, error) {
	return s.Inner.AuditEvents(ctx, page)
}

// TenantOf implements ports.Store.
func (s *Store) TenantOf(ctx context.Context, run core.RunID) (core.TenantID, error) {
	return look(s.Env, trace.TenantOf, run, func() (core.TenantID, error) { return s.Inner.TenantOf(ctx, run) })
}

// DueRuns implements ports.Store.
func (s *Store) DueRuns(ctx context.Context, now time.Time, horizon time.Duration, limit int) ([]ports.RunKey, error) {
	return look(s.Env, trace.DueRuns, "", func() ([]ports.RunKey, error) { return s.Inner.DueRuns(ctx, now, horizon, limit) })
}

// Ungranted implements ports.Store.
func (s *Store) Ungranted(ctx context.Context, key core.Key, after core.TenantID, limit int) ([]core.Tenant, error) {
	return look(s.Env, trace.Ungranted, "", func() ([]core.Tenant, error) { return s.Inner.Ungranted(ctx, key, after, limit) })
}

// AllTenants implements ports.Store.
func (s *Store) AllTenants(ctx context.Context, after core.TenantID, limit int) ([]core.Tenant, error) {
	return look(s.Env, trace.AllTenants, "", func() ([]core.Tenant, error) { return s.Inner.AllTenants(ctx, after, limit) })
}

// OpenTenants implements ports.Store.
func (s *Store) OpenTenants(ctx context.Context, after core.TenantID, limit int) ([]core.Tenant, error) {
	return look(s.Env, trace.AllTenants, "", func() ([]core.Tenant, error) { return s.Inner.OpenTenants(ctx, after, limit) })
}

// Forget implements ports.Store. It is passed through, as tx.Replies is.
func (s *Store) Forget(ctx context.Context, before time.Time, limit int) (int, error) {
	return s.Inner.Forget(ctx, before, limit)
}

// InterruptedRuns implements ports.Store. It is passed through, as tx.Find is.
func (s *Store) InterruptedRuns(ctx context.Context, since time.Time, limit int) ([]ports.RunKey, error) {
	return s.Inner.InterruptedRuns(ctx, since, limit)
}

// DueEndpoints implements ports.Store. It is passed through, as SweepDeliveries is: sending
// changes nothing that rules are about.
func (s *Store) DueEndpoints(ctx context.Context, now time.Time, after ports.EndpointKey, limit int) ([]ports.EndpointKey, error) {
	return s.Inner.DueEndpoints(ctx, now, after, limit)
}

// SweepDeliveries implements ports.Store.
func (s *Store) SweepDeliveries(ctx context.Context, before time.Time, limit int) (int, error) {
	return s.Inner.SweepDeliveries(ctx, before, limit)
}

// APIKey implements ports.Store. It is passed through, as tx.APIKeys is.
func (s *Store) APIKey(ctx context.Context, tenant core.TenantID, id core.APIKeyID) (core.APIKey, error) {
	return s.Inner.APIKey(ctx, tenant, id)
}

// TouchAPIKey implements ports.Store. It is passed through, as tx.APIKeys is.
func (s *Store) TouchAPIKey(ctx context.Context, tenant core.TenantID, id core.APIKeyID, at time.Time) error {
	return s.Inner.TouchAPIKey(ctx, tenant, id, at)
}

// SweepAPIKeys implements ports.Store. It is passed through, as tx.APIKeys is.
func (s *Store) SweepAPIKeys(ctx context.Context, tenant core.TenantID, before time.Time) (int, error) {
	return s.Inner.SweepAPIKeys(ctx, tenant, before)
}
