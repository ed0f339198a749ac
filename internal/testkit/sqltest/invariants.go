package sqltest

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// invariants are those of spec 10 that the database can be asked for: each query
// gives the rows that break one.
var invariants = []struct{ name, sql string }{
	{"I1 purchased balance is what the entries add up to", `
		SELECT c.tenant_id, CAST(c.purchased AS TEXT), CAST(coalesce(s.sum, 0) AS TEXT) FROM credits c
		  LEFT JOIN (SELECT tenant_id, sum(CASE kind WHEN 'charge' THEN -purchased ELSE purchased END) AS sum FROM ledger GROUP BY 1) s USING (tenant_id)
		 WHERE c.purchased <> coalesce(s.sum, 0) OR c.purchased < 0`},
	{"I1 monthly balances are what the entries add up to", `
		SELECT tenant_id, period, concat(a.monthly_left, ' <> ', s.sum) FROM allowances a
		  FULL JOIN (SELECT tenant_id, period, sum(CASE kind WHEN 'charge' THEN -monthly ELSE monthly END) AS sum FROM ledger GROUP BY 1, 2) s USING (tenant_id, period)
		 WHERE a.monthly_left IS DISTINCT FROM s.sum OR a.monthly_left < 0`},
	{"I1 no balance was ever below zero", `
		SELECT tenant_id, key, CAST(purchased AS TEXT) FROM (
		  SELECT tenant_id, key,
		         sum(CASE kind WHEN 'charge' THEN -purchased ELSE purchased END) OVER (PARTITION BY tenant_id ORDER BY seq) AS purchased,
		         sum(CASE kind WHEN 'charge' THEN -monthly ELSE monthly END) OVER (PARTITION BY tenant_id, period ORDER BY seq) AS monthly
		    FROM ledger) x
		 WHERE purchased < 0 OR monthly < 0`},
	{"I1 entries are numbered without gaps", `
		SELECT tenant_id, CAST(count(*) AS TEXT), CAST(max(seq) AS TEXT) FROM ledger JOIN credits c USING (tenant_id)
		 GROUP BY tenant_id, c.last_seq HAVING count(*) <> max(seq) OR max(seq) <> c.last_seq`},
	{"I2 a run's credits are its charges less its refunds", `
		SELECT r.run_id, concat(r.credits_from_monthly, '+', r.credits_from_purchased), concat(s.monthly, '+', s.purchased)
		  FROM runs r LEFT JOIN (
		       SELECT tenant_id, run_id, sum(CASE kind WHEN 'charge' THEN monthly ELSE -monthly END) AS monthly,
		              sum(CASE kind WHEN 'charge' THEN purchased ELSE -purchased END) AS purchased
		         FROM ledger WHERE kind IN ('charge', 'refund') GROUP BY 1, 2) s USING (tenant_id, run_id)
		 WHERE r.credits_from_monthly <> coalesce(s.monthly, 0) OR r.credits_from_purchased <> coalesce(s.purchased, 0)
		    OR r.credits_consumed <> r.credits_from_monthly + r.credits_from_purchased`},
	{"I3 an attempt's only charge is charged files times price", `
		SELECT a.run_id, CAST(a.attempt AS TEXT), concat(a.charge_monthly + a.charge_purchased, ' <> ', f.charged, ' * ', a.price)
		  FROM attempts a
		  JOIN (SELECT tenant_id, run_id, attempt, count(*) FILTER (WHERE charged) AS charged FROM attempt_files GROUP BY 1, 2, 3) f USING (tenant_id, run_id, attempt)
		  LEFT JOIN (SELECT tenant_id, run_id, attempt, count(*) AS count, sum(monthly) AS monthly, sum(purchased) AS purchased
		               FROM ledger WHERE kind = 'charge' GROUP BY 1, 2, 3) c USING (tenant_id, run_id, attempt)
		 WHERE a.charge_monthly + a.charge_purchased <> f.charged * a.price
		    OR a.charge_monthly <> coalesce(c.monthly, 0) OR a.charge_purchased <> coalesce(c.purchased, 0) OR c.count > 1`},
	{"I3 exactly the failed files of a Continue are charged", `
		SELECT f.run_id, CAST(f.attempt AS TEXT), CAST(f.{index} AS TEXT) FROM attempt_files f JOIN attempts a USING (tenant_id, run_id, attempt)
		 WHERE f.charged <> (a.price > 0 AND (f.attempt = 0 OR f.before_status = 'failed'))`},
	{"I4 a refund is the only one of its charge and equals it", `
		SELECT r.tenant_id, r.key, r.charge_key FROM ledger r LEFT JOIN ledger c
		    ON c.tenant_id = r.tenant_id AND c.key = r.charge_key AND c.kind = 'charge'
		   AND (c.period, c.monthly, c.purchased, c.run_id, c.attempt) = (r.period, r.monthly, r.purchased, r.run_id, r.attempt)
		 WHERE r.kind = 'refund' AND (c.key IS NULL
		    OR (SELECT count(*) FROM ledger x WHERE x.tenant_id = r.tenant_id AND x.charge_key = r.charge_key) <> 1)`},
	{"I4, I12 what was compensated was refunded, and nothing else was", `
		SELECT a.run_id, CAST(a.attempt AS TEXT), coalesce(r.key, 'no refund') FROM attempts a
		  LEFT JOIN ledger r ON r.tenant_id = a.tenant_id AND r.run_id = a.run_id AND r.attempt = a.attempt AND r.kind = 'refund'
		 WHERE (a.compensated_at IS NOT NULL AND a.charge_key IS NOT NULL) <> (r.key IS NOT NULL)`},
	{"I5 the charge that covers an unfinished file stands", `
		SELECT f.run_id, CAST(f.{index} AS TEXT), CAST(f.paid_by AS TEXT) FROM files f
		  LEFT JOIN attempts a ON a.tenant_id = f.tenant_id AND a.run_id = f.run_id AND a.attempt = f.paid_by
		  LEFT JOIN attempt_files c ON c.tenant_id = f.tenant_id AND c.run_id = f.run_id AND c.attempt = f.paid_by AND c.{index} = f.{index}
		 WHERE f.status IN ('pending', 'processing')
		   AND (a.attempt IS NULL OR a.compensated_at IS NOT NULL OR NOT (coalesce(c.charged, false) OR a.price = 0))`},
	{"I6 retries are within the run's limit", `
		SELECT f.run_id, CAST(f.{index} AS TEXT), CAST(f.retry_attempt AS TEXT) FROM files f JOIN runs r USING (tenant_id, run_id)
		 WHERE f.free_retries NOT BETWEEN 0 AND f.retry_attempt OR f.retry_attempt - f.free_retries > r.max_retry_count`},
	{"I6 a retry is free if and only if it found the file pending", `
		SELECT f.run_id, CAST(f.{index} AS TEXT), CAST(f.free_retries AS TEXT) FROM files f
		 WHERE f.free_retries <> (SELECT count(*) FROM attempt_files x JOIN attempts a USING (tenant_id, run_id, attempt)
		        WHERE x.tenant_id = f.tenant_id AND x.run_id = f.run_id AND x.{index} = f.{index} AND x.before_status = 'pending'
		          AND a.compensated_at IS NULL)`},
	{"I6 a file was retried as often as attempts that stand had it", `
		SELECT f.run_id, CAST(f.{index} AS TEXT), CAST(f.retry_attempt AS TEXT) FROM files f
		 WHERE f.retry_attempt <> (SELECT count(*) FROM attempt_files x JOIN attempts a USING (tenant_id, run_id, attempt)
		        WHERE x.tenant_id = f.tenant_id AND x.run_id = f.run_id AND x.{index} = f.{index} AND x.attempt > 0 AND a.compensated_at IS NULL)`},
	{"I7 jobs add up", `
		SELECT run_id, status, concat(completed_jobs, '+', failed_jobs, ' of ', attempt_jobs, ' of ', total_jobs) FROM runs
		 WHERE completed_jobs + failed_jobs > attempt_jobs OR attempt_jobs > total_jobs
		    OR (status = 'RUNNING' AND completed_jobs + failed_jobs = attempt_jobs)
		    OR (status IN ('COMPLETED', 'COMPLETED_WITH_ERRORS', 'FAILED') AND completed_jobs + failed_jobs <> attempt_jobs)
		    OR (status = 'RUNNING') <> (closed_at IS NULL)`},
	{"I7 the tally is what the files are", `
		SELECT r.run_id, concat_ws(',', r.tally_unfinished, r.tally_completed, r.tally_failed, r.tally_error), f.have
		  FROM runs r JOIN (
		       SELECT tenant_id, run_id, concat_ws(',', count(*) FILTER (WHERE status IN ('pending', 'processing')), count(*) FILTER (WHERE status = 'completed'),
		              count(*) FILTER (WHERE status = 'failed'), count(*) FILTER (WHERE status = 'error')) AS have
		         FROM files GROUP BY 1, 2) f USING (tenant_id, run_id)
		 WHERE f.have <> concat_ws(',', r.tally_unfinished, r.tally_completed, r.tally_failed, r.tally_error)`},
	{"I7 nothing is processed in a closed run", `
		SELECT f.run_id, CAST(f.{index} AS TEXT), r.status FROM files f JOIN runs r USING (tenant_id, run_id)
		 WHERE f.status = 'processing' AND r.status <> 'RUNNING'`},
	{"I8 no file has an epoch that its run did not give out", `
		SELECT f.run_id, CAST(f.{index} AS TEXT), CAST(f.epoch AS TEXT) FROM files f JOIN runs r USING (tenant_id, run_id) WHERE f.epoch > r.epoch`},
	{"I9 attempts are numbered without gaps, with growing epochs", `
		SELECT a.run_id, CAST(a.attempt AS TEXT), CAST(a.epoch AS TEXT) FROM (
		  SELECT *, lag(epoch) OVER w AS last_epoch, row_number() OVER w - 1 AS place FROM attempts WINDOW w AS (PARTITION BY tenant_id, run_id ORDER BY attempt)) a
		  JOIN runs r USING (tenant_id, run_id)
		 WHERE a.attempt <> a.place OR a.epoch <= a.last_epoch OR a.attempt > r.attempt`},
	{"I10 the directory says whose each run is", `
		SELECT r.run_id, r.tenant_id, coalesce(o.tenant_id, 'nobody') FROM runs r FULL JOIN run_owners o USING (run_id)
		 WHERE r.tenant_id IS DISTINCT FROM o.tenant_id`},
}

// Invariants asks the database, not the code.
func Invariants(t testing.TB, db Database) {
	t.Helper()
	for _, i := range invariants {
		broken, err := db.Rows(t.Context(), strings.ReplaceAll(i.sql, "{index}", db.Index))
		require.NoError(t, err, i.name)
		require.Empty(t, broken, i.name)
	}
}
