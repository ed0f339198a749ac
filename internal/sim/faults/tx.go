package faults

import (
	"context"
	"slices"
	"time"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/internal/sim/oracle"
	"github.com/redrive/redrive/internal/sim/trace"
	"github.com/redrive/redrive/ports"
)

// tx wraps one transaction: it yields before everything that another actor could
// matter to, and keeps what was written for the oracle. What is written under a
// lock that the transaction holds is seen by nobody before the commit, so writing
// it is no step of its own.
//
// A new accessor of ports.Tx needs a wrapper in tx_*.go that calls before, after
// and the commit's fields as the others do.
type tx struct {
	env    *Env
	inner  ports.Tx
	tenant core.TenantID
	first  core.RunID // run that it locked or wrote
	broken error      // a lock could not be had: only a rollback is left
	over   bool

	runs    []core.RunID // whose locks it holds
	credits bool         // whether it holds the tenant's
	commit  oracle.Commit

	fn         func(ports.Tx) error
	body, look func(ports.Tx) error // run and see, bound once
	lost       bool                 // the commit's answer is
	sends      bool                 // it has an outbox
}

var _ ports.Tx = (*tx)(nil)

func (e *Env) newTx(tenant core.TenantID) *tx {
	var t *tx
	if n := len(e.spare); n > 0 {
		t, e.spare = e.spare[n-1], e.spare[:n-1]
	} else {
		t = &tx{env: e}
		t.body, t.look = t.run, t.see
		e.txs = append(e.txs, t)
	}
	t.tenant, t.first, t.broken, t.over, t.credits, t.runs, t.lost = tenant, "", nil, false, false, t.runs[:0], false
	t.commit.Reset()
	t.commit.Began = e.Oracle.Commits()
	return t
}

// free lets the wrapper be used again. Only a use after the end could notice,
// which before reports as long as it is not reused.
func (e *Env) free(t *tx) {
	t.inner, t.fn = nil, nil
	e.spare = append(e.spare, t)
}

// before is asked by every statement.
func (t *tx) before(op trace.Op, run core.RunID) error {
	t.env.Sched.Alive()
	if t.over {
		t.env.Oracle.Fail(oracle.TxLifetime, "%s after the transaction ended", op)
		return ports.ErrUnavailable
	}
	if t.broken != nil {
		return t.broken
	}
	t.env.step(op, t.tenant, run)
	return nil
}

// under is before for writes: they are a step only without the lock.
func (t *tx) under(locked bool, op trace.Op, run core.RunID) error {
	if !locked {
		return t.before(op, run)
	}
	t.env.Sched.Alive()
	return t.broken
}

// lock is before for what waits for a lock.
func (t *tx) lock(op trace.Op, run core.RunID) error {
	if err := t.before(op, run); err != nil {
		return err
	}
	if t.env.fault(LockFault, run) != 0 {
		t.broken = ports.ErrLockTimeout
		return t.broken
	}
	return nil
}

// locked is called after a lock was asked for.
func (t *tx) locked(err error) {
	t.env.Sched.Alive()
	if err != nil && t.broken == nil && (err == ports.ErrDeadlock || err == ports.ErrLockTimeout) { //nolint:errorlint // the memory store gives them as they are
		t.broken = err
	}
}

func (t *tx) holds(run core.RunID) bool { return slices.Contains(t.runs, run) }

func (t *tx) lockedRun(run core.RunID) {
	if t.credits && !t.holds(run) {
		t.env.Oracle.Fail(oracle.LockOrder, "run %s is locked after the credits of tenant %s", run, t.tenant)
	}
	if !t.holds(run) {
		t.runs = append(t.runs, run)
	}
	t.about(run)
}

func (t *tx) about(run core.RunID) {
	if t.first == "" {
		t.first = run
	}
}

func (t *tx) Runs() ports.Runs                         { return txRuns{t} }
func (t *tx) Files() ports.RunFiles                    { return txFiles{t} }
func (t *tx) FileViews() ports.FileViews               { return txFileViews{t} }
func (t *tx) Starts() ports.Starts                     { return txStarts{t} }
func (t *tx) Attempts() ports.Attempts                 { return txAttempts{t} }
func (t *tx) Amendments() ports.Amendments             { return txAmendments{t} }
func (t *tx) Tenants() ports.Tenants                   { return txTenants{t} }
func (t *tx) Templates() ports.Templates               { return txTemplates{t} }
func (t *tx) TemplateVersions() ports.TemplateVersions { return txTemplateVersions{t} }
func (t *tx) Ledger() ports.Ledger                     { return txLedger{t} }
func (t *tx) Answers() ports.Answers                   { return txAnswers{t} }

// ofTenant checks that a row that was read is the tenant's own (I10).
func (t *tx) ofTenant(owner core.TenantID, what string) {
	if owner != t.tenant {
		t.env.Oracle.Fail(oracle.I10, "a transaction of tenant %s read a %s of tenant %s", t.tenant, what, owner)
	}
}

type txRuns struct{ *tx }

func (t txRuns) Insert(ctx context.Context, run core.Run, files []core.File) error {
	if err := t.under(true, trace.RunInsert, run.ID); err != nil {
		return err
	}
	err := t.inner.Runs().Insert(ctx, run, files)
	t.locked(err)
	if err == nil {
		t.lockedNew(run.ID)
		t.commit.Inserted = append(t.commit.Inserted, oracle.NewRun{Run: run, Files: files})
	}
	return err
}

// lockedNew: a run that was just inserted is nobody else's yet, so its lock has
// no order.
func (t *tx) lockedNew(run core.RunID) {
	t.runs = append(t.runs, run)
	t.about(run)
}

func (t txRuns) Get(ctx context.Context, id core.RunID) (core.Run, error) {
	if err := t.before(trace.RunGet, id); err != nil {
		return core.Run{}, err
	}
	run, err := t.inner.Runs().Get(ctx, id)
	if err == nil {
		t.ofTenant(run.Tenant, "run")
	}
	return run, err
}

func (t txRuns) List(ctx context.Context, filter ports.RunFilter) ([]core.Run, error) {
	if err := t.before(trace.RunList, ""); err != nil {
		return nil, err
	}
	runs, err := t.inner.Runs().List(ctx, filter)
	for i := range runs {
		t.ofTenant(runs[i].Tenant, "run")
	}
	return runs, err
}

type txFiles struct{ *tx }

func (t txFiles) ByIndex(ctx context.Context, run core.RunID, indexes []int) ([]core.File, error) {
	if err := t.before(trace.FilesRead, run); err != nil {
		return nil, err
	}
	return t.inner.Files().ByIndex(ctx, run, indexes)
}

func (t txFiles) InStatus(ctx context.Context, run core.RunID, statuses ...core.FileStatus) ([]core.File, error) {
	if err := t.before(trace.FilesRead, run); err != nil {
		return nil, err
	}
	return t.inner.Files().InStatus(ctx, run, statuses...)
}

type txAttempts struct{ *tx }

func (t txAttempts) Insert(ctx context.Context, a core.Attempt) error {
	if err := t.under(t.holds(a.Run), trace.AttemptInsert, a.Run); err != nil {
		return err
	}
	err := t.inner.Attempts().Insert(ctx, a)
	t.locked(err)
	if err == nil {
		t.about(a.Run)
		t.commit.Attempts = append(t.commit.Attempts, a)
	}
	return err
}

func (t txAttempts) Get(ctx context.Context, run core.RunID, n core.AttemptNumber) (core.Attempt, error) {
	if err := t.before(trace.AttemptRead, run); err != nil {
		return core.Attempt{}, err
	}
	a, err := t.inner.Attempts().Get(ctx, run, n)
	if err == nil {
		t.ofTenant(a.Tenant, "attempt")
	}
	return a, err
}

func (t txAttempts) MarkCompensated(ctx context.Context, run core.RunID, n core.AttemptNumber, at time.Time) error {
	if err := t.under(t.holds(run), trace.AttemptMark, run); err != nil {
		return err
	}
	err := t.inner.Attempts().MarkCompensated(ctx, run, n, at)
	t.locked(err)
	if err == nil {
		t.about(run)
		t.commit.Marks = append(t.commit.Marks, oracle.Mark{Run: run, Number: n})
	}
	return err
}

func (t txAttempts) List(ctx context.Context, run core.RunID) ([]core.Attempt, error) {
	if err := t.before(trace.AttemptRead, run); err != nil {
		return nil, err
	}
	return t.inner.Attempts().List(ctx, run)
}

type txAmendments struct{ *tx }

func (t txAmendments) Insert(ctx context.Context, a core.Amendment) error {
	if err := t.under(t.holds(a.Run), trace.AmendmentInsert, a.Run); err != nil {
		return err
	}
	err := t.inner.Amendments().Insert(ctx, a)
	t.locked(err)
	if err == nil {
		t.about(a.Run)
		t.commit.Amendments = append(t.commit.Amendments, a)
	}
	return err
}

func (t txAmendments) List(ctx context.Context, run core.RunID) ([]core.Amendment, error) {
	if err := t.before(trace.AmendmentList, run); err != nil {
		return nil, err
	}
	return t.inner.Amendments().List(ctx, run)
}
