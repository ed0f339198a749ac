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
INSERT INTO run_owners (run_id, tenant_id) VALUES ('hot-' || :client_id || '-' || :n, 'bench-0') ON CONFLICT DO NOTHING;
INSERT INTO runs (tenant_id, run_id, template_id, mode, status, reason, created_by_subject, created_by_tenant, created_by_role, created_at, closed_at,
    max_retry_count, attempt, epoch, dispatch, last_retried_at, total_jobs, attempt_jobs, completed_jobs, failed_jobs,
    tally_unfinished, tally_completed, tally_failed, tally_error, credits_consumed, credits_from_monthly, credits_from_purchased,
    recover_at, dispatched_at, redispatches, template_version, failure_code, failure_message, file_count)
VALUES ('bench-0', 'hot-' || :client_id || '-' || :n, 'bench', 'per_file', 'RUNNING', '', 'bench', '', 'bubble_admin', now(), NULL,
    3, 0, 1, 'confirmed', NULL, 10, 10, 0, 0, 10, 0, 0, 0, 10, 0, 10, now(), now(), 0, 1, '', '', 10)
ON CONFLICT DO NOTHING;
INSERT INTO files (tenant_id, run_id, max_retry_count, index, name, ref, size, status, retry_attempt, free_retries, epoch, lease_until, redeliveries, paid_by,
    output, failure_code, failure_message)
SELECT r.tenant_id, r.run_id, 3, v.place - 1, v.name, v.ref, v.size, 'pending', 0, 0, 1, NULL, 0, 0, '', '', ''
  FROM runs r, unnest('{file-0,file-1,file-2,file-3,file-4,file-5,file-6,file-7,file-8,file-9}'::text[],
        '{ref-0,ref-1,ref-2,ref-3,ref-4,ref-5,ref-6,ref-7,ref-8,ref-9}'::text[],
        '{1000,1000,1000,1000,1000,1000,1000,1000,1000,1000}'::bigint[]) WITH ORDINALITY AS v (name, ref, size, place)
 WHERE r.tenant_id = 'bench-0' AND r.run_id = 'hot-' || :client_id || '-' || :n;
INSERT INTO attempts (tenant_id, run_id, attempt, epoch, jobs, requested_by_subject, requested_by_tenant, requested_by_role, requested_at,
    price, charge_key, charge_period, charge_monthly, charge_purchased, before_status, before_reason, before_closed_at,
    before_last_retried_at, before_attempt_jobs, before_completed_jobs, before_failed_jobs, compensated_at, all_files)
VALUES ('bench-0', 'hot-' || :client_id || '-' || :n, 0, 1, 10, 'bench', '', 'bubble_admin', now(), 1,
    'charge/hot-' || :client_id || '-' || :n || '/0', '2026-11', 0, 10, NULL, '', NULL, NULL, 0, 0, 0, NULL, 10)
ON CONFLICT DO NOTHING;
INSERT INTO ledger (tenant_id, seq, key, kind, period, monthly, purchased, run_id, attempt, charge_key, actor_subject, actor_tenant, actor_role, at)
SELECT 'bench-0', last_seq + 1, 'charge/hot-' || :client_id || '-' || :n || '/0', 'charge', '2026-11', 0, 10,
    'hot-' || :client_id || '-' || :n, 0, NULL, 'bench', '', 'bubble_admin', now()
  FROM credits WHERE tenant_id = 'bench-0'
ON CONFLICT DO NOTHING;
UPDATE credits SET purchased = purchased - 10, last_seq = last_seq + 1 WHERE tenant_id = 'bench-0';
INSERT INTO queue_messages (tenant_id, template_id, message_id, jobs, metadata, payload)
SELECT m.tenant_id, m.template_id, m.message_id, m.jobs, m.metadata, m.payload
  FROM unnest('{bench-0}'::text[], '{bench}'::text[], ARRAY[gen_random_uuid()], '{10}'::int[], ARRAY['{"v":"2"}'], ARRAY['{"run":"hot-' || :client_id || '-' || :n || '","epoch":1,"files":"0-9"}'])
       WITH ORDINALITY AS m (tenant_id, template_id, message_id, jobs, metadata, payload, n)
 ORDER BY m.n
ON CONFLICT (tenant_id, message_id) DO NOTHING;
COMMIT;
