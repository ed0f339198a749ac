-- The statements of one Continue, as app.RetryFailed sends them through this package but
-- for those of many files, which are in their plain form here, for pgbench:
-- pgbench -n -M prepared -D i=0 -D first=… -f continue.sql
-- Each client has a tenant of its own and goes through its runs one by one.
-- Values that Redrive computes are computed here by the server. Files are read
-- and written as arrays, as Redrive writes them.
\set i :i + 1
\set n :first + :i
SELECT tenant_id FROM run_owners WHERE run_id = 'run-' || :client_id || '-' || :n;
\startpipeline
BEGIN ISOLATION LEVEL READ COMMITTED;
SET LOCAL lock_timeout = 5000;
SET LOCAL statement_timeout = 30000;
SET LOCAL idle_in_transaction_session_timeout = 60000;
SET LOCAL jit = off;
\endpipeline
SELECT * FROM runs WHERE tenant_id = 'bench-' || :client_id AND run_id = 'run-' || :client_id || '-' || :n FOR UPDATE;
SELECT array_agg(index ORDER BY index) AS idx, array_agg('pending'::text) AS status, array_agg(retry_attempt + 1) AS retry, array_agg(epoch + 1) AS epoch,
       array_agg(lease_until) AS lease, array_agg(0) AS zero, array_agg(1) AS one, array_agg(''::text) AS empty, array_agg(true) AS charged,
       array_agg(status) AS was, array_agg(failure_code) AS code, array_agg(failure_message) AS message
  FROM files WHERE tenant_id = 'bench-' || :client_id AND run_id = 'run-' || :client_id || '-' || :n
   AND status = ANY('{failed,pending}'::text[]) \gset
SELECT * FROM templates WHERE tenant_id = 'bench-' || :client_id AND template_id = 'bench';
\startpipeline
SELECT purchased, last_seq FROM credits WHERE tenant_id = 'bench-' || :client_id FOR UPDATE;
SELECT monthly_left FROM allowances WHERE tenant_id = 'bench-' || :client_id AND period = '2026-11';
\endpipeline
UPDATE runs SET status = 'RUNNING', reason = '', closed_at = NULL, attempt = attempt + 1, epoch = epoch + 1,
       dispatch = 'unconfirmed', last_retried_at = now(), attempt_jobs = total_jobs, completed_jobs = 0, failed_jobs = 0,
       tally_unfinished = tally_failed, tally_failed = 0, credits_consumed = credits_consumed + file_count,
       credits_from_purchased = credits_from_purchased + file_count, recover_at = now(), dispatched_at = now(), redispatches = 0
 WHERE tenant_id = 'bench-' || :client_id AND run_id = 'run-' || :client_id || '-' || :n;
UPDATE files f SET status = v.status, retry_attempt = v.retry_attempt,
       max_retry_count = (SELECT max_retry_count FROM runs WHERE tenant_id = 'bench-' || :client_id AND run_id = 'run-' || :client_id || '-' || :n),
       epoch = v.epoch, lease_until = v.lease_until, redeliveries = v.redeliveries, paid_by = v.paid_by,
       output = v.output, failure_code = v.failure_code, failure_message = v.failure_message
  FROM unnest(:idx::int[], :status::text[], :retry::int[], :epoch::bigint[], :lease::timestamptz[], :zero::int[], :one::int[], :empty::text[], :empty::text[], :empty::text[])
    AS v (index, status, retry_attempt, epoch, lease_until, redeliveries, paid_by, output, failure_code, failure_message)
 WHERE f.tenant_id = 'bench-' || :client_id AND f.run_id = 'run-' || :client_id || '-' || :n AND f.index = v.index;
WITH attempt AS (
    INSERT INTO attempts (tenant_id, run_id, attempt, epoch, jobs, requested_by_subject, requested_by_tenant, requested_by_role, requested_at,
        price, charge_key, charge_period, charge_monthly, charge_purchased, before_status, before_reason, before_closed_at,
        before_last_retried_at, before_attempt_jobs, before_completed_jobs, before_failed_jobs, compensated_at)
    SELECT tenant_id, run_id, 1, 2, total_jobs, 'bench', '', 'bubble_admin', now(), 1, 'charge/' || run_id || '/1', '2026-11', 0, file_count,
        'FAILED', '', now(), NULL, total_jobs, 0, total_jobs, NULL
      FROM runs WHERE tenant_id = 'bench-' || :client_id AND run_id = 'run-' || :client_id || '-' || :n
    ON CONFLICT DO NOTHING RETURNING tenant_id, run_id, attempt
), rows AS (
    INSERT INTO attempt_file_rows (tenant_id, run_id, attempt, index, charged, before_status, before_retry_attempt, before_redeliveries,
        before_paid_by, before_failure_code, before_failure_message)
    SELECT attempt.*, v.*
      FROM attempt, unnest(:idx::int[], :charged::boolean[], :was::text[], :zero::int[], :zero::int[], :zero::int[], :code::text[], :message::text[]) AS v
)
SELECT FROM attempt;
WITH entry AS (
    INSERT INTO ledger (tenant_id, seq, key, kind, period, monthly, purchased, run_id, attempt, charge_key, actor_subject, actor_tenant, actor_role, at)
    SELECT r.tenant_id, c.last_seq + 1, 'charge/' || r.run_id || '/1', 'charge', '2026-11', 0, r.file_count, r.run_id, 1, NULL, 'bench', '', 'bubble_admin', now()
      FROM runs r JOIN credits c ON c.tenant_id = r.tenant_id
     WHERE r.tenant_id = 'bench-' || :client_id AND r.run_id = 'run-' || :client_id || '-' || :n
    ON CONFLICT DO NOTHING RETURNING tenant_id, seq, period, purchased
), account AS (
    UPDATE credits c SET purchased = c.purchased - entry.purchased, last_seq = entry.seq
      FROM entry WHERE c.tenant_id = 'bench-' || :client_id AND c.tenant_id = entry.tenant_id
), month AS (
    INSERT INTO allowances (tenant_id, period, monthly_left) SELECT tenant_id, period, 0 FROM entry
    ON CONFLICT (tenant_id, period) DO UPDATE SET monthly_left = excluded.monthly_left
)
SELECT FROM entry;
COMMIT;
\startpipeline
BEGIN ISOLATION LEVEL READ COMMITTED;
SET LOCAL lock_timeout = 5000;
SET LOCAL statement_timeout = 30000;
SET LOCAL idle_in_transaction_session_timeout = 60000;
SET LOCAL jit = off;
SET LOCAL synchronous_commit = off;
\endpipeline
SELECT * FROM runs WHERE tenant_id = 'bench-' || :client_id AND run_id = 'run-' || :client_id || '-' || :n FOR UPDATE;
UPDATE runs SET dispatch = 'confirmed' WHERE tenant_id = 'bench-' || :client_id AND run_id = 'run-' || :client_id || '-' || :n;
COMMIT;
