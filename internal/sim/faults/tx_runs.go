package faults

import (
	"context"
	"time"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/internal/sim/oracle"
	"github.com/redrive/redrive/internal/sim/trace"
	"github.com/redrive/redrive/ports"
)

type txRuns struct{ *tx }

func (t txRuns) Insert(ctx context.Context, run core.Run, files []core.File) error {
	return t.write(t.under(true, trace.RunInsert, run.ID), func() error { return t.inner.Runs().Insert(ctx, run, files) }, func(c *oracle.Commit) {
		t.lockedNew(run.ID)
		c.Inserted = append(c.Inserted, oracle.NewRun{Run: run, Files: files})
	})
}

// lockedNew: a run that was just inserted is nobody else's yet, so its lock has
// no order.
func (t *tx) lockedNew(run core.RunID) {
	t.runs = append(t.runs, run)
	t.about(run)
}

func (t txRuns) Get(ctx context.Context, id core.RunID) (core.Run, error) {
	return read(t.tx, trace.RunGet, id, func() (core.Run, error) {
		run, err := t.inner.Runs().Get(ctx, id)
		return run, t.own(err, run.Tenant, "run")
	})
}

func (t txRuns) List(ctx context.Context, filter ports.RunFilter) ([]core.Run, error) {
	return read(t.tx, trace.RunList, "", func() ([]core.Run, error) {
		runs, err := t.inner.Runs().List(ctx, filter)
		for i := range runs {
			err = t.own(err, runs[i].Tenant, "run")
		}
		return runs, err
	})
}

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
		err = t.own(err, rows[i].Run.Tenant, "run")
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

type txFiles struct{ *tx }

func (t txFiles) ByIndex(ctx context.Context, run core.RunID, indexes []int) ([]core.File, error) {
	return read(t.tx, trace.FilesRead, run, func() ([]core.File, error) { return t.inner.Files().ByIndex(ctx, run, indexes) })
}

func (t txFiles) InStatus(ctx context.Context, run core.RunID, statuses ...core.FileStatus) ([]core.File, error) {
	return read(t.tx, trace.FilesRead, run, func() ([]core.File, error) { return t.inner.Files().InStatus(ctx, run, statuses...) })
}

type txFileViews struct{ *tx }

func (t txFileViews) Page(ctx context.Context, run core.RunID, filter ports.FileFilter) ([]core.File, error) {
	return read(t.tx, trace.FilesRead, run, func() ([]core.File, error) { return t.inner.FileViews().Page(ctx, run, filter) })
}

func (t txFileViews) Output(ctx context.Context, run core.RunID, index int) (core.File, error) {
	return read(t.tx, trace.FilesRead, run, func() (core.File, error) { return t.inner.FileViews().Output(ctx, run, index) })
}

func (t txFileViews) Counts(ctx context.Context, run core.RunID) (core.FileCounts, error) {
	return read(t.tx, trace.FilesRead, run, func() (core.FileCounts, error) { return t.inner.FileViews().Counts(ctx, run) })
}

func (t txFileViews) AnyMaxed(ctx context.Context, run core.RunID, maxRetryCount int) (bool, error) {
	return read(t.tx, trace.FilesRead, run, func() (bool, error) { return t.inner.FileViews().AnyMaxed(ctx, run, maxRetryCount) })
}

func (t txFileViews) FailedWith(ctx context.Context, runs []core.RunID, code string) ([]core.RunID, error) {
	return read(t.tx, trace.FilesRead, "", func() ([]core.RunID, error) { return t.inner.FileViews().FailedWith(ctx, runs, code) })
}

type txAttempts struct{ *tx }

func (t txAttempts) Insert(ctx context.Context, a core.Attempt) error {
	return t.ofRun(trace.AttemptInsert, a.Run, func() error { return t.inner.Attempts().Insert(ctx, a) },
		func(c *oracle.Commit) { c.Attempts = append(c.Attempts, a) })
}

func (t txAttempts) Get(ctx context.Context, run core.RunID, n core.AttemptNumber) (core.Attempt, error) {
	return read(t.tx, trace.AttemptRead, run, func() (core.Attempt, error) {
		a, err := t.inner.Attempts().Get(ctx, run, n)
		return a, t.own(err, a.Tenant, "attempt")
	})
}

func (t txAttempts) MarkCompensated(ctx context.Context, run core.RunID, n core.AttemptNumber, at time.Time) error {
	return t.ofRun(trace.AttemptMark, run, func() error { return t.inner.Attempts().MarkCompensated(ctx, run, n, at) },
		func(c *oracle.Commit) { c.Marks = append(c.Marks, oracle.Mark{Run: run, Number: n}) })
}

func (t txAttempts) List(ctx context.Context, run core.RunID) ([]core.Attempt, error) {
	return read(t.tx, trace.AttemptRead, run, func() ([]core.Attempt, error) { return t.inner.Attempts().List(ctx, run) })
}

type txAmendments struct{ *tx }

func (t txAmendments) Insert(ctx context.Context, a core.Amendment) error {
	return t.ofRun(trace.AmendmentInsert, a.Run, func() error { return t.inner.Amendments().Insert(ctx, a) },
		func(c *oracle.Commit) { c.Amendments = append(c.Amendments, a) })
}

func (t txAmendments) List(ctx context.Context, run core.RunID) ([]core.Amendment, error) {
	return read(t.tx, trace.AmendmentList, run, func() ([]core.Amendment, error) { return t.inner.Amendments().List(ctx, run) })
}
