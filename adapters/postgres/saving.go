package postgres

import (
	"slices"
	"time"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/ports"
)

// saving sorts rows by what is to be written of them. An UPDATE of every column takes
// half as long again as one of the columns that changed, here and in Postgres. What was
// not read under its lock by the same transaction, or differs in another way than
// those below, is written as a whole.
type saving struct {
	citus bool
	rows  int64 // that have to be there

	counted   []*core.Run // differ in their counters alone
	whole     []*core.Run
	leases    []leasedFiles
	completed fileList // without a failure
	results   fileList
	same      []sameFiles
	others    fileList
}

// fileList is files of several runs.
type fileList struct {
	runs  []*core.Run
	files []*core.File
}

func (l *fileList) add(run *core.Run, f *core.File) {
	l.runs, l.files = append(l.runs, run), append(l.files, f)
}

// leasedFiles are files that differ in status and lease alone, and have the same.
type leasedFiles struct {
	fileList
	status core.FileStatus
	until  time.Time
}

// add takes rows; was is what was read of them under the lock, nil if it was not.
func (s *saving) add(rows *ports.RunRows, was *lockedRows) {
	run := &rows.Run
	if !rows.FilesOnly {
		s.rows++
		if was != nil && onlyCounters(&was.run, run) {
			s.counted = append(s.counted, run)
		} else {
			s.whole = append(s.whole, run)
		}
	}
	s.rows += int64(len(rows.Files))
	next := 0 // files are saved in the order in which they were read, or some of them are
	for i := range rows.Files {
		f := &rows.Files[i]
		if was == nil {
			s.state(run, f)
			continue
		}
		for next < len(was.files) && was.files[next].Index != f.Index {
			next++
		}
		if next == len(was.files) {
			s.state(run, f)
			continue
		}
		s.sort(run, &was.files[next], f)
	}
}

// sort takes a file by how it differs from what it was.
func (s *saving) sort(run *core.Run, was, f *core.File) {
	switch final := was.Status == core.FileCompleted || was.Status == core.FileError; {
	case final || f.RetryAttempt != was.RetryAttempt || f.FreeRetries != was.FreeRetries || f.Epoch != was.Epoch ||
		f.Redeliveries != was.Redeliveries || f.PaidBy != was.PaidBy || !f.LeaseUntil.IsZero() && f.Failure != was.Failure:
		s.state(run, f)
	case f.Output == "" && f.Failure == was.Failure: // only a completed file has an output
		s.lease(run, f)
	case f.Status == core.FileCompleted && f.Failure == (core.Failure{}):
		s.completed.add(run, f)
	default:
		s.results.add(run, f)
	}
}

// state takes a file whose whole state is written.
func (s *saving) state(run *core.Run, f *core.File) {
	if !s.addSame(run, f) {
		s.others.add(run, f)
	}
}

func (s *saving) lease(run *core.Run, f *core.File) {
	for i := range s.leases {
		if l := &s.leases[i]; l.status == f.Status && l.until.Equal(f.LeaseUntil) {
			l.add(run, f)
			return
		}
	}
	s.leases = append(s.leases, leasedFiles{status: f.Status, until: f.LeaseUntil})
	s.leases[len(s.leases)-1].add(run, f)
}

// onlyCounters reports whether a run differs in nothing but what a settlement counts.
func onlyCounters(was, run *core.Run) bool {
	other := *was
	other.CompletedJobs, other.FailedJobs, other.Tally = run.CompletedJobs, run.FailedJobs, run.Tally
	return other == *run
}

const (
	countRuns = `
UPDATE runs r SET completed_jobs = v.completed_jobs, failed_jobs = v.failed_jobs,
       tally_unfinished = v.unfinished, tally_completed = v.completed, tally_failed = v.failed, tally_error = v.error
  FROM (SELECT $1::text AS tenant_id, u.* FROM unnest($2::text[], $3::int[], $4::int[], $5::int[], $6::int[], $7::int[], $8::int[])
        AS u (run_id, completed_jobs, failed_jobs, unfinished, completed, failed, error) OFFSET 0) v
 WHERE r.tenant_id = v.tenant_id AND r.run_id = v.run_id`

	ofFiles = ` OFFSET 0) v
 WHERE f.tenant_id = v.tenant_id AND f.run_id = v.run_id AND f.index = v.index`
	leaseFiles = `
UPDATE files f SET status = $4, lease_until = $5
  FROM (SELECT $1::text AS tenant_id, u.* FROM unnest($2::text[], $3::int[]) AS u (run_id, index)` + ofFiles
	completeFiles = `
UPDATE files f SET status = 'completed', lease_until = NULL, output = v.output, failure_code = '', failure_message = ''
  FROM (SELECT $1::text AS tenant_id, u.* FROM unnest($2::text[], $3::int[], $4::text[]) AS u (run_id, index, output)` + ofFiles
	recordFiles = `
UPDATE files f SET status = v.status, lease_until = NULL, output = v.output, failure_code = v.failure_code, failure_message = v.failure_message
  FROM (SELECT $1::text AS tenant_id, u.* FROM unnest($2::text[], $3::int[], $4::text[], $5::text[], $6::text[], $7::text[])
        AS u (run_id, index, status, output, failure_code, failure_message)` + ofFiles
	// max_retry_count is the run's, so that the table refuses a file that has used more
	// retries than its run allows; no other statement changes retries.
	saveFiles = `
UPDATE files f SET ` + setFileState + `, max_retry_count = v.max_retry_count
  FROM (SELECT $1::text AS tenant_id, u.* FROM unnest($2::text[], $14::int[], ` + fileArrays3 + `)
        AS u (run_id, max_retry_count, ` + fileState + `)` + ofFiles
)

// queue gives the statements that write the rows.
func (s *saving) queue(tenant core.TenantID, queue func(sql string, args ...any)) {
	ofRuns, ofFiles := ofTenant(s.citus, "r"), ofTenant(s.citus, "f")
	for _, run := range s.whole {
		queue(saveRun, runArgs(tenant, *run)...)
	}
	if len(s.counted) > 0 {
		queue(countRuns+ofRuns, append([]any{tenant}, runCounterArgs(s.counted)...)...)
	}
	for i := range s.leases {
		l := &s.leases[i]
		runs, indexes := l.keys()
		if ranges, ok := dense(indexes); ok && l.ofOneRun() {
			queue(leaseRanges, tenant, runs[0], ranges, string(l.status), nullTime(l.until))
			continue
		}
		queue(leaseFiles+ofFiles, tenant, runs, indexes, string(l.status), nullTime(l.until))
	}
	if l := &s.completed; len(l.files) > 0 {
		runs, indexes := l.keys()
		queue(completeFiles+ofFiles, tenant, runs, indexes, l.texts(func(f *core.File) string { return text(f.Output) }))
	}
	if l := &s.results; len(l.files) > 0 {
		runs, indexes := l.keys()
		queue(recordFiles+ofFiles, tenant, runs, indexes,
			l.texts(func(f *core.File) string { return string(f.Status) }),
			l.texts(func(f *core.File) string { return text(f.Output) }),
			l.texts(func(f *core.File) string { return text(f.Failure.Code) }),
			l.texts(func(f *core.File) string { return text(f.Failure.Message) }))
	}
	for i := range s.same {
		s.same[i].queue(tenant, ofFiles, queue)
	}
	if l := &s.others; len(l.files) > 0 {
		runs, _ := l.keys()
		args := append([]any{tenant, runs}, fileStateArgs(l.files)...)
		queue(saveFiles+ofFiles, append(args, l.maxRetryCounts())...)
	}
}

// keys gives each file's run and index.
func (l *fileList) keys() (runs []string, indexes []int32) {
	runs, indexes = make([]string, len(l.files)), make([]int32, len(l.files))
	for i, f := range l.files {
		runs[i], indexes[i] = string(findable(l.runs[i].ID)), int32(f.Index)
	}
	return runs, indexes
}

func (l *fileList) ofOneRun() bool {
	return !slices.ContainsFunc(l.runs, func(run *core.Run) bool { return run != l.runs[0] })
}

func (l *fileList) texts(of func(*core.File) string) []string {
	texts := make([]string, len(l.files))
	for i, f := range l.files {
		texts[i] = of(f)
	}
	return texts
}

func (l *fileList) maxRetryCounts() []int32 {
	counts := make([]int32, len(l.runs))
	for i, run := range l.runs {
		counts[i] = int32(run.MaxRetryCount)
	}
	return counts
}
