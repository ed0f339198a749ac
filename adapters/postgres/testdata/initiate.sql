-- The statements of one initiation of ten files, as app.Initiate sends them through
-- this package, for pgbench: pgbench -n -M prepared -D i=0 -D first=… -f initiate.sql
-- All clients are of one tenant. Values that Redrive computes are computed here by the
-- server.
\set i :i + 1
\set n :first + :i
\startpipeline
BEGIN ISOLATION LEVEL READ COMMITTED;
SET LOCAL lock_timeout = 60000;
SET LOCAL statement_timeout = 60000;
SET LOCAL idle_in_transaction_session_timeout = 60000;
SET LOCAL jit = off;
\endpipeline
\startpipeline
SELECT purchased, last_seq FROM credits WHERE tenant_id = 'bench-0' FOR UPDATE;
SELECT monthly_left FROM allowances WHERE tenant_id = 'bench-0' AND period = '2026-11';
\endpipeline
SELECT * FROM templates WHERE tenant_id = 'bench-0' AND template_id = 'bench';
WITH owner AS (
    INSERT INTO run_owners (run_id, tenant_id) VALUES ('hot-' || :client_id || '-' || :n, 'bench-0') ON CONFLICT DO NOTHING RETURNING run_id
), run AS (
    INSERT INTO runs (tenant_id, run_id, template_id, mode, status, reason, created_by_subject, created_by_tenant, created_by_role, created_at, closed_at,
        max_retry_count, attempt, epoch, dispatch, last_retried_at, total_jobs, attempt_jobs, completed_jobs, failed_jobs,
        tally_unfinished, tally_completed, tally_failed, tally_error, credits_consumed, credits_from_monthly, credits_from_purchased,
        recover_at, dispatched_at, redispatches, template_version, failure_code, failure_message, file_count)
    SELECT 'bench-0', run_id, 'bench', 'per_file', 'RUNNING', '', 'bench', '', 'bubble_admin', now(), NULL,
        3, 0, 1, 'unconfirmed', NULL, 10, 10, 0, 0, 10, 0, 0, 0, 10, 0, 10, now(), now(), 0, 1, '', '', 10 FROM owner
), rows AS (
    INSERT INTO files (tenant_id, run_id, max_retry_count, index, name, ref, size, status, retry_attempt, free_retries, epoch, lease_until, redeliveries, paid_by,
        output, failure_code, failure_message)
    SELECT 'bench-0', owner.run_id, 3, v.* FROM owner,
        unnest('{0,1,2,3,4,5,6,7,8,9}'::int[], '{file-0,file-1,file-2,file-3,file-4,file-5,file-6,file-7,file-8,file-9}'::text[],
            '{ref-0,ref-1,ref-2,ref-3,ref-4,ref-5,ref-6,ref-7,ref-8,ref-9}'::text[], '{1000,1000,1000,1000,1000,1000,1000,1000,1000,1000}'::bigint[],
            '{pending,pending,pending,pending,pending,pending,pending,pending,pending,pending}'::text[], '{0,0,0,0,0,0,0,0,0,0}'::int[],
            '{0,0,0,0,0,0,0,0,0,0}'::int[], '{1,1,1,1,1,1,1,1,1,1}'::bigint[], '{NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL}'::timestamptz[],
            '{0,0,0,0,0,0,0,0,0,0}'::int[], '{0,0,0,0,0,0,0,0,0,0}'::int[], '{"","","","","","","","","",""}'::text[],
            '{"","","","","","","","","",""}'::text[], '{"","","","","","","","","",""}'::text[]) AS v
)
SELECT FROM owner;
WITH attempt AS (
    INSERT INTO attempts (tenant_id, run_id, attempt, epoch, jobs, requested_by_subject, requested_by_tenant, requested_by_role, requested_at,
        price, charge_key, charge_period, charge_monthly, charge_purchased, before_status, before_reason, before_closed_at,
        before_last_retried_at, before_attempt_jobs, before_completed_jobs, before_failed_jobs, compensated_at)
    VALUES ('bench-0', 'hot-' || :client_id || '-' || :n, 0, 1, 10, 'bench', '', 'bubble_admin', now(), 1,
        'charge/hot-' || :client_id || '-' || :n || '/0', '2026-11', 0, 10, NULL, '', NULL, NULL, 0, 0, 0, NULL)
    ON CONFLICT DO NOTHING RETURNING tenant_id, run_id, attempt
), rows AS (
    INSERT INTO attempt_files (tenant_id, run_id, attempt, index, charged, before_status, before_retry_attempt, before_redeliveries,
        before_paid_by, before_failure_code, before_failure_message, before_free_retries)
    SELECT attempt.*, v.*
      FROM attempt, unnest('{0,1,2,3,4,5,6,7,8,9}'::int[], '{t,t,t,t,t,t,t,t,t,t}'::boolean[], '{NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL}'::text[],
        '{0,0,0,0,0,0,0,0,0,0}'::int[], '{0,0,0,0,0,0,0,0,0,0}'::int[], '{0,0,0,0,0,0,0,0,0,0}'::int[],
        '{"","","","","","","","","",""}'::text[], '{"","","","","","","","","",""}'::text[], '{0,0,0,0,0,0,0,0,0,0}'::int[]) AS v
)
SELECT FROM attempt;
WITH entry AS (
    INSERT INTO ledger (tenant_id, seq, key, kind, period, monthly, purchased, run_id, attempt, charge_key, actor_subject, actor_tenant, actor_role, at)
    SELECT 'bench-0', last_seq + 1, 'charge/hot-' || :client_id || '-' || :n || '/0', 'charge', '2026-11', 0, 10,
        'hot-' || :client_id || '-' || :n, 0, NULL, 'bench', '', 'bubble_admin', now()
      FROM credits WHERE tenant_id = 'bench-0'
    ON CONFLICT DO NOTHING RETURNING tenant_id, seq, period, purchased
), balance AS (
    UPDATE credits c SET purchased = c.purchased - entry.purchased, last_seq = entry.seq
      FROM entry WHERE c.tenant_id = 'bench-0' AND c.tenant_id = entry.tenant_id
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
SELECT * FROM runs WHERE tenant_id = 'bench-0' AND run_id = 'hot-' || :client_id || '-' || :n FOR UPDATE;
UPDATE runs SET dispatch = 'confirmed' WHERE tenant_id = 'bench-0' AND run_id = 'hot-' || :client_id || '-' || :n;
COMMIT;
