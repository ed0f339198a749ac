package sqlite

import (
	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// saving sorts rows by what is to be written of them. Files of a run that become the same
// are written by one statement, which they nearly always do in a claim, a renewal and a
// Continue.
type saving struct {
	counted []*core.Run // differ in their counters alone: no index is written
	whole   []*core.Run
	files   []*sameFiles
	groups  map[sameAs]*sameFiles
	outputs []fileOutput
}

// sameAs is what files of a run have in common.
type sameAs struct {
	run           core.RunID
	maxRetryCount int
	state         core.File // without index, name, reference, size and output
}

type sameFiles struct {
	sameAs
	indexes []int
}

type fileOutput struct {
	run   core.RunID
	index int
	text  string
}

// add takes rows; was is what was read of them under the lock, nil if it was not.
func (s *saving) add(rows *ports.RunRows, was *lockedRows) {
	run := &rows.Run
	if !rows.FilesOnly {
		if was != nil && onlyCounters(&was.run, run) {
			s.counted = append(s.counted, run)
		} else {
			s.whole = append(s.whole, run)
		}
	}
	for i := range rows.Files {
		s.addFile(run, &rows.Files[i])
	}
}

func (s *saving) addFile(run *core.Run, f *core.File) {
	output := text(f.Output)
	same := sameAs{run: run.ID, maxRetryCount: run.MaxRetryCount, state: *f}
	same.state.Index, same.state.Name, same.state.Ref, same.state.Size = 0, "", "", 0
	same.state.Output, same.state.OutputBytes = "", int64(len(output))
	if s.groups == nil {
		s.groups = make(map[sameAs]*sameFiles)
	}
	g := s.groups[same]
	if g == nil {
		g = &sameFiles{sameAs: same}
		s.groups[same], s.files = g, append(s.files, g)
	}
	g.indexes = append(g.indexes, f.Index)
	if output != "" {
		s.outputs = append(s.outputs, fileOutput{run.ID, f.Index, output})
	}
}

// onlyCounters reports whether a run differs in nothing but what a settlement counts.
func onlyCounters(was, run *core.Run) bool {
	other := *was
	other.CompletedJobs, other.FailedJobs, other.Tally = run.CompletedJobs, run.FailedJobs, run.Tally
	return other == *run
}

const (
	countRun = `
UPDATE runs SET completed_jobs = ?3, failed_jobs = ?4,
       tally_unfinished = ?5, tally_completed = ?6, tally_failed = ?7, tally_error = ?8
 WHERE tenant_id = ?1 AND run_id = ?2`
	// max_retry_count is the run's, so that the table refuses a file that has used more
	// retries than its run allows.
	saveFiles = `
UPDATE files SET status = ?3, retry_attempt = ?4, free_retries = ?5, epoch = ?6, lease_until = ?7, redeliveries = ?8, paid_by = ?9,
       output_bytes = ?10, failure_code = ?11, failure_message = ?12, max_retry_count = ?13
 WHERE tenant_id = ?1 AND run_id = ?2 AND `
	saveFile       = saveFiles + `file_index = ?14`
	saveRange      = saveFiles + `file_index BETWEEN ?14 AND ?15`
	saveListed     = saveFiles + `file_index IN (SELECT value FROM json_each(?14))`
	insertOutputs  = `INSERT INTO outputs (tenant_id, run_id, file_index, output) VALUES `
	replaceOutputs = ` ON CONFLICT (tenant_id, run_id, file_index) DO UPDATE SET output = excluded.output`
	insertOutput   = insertOutputs + `(?, ?, ?, ?)` + replaceOutputs
)

var insertManyOutputs = insertOutputs + manyTimes(`(?, ?, ?, ?)`) + replaceOutputs

// write keeps the statements that write the rows.
func (s *saving) write(t *tx) error {
	for _, r := range s.whole {
		if err := t.write(ofRuns, 1, ports.ErrNotFound, saveRun, runArgs(t.tenant, *r)...); err != nil {
			return err
		}
	}
	for _, r := range s.counted {
		if err := t.write(ofRuns, 1, ports.ErrNotFound, countRun, t.tenant, r.ID, r.CompletedJobs, r.FailedJobs,
			r.Tally.Unfinished, r.Tally.Completed, r.Tally.Failed, r.Tally.Error); err != nil {
			return err
		}
	}
	for _, g := range s.files {
		if err := g.write(t); err != nil {
			return err
		}
	}
	for list := s.outputs; len(list) > 0; {
		sql, n := insertOutput, 1
		if len(list) >= manyRows {
			sql, n = insertManyOutputs, manyRows
		}
		args := make([]any, 0, 4*n)
		for _, o := range list[:n] {
			args = append(args, t.tenant, o.run, o.index, o.text)
		}
		if err := t.write(ofFiles, int64(n), ports.ErrNotFound, sql, args...); err != nil {
			return err
		}
		list = list[n:]
	}
	return nil
}

func (g *sameFiles) write(t *tx) error {
	f := &g.state
	args := []any{
		t.tenant, g.run, f.Status, f.RetryAttempt, f.FreeRetries, f.Epoch, nullTime(f.LeaseUntil), f.Redeliveries, f.PaidBy,
		f.OutputBytes, text(f.Failure.Code), text(f.Failure.Message), g.maxRetryCount,
	}
	list := sorted(g.indexes)
	n := int64(len(list))
	switch first, last := list[0], list[n-1]; {
	case n == 1:
		return t.write(ofFiles, n, ports.ErrNotFound, saveFile, append(args, first)...)
	case last-first+1 == int(n):
		return t.write(ofFiles, n, ports.ErrNotFound, saveRange, append(args, first, last)...)
	default:
		return t.write(ofFiles, n, ports.ErrNotFound, saveListed, append(args, jsonList(list))...)
	}
}
