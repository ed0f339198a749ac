package faults

import (
	"context"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/internal/sim/oracle"
	"github.com/redrive/redrive/internal/sim/trace"
	"github.com/redrive/redrive/ports"
)

func (t txRuns) Lock(ctx context.Context, wait ports.Wait, want ...ports.FilesOf) ([]ports.RunRows, error) {
	var first core.RunID
	if len(want) > 0 {
		first = want[0].Run
	}
	op := trace.RunLock
	if wait == ports.SkipLocked {
		op = trace.GroupLock
	}
	if err := t.lock(op, first); err != nil {
		return nil, err
	}
	rows, err := t.inner.Runs().Lock(ctx, wait, want...)
	t.locked(err)
	t.metGroup(len(want), len(rows))
	for i := range rows {
		t.lockedRun(rows[i].Run.ID)
		t.ofTenant(rows[i].Run.Tenant, "run")
	}
	return rows, err
}

func (t *tx) metGroup(want, got int) {
	a := t.env.actor()
	if a == nil || a.use != oracle.UseWork || want < 2 {
		return
	}
	if got > 1 {
		t.env.Oracle.Met(oracle.ClaimedManyRuns)
	}
	if got < want {
		t.env.Oracle.Met(oracle.PassedHeldRun)
	}
}

func (t txRuns) Save(ctx context.Context, rows ...ports.RunRows) error {
	locked, first := true, core.RunID("")
	for i := range rows {
		locked = locked && t.holds(rows[i].Run.ID)
		first = rows[0].Run.ID
	}
	if a := t.env.actor(); !locked && a != nil && a.use == oracle.UseInterrupt {
		t.env.Oracle.Fail(oracle.LockOrder, "run %s is interrupted without its lock, over what others write to it", first)
	}
	if err := t.under(locked, trace.RunSave, first); err != nil {
		return err
	}
	if t.refuses(rows) {
		return t.broken
	}
	err := t.inner.Runs().Save(ctx, rows...)
	t.locked(err)
	if err != nil {
		return err
	}
	for i := range rows {
		r := &rows[i]
		if !r.FilesOnly {
			t.lockedRun(r.Run.ID)
			t.commit.Runs = append(t.commit.Runs, r.Run)
		}
		t.about(r.Run.ID)
		for j := range r.Files {
			t.commit.Files = append(t.commit.Files, oracle.FileWrite{Run: r.Run.ID, File: r.Files[j]})
		}
	}
	return nil
}

// refuses reports whether the store can never hold one of the rows. Then only a rollback is
// left, as after every statement that fails.
func (t txRuns) refuses(rows []ports.RunRows) bool {
	for i := range rows {
		for j := range rows[i].Files {
			if f := &rows[i].Files[j]; f.Output == unstorable {
				t.env.Oracle.Refused(rows[i].Run.ID, f.Index, f.Epoch)
				t.env.actor().failed = true
				t.broken = ports.ErrRefused
			}
		}
	}
	return t.broken != nil
}
