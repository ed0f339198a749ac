package postgres

import (
	"context"

	"github.com/redrive/redrive/core"
)

type files struct{ t *tx }

// The columns that fileArgs has arrays for, and the arrays as parameters from $4 and from $3 on.
const (
	fileColumns = `index, name, ref, size, status, retry_attempt, free_retries, epoch, lease_until, redeliveries, paid_by,
 output, failure_code, failure_message`
	fileArrays4 = `$4::int[], $5::text[], $6::text[], $7::bigint[], $8::text[], $9::int[], $10::int[], $11::bigint[],
 $12::timestamptz[], $13::int[], $14::int[], $15::text[], $16::text[], $17::text[]`
	fileState   = `index, status, retry_attempt, free_retries, epoch, lease_until, redeliveries, paid_by, output, failure_code, failure_message`
	fileArrays3 = `$3::int[], $4::text[], $5::int[], $6::int[], $7::bigint[], $8::timestamptz[], $9::int[], $10::int[], $11::text[], $12::text[], $13::text[]`
	// setFileState writes fileState from v.
	setFileState = `status = v.status, retry_attempt = v.retry_attempt, free_retries = v.free_retries,
       epoch = v.epoch, lease_until = v.lease_until, redeliveries = v.redeliveries, paid_by = v.paid_by,
       output = v.output, failure_code = v.failure_code, failure_message = v.failure_message`
	// readFile is what scanFile reads of f: everything but the output, of which it has
	// the length. octet_length does not fetch what is stored out of line.
	readFile = `f.index, f.name, f.ref, f.size, f.status, f.retry_attempt, f.free_retries, f.epoch, f.lease_until, f.redeliveries, f.paid_by,
       octet_length(f.output), f.failure_code, f.failure_message`
)

// Rows that are named by a list are joined through a subquery that says their
// whole key, the tenant and the run too. If these stood beside it as constants,
// Postgres could read all files of the run first and look each up in the list,
// which it does when its statistics are older than the run: 10,000 files then
// take minutes. OFFSET 0 keeps it from taking the subquery apart.

func (f files) ByIndex(ctx context.Context, run core.RunID, indexes []int) ([]core.File, error) {
	sql := `
SELECT ` + readFile + `
  FROM (SELECT $1::text AS tenant_id, $2::text AS run_id, u.* FROM unnest($3::int[]) WITH ORDINALITY AS u (index, place) OFFSET 0) wanted
  JOIN files f ON f.tenant_id = wanted.tenant_id AND f.run_id = wanted.run_id AND f.index = wanted.index` + ofTenant(f.t.citus, "f") + `
 ORDER BY wanted.place`
	return all(ctx, f.t, scanFile, sql, f.t.tenant, findable(run), int32s(indexes))
}

const filesInStatus = `
SELECT ` + readFile + ` FROM files f
 WHERE tenant_id = $1 AND run_id = $2 AND status = ANY($3::text[])
 ORDER BY index`

func (f files) InStatus(ctx context.Context, run core.RunID, statuses ...core.FileStatus) ([]core.File, error) {
	return all(ctx, f.t, scanFile, filesInStatus, f.t.tenant, findable(run), statuses)
}
