package faults

import (
	"slices"

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
// A new accessor of ports.Tx needs a wrapper in tx_*.go that reads and writes as the
// others do.
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

// read is a statement that reads.
func read[T any](t *tx, op trace.Op, run core.RunID, get func() (T, error)) (row T, err error) {
	if err := t.before(op, run); err != nil {
		return row, err
	}
	return get()
}

// write is a statement that writes: what comes before it, which may refuse it, the
// statement itself, and what the commit then has of it.
func (t *tx) write(refused error, do func() error, wrote func(*oracle.Commit)) error {
	if refused != nil {
		return refused
	}
	err := do()
	t.locked(err)
	if err == nil {
		wrote(&t.commit)
	}
	return err
}

// ofRun is write of what belongs to a run, under its lock.
func (t *tx) ofRun(op trace.Op, run core.RunID, do func() error, wrote func(*oracle.Commit)) error {
	err := t.write(t.under(t.holds(run), op, run), do, wrote)
	if err == nil {
		t.about(run)
	}
	return err
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
func (t *tx) BulkParts() ports.BulkParts               { return txBulkParts{t} }
func (t *tx) WebhookEvents() ports.WebhookEvents       { return txWebhookEvents{t} }

// APIKeys is passed through: the simulator's clients come without any.
func (t *tx) APIKeys() ports.APIKeys { return t.inner.APIKeys() }

// AuditLog is passed through: what it has decides nothing, so it is no step.
func (t *tx) AuditLog() ports.AuditLog { return t.inner.AuditLog() }

// Replies is passed through: the simulator gives no keys to the operations that have replies.
func (t *tx) Replies() ports.Replies { return t.inner.Replies() }

// Find is passed through: what people look for decides nothing, so it is no step.
func (t *tx) Find() ports.Finder { return t.inner.Find() }

// own checks that a row that was read is the tenant's own (I10), unless err says that
// there is none.
func (t *tx) own(err error, owner core.TenantID, what string) error {
	if err == nil && owner != t.tenant {
		t.env.Oracle.Fail(oracle.I10, "a transaction of tenant %s read a %s of tenant %s", t.tenant, what, owner)
	}
	return err
}

var (
	_ ports.Runs             = txRuns{}
	_ ports.RunFiles         = txFiles{}
	_ ports.FileViews        = txFileViews{}
	_ ports.Starts           = txStarts{}
	_ ports.Attempts         = txAttempts{}
	_ ports.Amendments       = txAmendments{}
	_ ports.Tenants          = txTenants{}
	_ ports.Templates        = txTemplates{}
	_ ports.TemplateVersions = txTemplateVersions{}
	_ ports.Ledger           = txLedger{}
	_ ports.Answers          = txAnswers{}
	_ ports.WebhookEvents    = txWebhookEvents{}
)
