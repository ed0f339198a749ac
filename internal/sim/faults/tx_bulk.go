package faults

import (
	"context"
	"time"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/internal/sim/oracle"
	"github.com/redrive/redrive/internal/sim/trace"
	"github.com/redrive/redrive/ports"
)

type txBulkParts struct{ *tx }

var _ ports.BulkParts = txBulkParts{}

func (t txBulkParts) Insert(ctx context.Context, p core.BulkPart, runs []core.BulkRun) error {
	return t.write(t.before(trace.BulkInsert, ""), func() error { return t.inner.BulkParts().Insert(ctx, p, runs) },
		func(c *oracle.Commit) { c.Bulk(p, runs) })
}

func (t txBulkParts) Make(ctx context.Context, b core.Bulk) error {
	return t.write(t.before(trace.BulkInsert, ""), func() error { return t.inner.BulkParts().Make(ctx, b) },
		func(c *oracle.Commit) { c.Made = append(c.Made, b) })
}

func (t txBulkParts) Lock(ctx context.Context, id core.BulkID) (core.BulkPart, error) {
	if err := t.lock(trace.BulkLock, ""); err != nil {
		return core.BulkPart{}, err
	}
	if t.credits {
		t.env.Oracle.Fail(oracle.LockOrder, "a part of a bulk continue is locked after the credits of tenant %s", t.tenant)
	}
	p, err := t.inner.BulkParts().Lock(ctx, id)
	t.locked(err)
	return p, t.own(err, p.Tenant, "part of a bulk continue")
}

func (t txBulkParts) Save(ctx context.Context, p core.BulkPart, runs ...core.BulkRun) error {
	return t.write(t.under(true, trace.BulkSave, ""), func() error { return t.inner.BulkParts().Save(ctx, p, runs...) },
		func(c *oracle.Commit) { c.Bulk(p, runs) })
}

func (t txBulkParts) Runs(ctx context.Context, id core.BulkID, filter ports.BulkRunFilter) ([]core.BulkRun, error) {
	return read(t.tx, trace.BulkRead, "", func() ([]core.BulkRun, error) { return t.inner.BulkParts().Runs(ctx, id, filter) })
}

func (t txBulkParts) Delete(ctx context.Context, id core.BulkID) error {
	return t.write(t.before(trace.BulkSave, ""), func() error { return t.inner.BulkParts().Delete(ctx, id) },
		func(*oracle.Commit) {})
}

// BulkContinues implements ports.Store.
func (s *Store) BulkContinues() ports.BulkContinues {
	return bulkContinues{s.Env, s.Inner.BulkContinues()}
}

// bulkContinues are transactions of their own: each call is a step that may fail before it
// had its effect, or after it.
type bulkContinues struct {
	env   *Env
	inner ports.BulkContinues
}

func (b bulkContinues) Insert(ctx context.Context, row core.Bulk, r *core.Reply) error {
	return b.write(trace.BulkInsert, func() error {
		err := b.inner.Insert(ctx, row, r)
		if err == nil {
			b.env.Oracle.BulkMade(row)
		}
		return err
	})
}

func (b bulkContinues) Save(ctx context.Context, row core.Bulk) error {
	return b.write(trace.BulkSave, func() error {
		err := b.inner.Save(ctx, row)
		if err == nil {
			b.env.Oracle.BulkSaved(row)
		}
		return err
	})
}

func (b bulkContinues) write(op trace.Op, do func() error) error {
	b.env.step(op, "", "")
	switch b.env.fault(CommitFault, "") {
	case 0:
		return do()
	case CommitUnanswered:
		if err := do(); err != nil {
			return err
		}
		return b.env.erred(ports.ErrCommitUnknown)
	default:
		return b.env.erred(errNetwork)
	}
}

func (b bulkContinues) Get(ctx context.Context, id core.BulkID) (core.Bulk, error) {
	return look(b.env, trace.BulkRead, "", func() (core.Bulk, error) { return b.inner.Get(ctx, id) })
}

func (b bulkContinues) Reply(ctx context.Context, key core.Key) (core.Reply, error) {
	return look(b.env, trace.BulkRead, "", func() (core.Reply, error) { return b.inner.Reply(ctx, key) })
}

func (b bulkContinues) Refuse(ctx context.Context, r core.Reply) error {
	return b.write(trace.BulkInsert, func() error { return b.inner.Refuse(ctx, r) })
}

func (b bulkContinues) List(ctx context.Context, filter ports.BulkFilter) ([]core.Bulk, error) {
	return look(b.env, trace.BulkRead, "", func() ([]core.Bulk, error) { return b.inner.List(ctx, filter) })
}

func (b bulkContinues) Free(ctx context.Context, now time.Time, horizon time.Duration, limit int) ([]ports.BulkKey, error) {
	return look(b.env, trace.BulkRead, "", func() ([]ports.BulkKey, error) { return b.inner.Free(ctx, now, horizon, limit) })
}

func (b bulkContinues) Parts(ctx context.Context, of ports.BulkKey) ([]core.BulkPart, error) {
	return look(b.env, trace.BulkRead, "", func() ([]core.BulkPart, error) { return b.inner.Parts(ctx, of) })
}

func (b bulkContinues) Delete(ctx context.Context, id core.BulkID) error {
	return b.write(trace.BulkSave, func() error { return b.inner.Delete(ctx, id) })
}

func (b bulkContinues) DeleteEnded(ctx context.Context, before time.Time, limit int) (int, error) {
	return look(b.env, trace.BulkSave, "", func() (int, error) { return b.inner.DeleteEnded(ctx, before, limit) })
}

func (b bulkContinues) Orphans(ctx context.Context, before time.Time, limit int) ([]ports.BulkPartKey, error) {
	return look(b.env, trace.BulkRead, "", func() ([]ports.BulkPartKey, error) { return b.inner.Orphans(ctx, before, limit) })
}
