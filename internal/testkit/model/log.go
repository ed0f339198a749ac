package model

import "github.com/redrive/redrive/core"

// Change is what one transaction made of a file.
type Change struct {
	Tenant          core.TenantID
	Run             core.RunID
	Index           int
	Was, Became     core.FileStatus
	Epoch, NewEpoch core.Epoch
}

// Log judges the changes of files, each file's in the order of their commits, with
// nothing else known of their runs. The zero value is empty.
type Log struct {
	runs map[runKey]*Run
}

type runKey struct {
	tenant core.TenantID
	run    core.RunID
}

// File is what the log comes to for a file; nil if it has no change of it.
func (l *Log) File(tenant core.TenantID, run core.RunID, index int) *File {
	if r := l.runs[runKey{tenant, run}]; r != nil && index < len(r.Files) && r.Files[index].Status != "" {
		return &r.Files[index]
	}
	return nil
}

// Add takes the next change.
func (l *Log) Add(j Judge, c Change) {
	r := l.run(&c)
	f := &r.Files[c.Index]
	if c.Was != f.Status || c.Epoch != f.Epoch {
		j(I8, "file %d of run %s was %s in epoch %d, and changed from %s in epoch %d to %s", c.Index, c.Run, f.Status, f.Epoch, c.Was, c.Epoch, c.Became)
	}
	r.Epoch = f.Epoch // the run's own is not known: a new one is at least later than the file's
	switch f.StepTo(c.Became, c.NewEpoch, "") {
	case Stays:
		if !f.Open() {
			j(I8, "file %d of run %s was %s in epoch %d, and was recorded so once more", c.Index, c.Run, f.Status, f.Epoch)
		}
	case Claimed:
		r.Claim(j, c.Index, c.NewEpoch)
	case Recorded:
		r.Record(j, c.Index, c.Became, c.NewEpoch, "")
	case Requeued, Interrupted:
		r.Requeue(j, c.Index, c.NewEpoch, false)
	case Illegal: // unless it is a Continue, or is undone
		open := f.Status == core.FilePending || f.Status == core.FileFailed
		waits := c.Became == core.FilePending || f.Status == core.FilePending && c.Became == core.FileFailed
		if !open || !waits || c.NewEpoch <= f.Epoch {
			j(I8, "file %d of run %s went from %s (epoch %d) to %s (epoch %d)", c.Index, c.Run, f.Status, f.Epoch, c.Became, c.NewEpoch)
		}
		f.Status, f.Epoch = c.Became, c.NewEpoch
	}
}

// run finds the run of a change, with its file: all of them begin pending.
func (l *Log) run(c *Change) *Run {
	key := runKey{c.Tenant, c.Run}
	r := l.runs[key]
	if r == nil {
		if l.runs == nil {
			l.runs = map[runKey]*Run{}
		}
		r = &Run{ID: c.Run, Standing: Standing{Status: core.RunRunning}, Attempts: make([]Attempt, 1)}
		l.runs[key] = r
	}
	for len(r.Files) <= c.Index {
		r.Files = append(r.Files, File{})
	}
	if f := &r.Files[c.Index]; f.Status == "" {
		f.Status, f.Epoch = core.FilePending, c.Epoch
	}
	return r
}
