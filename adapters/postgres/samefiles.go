package postgres

import (
	"slices"
	"time"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/redrive/redrive/core"
)

// maxSame is how many statements a Save sends for files that become alike; what differs
// from all of them is written with an array for each column.
const maxSame = 4

// sameFiles are files of one run that become alike in all that can change, as the files
// of a Continue do: most were failed, some pending.
type sameFiles struct {
	run     *core.Run
	state   core.File
	indexes []int32
}

// stateOf is what can change of a file.
func stateOf(f *core.File) core.File {
	state := *f
	state.Index, state.Name, state.Ref, state.Size, state.OutputBytes = 0, "", "", 0, 0
	state.LeaseUntil = time.Time{} // not comparable; only files without a lease are here
	return state
}

// addSame takes a file whose state others of its run get too, and reports whether it did.
func (s *saving) addSame(run *core.Run, f *core.File) bool {
	if !f.LeaseUntil.IsZero() || f.Output != "" {
		return false
	}
	state := stateOf(f)
	for i := range s.same {
		if l := &s.same[i]; l.run == run && l.state == state {
			l.indexes = append(l.indexes, int32(f.Index))
			return true
		}
	}
	if len(s.same) == maxSame {
		return false
	}
	s.same = append(s.same, sameFiles{run: run, state: state, indexes: []int32{int32(f.Index)}})
	return true
}

const (
	setSame = `
UPDATE files f SET status = $4, retry_attempt = $5, free_retries = $6, epoch = $7, lease_until = NULL, redeliveries = $8, paid_by = $9,
       output = '', failure_code = $10, failure_message = $11, max_retry_count = $12`
	setLease = `
UPDATE files f SET status = $4, lease_until = $5`

	// inRanges reads the part of the run between the first and the last of the files, once,
	// where a join looks each of them up: half the time for a run of 1,000 files. What is
	// between them is bounded by dense. <@ is a binary search, unlike = ANY.
	inRanges = `
 WHERE f.tenant_id = $1 AND f.run_id = $2 AND f.index >= lower($3::int4multirange) AND f.index < upper($3::int4multirange)
   AND f.index <@ $3::int4multirange`
	inList = `
  FROM (SELECT $1::text AS tenant_id, $2::text AS run_id, u.* FROM unnest($3::int[]) AS u (index)` + ofFiles

	saveSameRanges, saveSameList = setSame + inRanges, setSame + inList
	leaseRanges                  = setLease + inRanges
)

// queue gives the statement that writes the files.
func (l *sameFiles) queue(tenant core.TenantID, ofTenant string, queue func(sql string, args ...any)) {
	sql, which := saveSameList+ofTenant, any(l.indexes)
	if ranges, ok := dense(l.indexes); ok {
		sql, which = saveSameRanges, ranges
	}
	f := &l.state
	queue(sql, tenant, string(findable(l.run.ID)), which, string(f.Status), f.RetryAttempt, f.FreeRetries, int64(f.Epoch),
		f.Redeliveries, int(f.PaidBy), text(f.Failure.Code), text(f.Failure.Message), l.run.MaxRetryCount)
}

// dense gives the ranges that the indexes make up, if they are several and at least a
// quarter of what is between the first and the last.
func dense(indexes []int32) (pgtype.Multirange[pgtype.Range[int32]], bool) {
	const least, share = 2, 4
	if len(indexes) < least {
		return nil, false
	}
	if !slices.IsSorted(indexes) {
		indexes = slices.Sorted(slices.Values(indexes))
	}
	if first, last := indexes[0], indexes[len(indexes)-1]; int(last-first) >= share*len(indexes) {
		return nil, false
	}
	var ranges pgtype.Multirange[pgtype.Range[int32]]
	for _, i := range indexes {
		if n := len(ranges); n > 0 && ranges[n-1].Upper == i {
			ranges[n-1].Upper = i + 1
			continue
		}
		ranges = append(ranges, pgtype.Range[int32]{
			Lower: i, Upper: i + 1, LowerType: pgtype.Inclusive, UpperType: pgtype.Exclusive, Valid: true,
		})
	}
	return ranges, true
}
