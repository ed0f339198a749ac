package postgres_test

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/adapters/postgres"
	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
)

// illegalWrites are refused by the database itself, each by the guard that it is
// written for. $closed is an interrupted run whose attempt 1 was compensated: file
// 0 is completed, 1 failed, 2 error, 3 pending. $running is a running run.
// Another tenant, "other", has nothing but itself and its templates.
var illegalWrites = []struct{ guard, sql string }{
	{"tenants_pkey", `INSERT INTO tenants VALUES ('acme', 'twice', 0, now(), NULL, '')`},
	{"tenants_id", `INSERT INTO tenants VALUES ('', 'nobody', 0, now(), NULL, '')`},
	{"tenants_allowance", `UPDATE tenants SET monthly_allowance = -1`},

	{"queue_jobs_pkey", `INSERT INTO queue_jobs (tenant_id, message_id, template_id, metadata, payload)
		SELECT 'acme', '00000000-0000-8000-8000-000000000000', '', '', '' FROM generate_series(1, 2)`},
	{"queue_jobs_deliveries", `INSERT INTO queue_jobs (tenant_id, message_id, template_id, metadata, payload, deliveries)
		VALUES ('acme', gen_random_uuid(), '', '', '', -1)`},
	{"queue_messages_pkey", `INSERT INTO queue_messages (tenant_id, message_id, template_id, jobs, metadata, payload)
		SELECT 'acme', '00000000-0000-8000-8000-000000000000', '', 1, '', '' FROM generate_series(1, 2)`},
	{"queue_messages_counts", `INSERT INTO queue_messages (tenant_id, message_id, template_id, jobs, metadata, payload)
		VALUES ('acme', gen_random_uuid(), '', 0, '', '')`},
	{"queue_dead_pkey", `INSERT INTO queue_dead OVERRIDING SYSTEM VALUE
		SELECT 'acme', 1, '', '', '', '', '', now(), '', '' FROM generate_series(1, 2)`},

	{"moves_pkey", `INSERT INTO moves SELECT 'acme', 'm', 'arrived', false, now() FROM generate_series(1, 2)`},
	{"moves_state", `INSERT INTO moves VALUES ('acme', 'm', 'lost', true, now())`},
	{"moves_closed", `INSERT INTO moves VALUES ('acme', 'm', 'leaving', false, now())`},
	{"moved", `ALTER TABLE tenants ENABLE ALWAYS TRIGGER moved; INSERT INTO moves VALUES ('acme', 'm', 'leaving', true, now());
		UPDATE tenants SET name = 'moved' WHERE tenant_id = 'acme'`},

	{"bulk_continues_pkey", `INSERT INTO bulk_continues SELECT 'b', 'acme', NULL, 'running', now(), now(), NULL, 0, '{}' FROM generate_series(1, 2)`},
	{"bulk_continues_key", `INSERT INTO bulk_continues SELECT 'b' || n, 'acme', 'k', 'running', now(), now(), NULL, 0, '{}' FROM generate_series(1, 2) n`},
	{"bulk_continues_status", `INSERT INTO bulk_continues VALUES ('b', 'acme', NULL, 'lost', now(), now(), NULL, 0, '{}')`},
	{"bulk_replies_pkey", `INSERT INTO bulk_replies SELECT 'k', '', '{}', NULL, now() FROM generate_series(1, 2)`},
	{"bulk_replies_decided", `INSERT INTO bulk_replies VALUES ('k', '', '{}', '{}', now())`},
	{"bulk_parts_pkey", `INSERT INTO bulk_parts SELECT 'acme', 'b', now(), 0, NULL, '{}' FROM generate_series(1, 2)`},
	{"bulk_parts_tenant", `INSERT INTO bulk_parts VALUES ('ghost', 'b', now(), 0, NULL, '{}')`},
	{"bulk_runs_pkey", `INSERT INTO bulk_runs SELECT 'acme', 'b', 0, 'r' || n, 'waiting', false, '{}' FROM generate_series(1, 2) n`},
	{"bulk_runs_once", `INSERT INTO bulk_runs SELECT 'acme', 'b', n, 'r', 'waiting', false, '{}' FROM generate_series(1, 2) n`},
	{"bulk_runs_part", `INSERT INTO bulk_runs VALUES ('acme', 'b', 0, 'r', 'waiting', false, '{}')`},
	{"bulk_runs_state", `INSERT INTO bulk_runs VALUES ('acme', 'b', 0, 'r', 'waiting', true, '{}')`},

	{"event_tickets_pkey", `INSERT INTO event_tickets SELECT repeat('a', 64), 'acme', 's', 'customer_user', now(), now() + interval '1 minute' FROM generate_series(1, 2)`},
	{"event_tickets_id", newTicket("'short', 'acme', 's', 'customer_user'", "1 hour")},
	{"event_tickets_role", newTicket("repeat('a', 64), 'acme', 's', 'king'", "1 hour")},
	{"event_tickets_tenant", newTicket("repeat('a', 64), '', 's', 'customer_user'", "1 hour")},
	{"event_tickets_subject", newTicket("repeat('a', 64), 'acme', '', 'customer_user'", "1 hour")},
	{"event_tickets_times", newTicket("repeat('a', 64), 'acme', 's', 'customer_user'", "0 hours")},
	{"sessions_pkey", `INSERT INTO sessions SELECT repeat('a', 64), 'acme', 's', 'customer_user', 'token', now(), now(), now() + interval '1 hour'
		FROM generate_series(1, 2)`},
	{"sessions_id", newSession("'short', 'acme', 's', 'customer_user', 'token'", "1 hour")},
	{"sessions_role", newSession("repeat('a', 64), 'acme', 's', 'king', 'token'", "1 hour")},
	{"sessions_tenant", newSession("repeat('a', 64), '', 's', 'customer_user', 'token'", "1 hour")},
	{"sessions_subject", newSession("repeat('a', 64), 'acme', '', 'customer_user', 'token'", "1 hour")},
	{"sessions_via", newSession("repeat('a', 64), 'acme', 's', 'customer_user', ''", "1 hour")},
	{"sessions_times", newSession("repeat('a', 64), 'acme', 's', 'customer_user', 'token'", "0 hours")},

	{"credits_pkey", `INSERT INTO credits VALUES ('acme')`},
	{"credits_tenant", `INSERT INTO credits VALUES ('ghost')`},
	{"credits_purchased", `UPDATE credits SET purchased = -1`},
	{"credits_last_seq", `UPDATE credits SET last_seq = -1`},
	{"allowances_pkey", `INSERT INTO allowances VALUES ('acme', '2026-03', 5)`},
	{"allowances_credits", `INSERT INTO allowances VALUES ('ghost', '2026-03', 5)`},
	{"allowances_period", `INSERT INTO allowances VALUES ('acme', '2026-13', 5)`},
	{"allowances_left", `UPDATE allowances SET monthly_left = -1`},

	{"templates_pkey", `INSERT INTO templates SELECT * FROM templates WHERE tenant_id = 'acme'`},
	{"templates_tenant", `INSERT INTO templates SELECT 'ghost', template_id, name, '', 1, mode, status, now(), now() FROM templates WHERE tenant_id = 'acme'`},
	{"templates_id", `INSERT INTO templates SELECT tenant_id, '', name, '', 1, mode, status, now(), now() FROM templates WHERE tenant_id = 'acme'`},
	{"templates_price", `UPDATE templates SET credits_per_run = -1`},
	{"templates_mode", `UPDATE templates SET mode = 'one_by_one'`},
	{"templates_version", `UPDATE templates SET version = 0`},
	{"api_keys_pkey", newAPIKey(`'acme', 'k', 'n', 'customer_user', repeat('0', 64), 's', '', 'bubble_admin', now(), NULL, NULL, NULL`) + `, ('acme', 'k', 'n', 'customer_user', repeat('0', 64), 's', '', 'bubble_admin', now(), NULL, NULL, NULL)`},
	{"api_keys_tenant", newAPIKey(`'ghost', 'k', 'n', 'customer_user', repeat('0', 64), 's', '', 'bubble_admin', now(), NULL, NULL, NULL`)},
	{"api_keys_id", newAPIKey(`'acme', '', 'n', 'customer_user', repeat('0', 64), 's', '', 'bubble_admin', now(), NULL, NULL, NULL`)},
	{"api_keys_hash", newAPIKey(`'acme', 'k', 'n', 'customer_user', 'rdk_acme_a_token', 's', '', 'bubble_admin', now(), NULL, NULL, NULL`)},
	{"api_keys_role", newAPIKey(`'acme', 'k', 'n', 'king', repeat('0', 64), 's', '', 'bubble_admin', now(), NULL, NULL, NULL`)},
	{"api_keys_by_role", newAPIKey(`'acme', 'k', 'n', 'customer_user', repeat('0', 64), 's', '', 'king', now(), NULL, NULL, NULL`)},
	{"api_keys_times", newAPIKey(`'acme', 'k', 'n', 'customer_user', repeat('0', 64), 's', '', 'bubble_admin', now(), now(), NULL, NULL`)},

	{"template_versions_pkey", `INSERT INTO template_versions SELECT * FROM template_versions WHERE tenant_id = 'acme'`},
	{"template_versions_template", `INSERT INTO template_versions VALUES ('ghost', 'x', 1, '', '', '', 'bubble_admin', now())`},
	{"template_versions_number", `INSERT INTO template_versions SELECT tenant_id, template_id, 0, '', '', '', 'bubble_admin', now() FROM templates WHERE tenant_id = 'acme'`},
	{"template_versions_role", `INSERT INTO template_versions SELECT tenant_id, template_id, 99, '', '', '', 'king', now() FROM templates WHERE tenant_id = 'acme'`},
	{"template_versions_kept", `UPDATE template_versions SET instructions = 'others'`},
	{"template_versions_kept", `DELETE FROM template_versions`},
	{"templates_status", `UPDATE templates SET status = 'deleted'`},

	{"run_owners_pkey", `INSERT INTO run_owners VALUES ($closed, 'other')`},
	{"run_owners_id", `INSERT INTO run_owners VALUES ('', 'acme')`},

	{"runs_pkey", `INSERT INTO runs SELECT * FROM runs WHERE run_id = $closed`},
	{"runs_template", `UPDATE runs SET template_id = 'ghost' WHERE run_id = $closed`},
	{"runs_mode", `UPDATE runs SET mode = 'stream' WHERE run_id = $closed`},
	{"runs_status", `UPDATE runs SET status = 'PAUSED', closed_at = now(), recover_at = NULL WHERE run_id = $running`},
	{"runs_reason", `UPDATE runs SET reason = 'bored' WHERE run_id = $closed`},
	{"runs_failure", `UPDATE runs SET reason = 'service_fault' WHERE run_id = $closed`},
	{"runs_failure", `UPDATE runs SET failure_code = 'x' WHERE run_id = $closed`},
	{"runs_template_version", `UPDATE runs SET template_version = 0 WHERE run_id = $closed`},
	{"runs_reason_running", `UPDATE runs SET reason = 'cancelled' WHERE run_id = $running`},
	{"runs_dispatch", `UPDATE runs SET dispatch = 'perhaps' WHERE run_id = $closed`},
	{"runs_role", `UPDATE runs SET created_by_role = 'king' WHERE run_id = $closed`},
	{"runs_closed_at", `UPDATE runs SET closed_at = NULL WHERE run_id = $closed`},
	{"runs_closed_at", `UPDATE runs SET closed_at = now() WHERE run_id = $running`},
	{"runs_recover_at", `UPDATE runs SET recover_at = NULL WHERE run_id = $running`},
	{"runs_max_retry_count", `UPDATE runs SET max_retry_count = 11 WHERE run_id = $closed`},
	{"runs_attempt", `INSERT INTO runs SELECT (r).* FROM (SELECT jsonb_populate_record(runs, '{"run_id": "new", "attempt": -1}') r FROM runs WHERE run_id = $closed) x`},
	{"runs_epoch", `INSERT INTO runs SELECT (r).* FROM (SELECT jsonb_populate_record(runs, '{"run_id": "new", "epoch": 0}') r FROM runs WHERE run_id = $closed) x`},
	{"runs_redispatches", `UPDATE runs SET redispatches = -1 WHERE run_id = $closed`},
	{"runs_jobs", `UPDATE runs SET completed_jobs = attempt_jobs + 1, failed_jobs = 0 WHERE run_id = $running`},
	{"runs_jobs", `UPDATE runs SET failed_jobs = -1 WHERE run_id = $running`},
	{"runs_jobs", `UPDATE runs SET attempt_jobs = total_jobs + 1 WHERE run_id = $running`},
	{"runs_total_jobs", `UPDATE runs SET total_jobs = total_jobs + 1 WHERE run_id = $running`},
	{"runs_total_jobs", `UPDATE runs SET mode = 'batch' WHERE run_id = $closed`},
	{"runs_tally", `UPDATE runs SET tally_unfinished = tally_unfinished + 1 WHERE run_id = $running`},
	{"runs_tally", `UPDATE runs SET tally_failed = -1, tally_unfinished = tally_unfinished + tally_failed + 1 WHERE run_id = $running`},
	{"runs_status_tally", `UPDATE runs SET status = 'COMPLETED', reason = '', closed_at = now(), recover_at = NULL WHERE run_id = $running`},
	{"runs_status_tally", `UPDATE runs SET status = 'FAILED', reason = '', closed_at = now(), recover_at = NULL WHERE run_id = $running`},
	{"runs_credits", `UPDATE runs SET credits_consumed = credits_consumed + 1 WHERE run_id = $closed`},
	{"runs_credits", `UPDATE runs SET credits_from_monthly = -1, credits_consumed = credits_from_purchased - 1 WHERE run_id = $closed`},
	{"runs_key", `ALTER TABLE attempts DROP CONSTRAINT attempts_run; ALTER TABLE amendments DROP CONSTRAINT amendments_run;
		UPDATE runs SET run_id = 'new' WHERE run_id = $closed`},
	{"runs_key", `ALTER TABLE attempts DROP CONSTRAINT attempts_run; ALTER TABLE amendments DROP CONSTRAINT amendments_run;
		UPDATE runs SET tenant_id = 'other' WHERE run_id = $closed`},
	{"runs_kept", `DELETE FROM runs WHERE run_id = $closed`},
	{"runs_kept", `TRUNCATE runs CASCADE`},
	{"runs_transition", `UPDATE runs SET status = 'FAILED' WHERE run_id = $closed`},
	{"runs_transition", `UPDATE runs SET status = 'RUNNING', closed_at = NULL, recover_at = now() WHERE status = 'COMPLETED'`},
	{"runs_forward", `UPDATE runs SET epoch = epoch - 1 WHERE run_id = $closed`},
	{"runs_forward", `UPDATE runs SET attempt = attempt - 1 WHERE run_id = $closed`},
	{"runs_forward", `UPDATE runs SET max_retry_count = max_retry_count - 1 WHERE run_id = $closed`},

	{"files_pkey", `INSERT INTO files SELECT * FROM files WHERE run_id = $closed`},
	{"files_run", newFile(`{"run_id": "ghost"}`)},
	{"files_run", newFile(`{"tenant_id": "other"}`)},
	{"files_run", `SET LOCAL session_replication_role = replica; ` + newFile(`{"run_id": "ghost"}`)},
	{"files_run", `WITH known AS (` + newFile(`{"index": 7}`) + `) ` + newFile(`{"run_id": "ghost"}`)},
	{"files_key", `UPDATE files SET run_id = 'ghost' WHERE run_id = $closed AND index = 1`},
	{"files_key", `UPDATE files SET run_id = $running, index = 7 WHERE run_id = $closed AND index = 1`},
	{"files_key", `UPDATE files SET tenant_id = 'other' WHERE run_id = $closed AND index = 1`},
	{"files_key", `UPDATE files SET index = 7 WHERE run_id = $closed AND index = 1`},
	{"files_index", `UPDATE files SET index = -1 WHERE run_id = $closed AND index = 1`},
	{"files_size", `UPDATE files SET size = -1 WHERE run_id = $closed AND index = 1`},
	{"files_status", `UPDATE files SET status = 'lost' WHERE run_id = $closed AND index = 3`},
	{"files_retry_attempt", `UPDATE files SET retry_attempt = max_retry_count + 1 WHERE run_id = $closed AND index = 1`},
	{"files_retry_attempt", `UPDATE files SET free_retries = -1 WHERE run_id = $closed AND index = 1`},
	{"files_retry_attempt", `UPDATE files SET free_retries = retry_attempt + 1 WHERE run_id = $closed AND index = 1`},
	{"files_retry_attempt", `UPDATE files SET retry_attempt = -1 WHERE run_id = $closed AND index = 1`},
	{"files_max_retry_count", `UPDATE files SET max_retry_count = 11 WHERE run_id = $closed AND index = 1`},
	{"files_epoch", `UPDATE files SET epoch = 0 WHERE run_id = $closed AND index = 1`},
	{"files_lease", `UPDATE files SET status = 'processing' WHERE run_id = $closed AND index = 3`},
	{"files_lease", `UPDATE files SET lease_until = now() WHERE run_id = $closed AND index = 3`},
	{"files_redeliveries", `UPDATE files SET redeliveries = -1 WHERE run_id = $closed AND index = 1`},
	{"files_paid_by", `UPDATE files SET paid_by = -1 WHERE run_id = $closed AND index = 1`},
	{"files_output", `UPDATE files SET output = 'x' WHERE run_id = $closed AND index = 1`},
	{"files_failure", `UPDATE files SET status = 'completed', output = 'x', failure_code = 'x' WHERE run_id = $closed AND index = 3`},
	{"files_final", `UPDATE files SET output = 'another result' WHERE run_id = $closed AND index = 0`},
	{"files_final", `UPDATE files SET status = 'pending', output = '' WHERE run_id = $closed AND index = 0`},
	{"files_final", `UPDATE files SET status = 'pending', failure_code = '', failure_message = '' WHERE run_id = $closed AND index = 2`},

	{"attempts_pkey", `INSERT INTO attempts SELECT * FROM attempts WHERE run_id = $closed`},
	{"attempts_run", `INSERT INTO attempts SELECT (r).* FROM (SELECT jsonb_populate_record(a, '{"run_id": "ghost"}') r FROM attempts a WHERE run_id = $closed) x`},
	{"attempts_run", `INSERT INTO attempts SELECT (r).* FROM (SELECT jsonb_populate_record(a, '{"tenant_id": "other"}') r FROM attempts a WHERE run_id = $closed) x`},
	{"attempts_number", newAttempt(`{"attempt": -1}`)},
	{"attempts_epoch", newAttempt(`{"attempt": 7, "epoch": 0}`)},
	{"attempts_jobs", newAttempt(`{"attempt": 7, "jobs": -1}`)},
	{"attempts_role", newAttempt(`{"attempt": 7, "requested_by_role": "king"}`)},
	{"attempts_price", newAttempt(`{"attempt": 7, "price": -1}`)},
	{"attempts_charge", newAttempt(`{"attempt": 7, "charge_monthly": -1}`)},
	{"attempts_charge", newAttempt(`{"attempt": 7, "charge_key": null}`)},
	{"attempts_charge", newAttempt(`{"attempt": 7, "charge_monthly": 0, "charge_purchased": 0}`)},
	{"attempts_before", newAttempt(`{"attempt": 7, "before_status": "RUNNING"}`)},
	{"attempts_before_initiation", newAttempt(`{"attempt": 7, "before_status": null}`)},
	{"attempts_all_files", newAttempt(`{"attempt": 7, "all_files": 3}`)},
	{"attempts_all_files", `INSERT INTO attempts SELECT (r).* FROM (SELECT jsonb_populate_record(a, '{"attempt": -1, "all_files": -1, "before_status": null}') r FROM attempts a WHERE run_id = $closed AND attempt = 0) x`},
	{"attempts_kept", `DELETE FROM attempts WHERE run_id = $closed`},
	{"attempts_only_compensated", `UPDATE attempts SET price = 0 WHERE run_id = $closed AND attempt = 0`},
	{"attempts_only_compensated", `UPDATE attempts SET compensated_at = NULL WHERE run_id = $closed AND attempt = 1`},

	{"attempt_files_pkey", `INSERT INTO attempt_file_rows SELECT * FROM attempt_file_rows WHERE run_id = $closed`},
	{"attempt_files_attempt", newAttemptFile(`{"attempt": 7}`)},
	{"attempt_files_attempt", newAttemptFile(`{"attempt": 0, "before_status": null}`)},
	{"attempt_files_attempt", `INSERT INTO attempt_files SELECT tenant_id, run_id, 7, 0, false, NULL, 0, 0, 0, '', '' FROM runs WHERE run_id = $closed`},
	{"attempt_files_pkey", `INSERT INTO attempt_files SELECT * FROM attempt_files WHERE run_id = $closed AND attempt = 1`},
	{"attempt_files_before", newAttemptFile(`{"index": 7, "before_status": "completed"}`)},
	{"attempt_files_before_initiation", newAttemptFile(`{"index": 7, "attempt": 0}`)},
	{"attempt_files_charged", newAttemptFile(`{"index": 7, "before_status": "pending", "charged": true}`)},
	{"attempt_files_numbers", newAttemptFile(`{"index": 7, "before_retry_attempt": 11}`)},
	{"attempt_files_numbers", newAttemptFile(`{"index": 7, "before_free_retries": 1}`)},
	{"attempt_files_append_only", `UPDATE attempt_file_rows SET charged = false`},

	{"amendments_pkey", `INSERT INTO amendments OVERRIDING SYSTEM VALUE SELECT * FROM amendments`},
	{"amendments_run", newAmendment(`'ghost', 3, 4, 'bubble_admin'`)},
	{"amendments_role", newAmendment(`$closed, 3, 4, 'king'`)},
	{"amendments_raise", newAmendment(`$closed, 4, 4, 'bubble_admin'`)},
	{"amendments_raise", newAmendment(`$closed, 4, 11, 'bubble_admin'`)},
	{"amendments_append_only", `DELETE FROM amendments`},

	{"tenants_suspended", `UPDATE tenants SET suspended_reason = 'unpaid'`},
	{"tenants_suspended", `UPDATE tenants SET suspended_at = now()`},

	{"audit_log_pkey", `INSERT INTO audit_log SELECT * FROM audit_log`},
	{"audit_log_tenant", newAudit(`{"tenant_id": "ghost"}`)},
	{"audit_log_id", newAudit(`{"event_id": ""}`)},
	{"audit_log_role", newAudit(`{"actor_role": "king"}`)},
	{"audit_log_action", newAudit(`{"action": ""}`)},
	{"audit_log_target", newAudit(`{"target": ""}`)},
	{"audit_log_facts", newAudit(`{"facts": []}`)},
	{"audit_log_request", newAudit(`{"request_id": "0123456789012345678901234567890123456789012345678901234567890123456789"}`)},
	{"audit_log_append_only", `UPDATE audit_log SET at = now()`},
	{"audit_log_append_only", `DELETE FROM audit_log`},
	{"audit_log_append_only", `TRUNCATE audit_log`},

	{"ledger_pkey", newEntry("purchase", `{"key": "new", "seq": 1}`)},
	{"ledger_key", newEntry("purchase", `{}`)},
	{"ledger_key", newEntry("charge", `{}`)},
	{"ledger_credits", newEntry("purchase", `{"tenant_id": "ghost"}`)},
	{"ledger_attempt", newEntry("charge", `{"key": "charge/ghost/1", "run_id": "ghost"}`)},
	{"ledger_attempt", newEntry("charge", `{"tenant_id": "other"}`)},
	{"ledger_refunded_once", newEntry("refund", `{"key": "again"}`)},
	{"ledger_reason", newEntry("purchase", `{"key": "again", "reason": "r"}`)},
	{"ledger_refund_exact", newEntry("refund", `{"key": "again", "reason": "r"}`)},
	{"ledger_refund_exact", newEntry("refund", `{"key": "again", "charge_key": "ghost"}`)},
	{"ledger_refund_exact", newEntry("refund", `{"key": "again", "charge_key": "client/opening"}`)},
	{"ledger_refund_exact", newEntry("refund", `{"key": "again", "monthly": 1}`)},
	{"ledger_refund_exact", newEntry("refund", `{"key": "again", "period": "2026-04"}`)},
	{"ledger_refund_exact", newEntry("refund", `{"key": "again", "attempt": 0}`)},
	{"ledger_charge", `ALTER TABLE ledger DISABLE TRIGGER ledger_refund_exact; ` + newEntry("refund", `{"key": "again", "charge_key": "ghost"}`)},
	{"ledger_seq", newEntry("purchase", `{"key": "new", "seq": 0}`)},
	{"ledger_key_form", newEntry("purchase", `{"key": ""}`)},
	{"ledger_kind", newEntry("purchase", `{"key": "new", "kind": "gift"}`)},
	{"ledger_role", newEntry("purchase", `{"key": "new", "actor_role": "king"}`)},
	{"ledger_period", newEntry("purchase", `{"key": "new", "period": "2026-3"}`)},
	{"ledger_amount", newEntry("purchase", `{"key": "new", "purchased": -1}`)},
	{"ledger_amount", newEntry("purchase", `{"key": "new", "purchased": 0}`)},
	{"ledger_amount", newEntry("charge", `{"key": "charge/$running/0", "purchased": 9223372036854775807, "monthly": 1}`)},
	{"ledger_grant", newEntry("purchase", `{"key": "new", "monthly": 1}`)},
	{"ledger_grant", newEntry("allowance", `{"key": "new", "purchased": 1}`)},
	{"ledger_of_attempt", newEntry("purchase", `{"key": "new", "run_id": "r", "attempt": 0}`)},
	{"ledger_of_attempt", newEntry("charge", `{"attempt": null}`)},
	{"ledger_of_charge", newEntry("purchase", `{"key": "new", "charge_key": "client/opening"}`)},
	{"ledger_charge_key", newEntry("charge", `{"key": "a second charge of the attempt"}`)},
	{"ledger_append_only", `UPDATE ledger SET monthly = 0`},

	{"answers_pkey", `INSERT INTO answers SELECT * FROM answers`},
	{"answers_tenant", `INSERT INTO answers VALUES ('ghost', 'k', 'continue', '', '{}', NULL, now())`},
	{"answers_operation", `INSERT INTO answers VALUES ('acme', 'k', 'delete', '', '{}', NULL, now())`},
	{"answers_something", `INSERT INTO answers VALUES ('acme', 'k', 'continue', '', NULL, NULL, now())`},

	{"replies_pkey", `INSERT INTO replies VALUES ('acme', 'cancel', 'k', '', '{}', NULL, now()), ('acme', 'cancel', 'k', '', '[]', NULL, now())`},
	{"replies_tenant", `INSERT INTO replies VALUES ('ghost', 'cancel', 'k', '', '{}', NULL, now())`},
	{"replies_operation", `INSERT INTO replies VALUES ('acme', '', 'k', '', '{}', NULL, now())`},
	{"credits_low", `UPDATE credits SET low_credits = -1`},
	{"webhook_endpoints_pkey", newEndpoint("'acme', 'e', 'u', '', '{run.closed}', true, '', NULL") + ", " + endpointValues("'acme', 'e', 'u', '', '{run.closed}', true, '', NULL")},
	{"webhook_endpoints_tenant", newEndpoint("'ghost', 'e', 'u', '', '{run.closed}', true, '', NULL")},
	{"webhook_endpoints_id", newEndpoint("'acme', '', 'u', '', '{run.closed}', true, '', NULL")},
	{"webhook_endpoints_types", newEndpoint("'acme', 'e', 'u', '', '{}', true, '', NULL")},
	{"webhook_endpoints_pause", newEndpoint("'acme', 'e', 'u', '', '{run.closed}', false, 'tired', now()")},
	{"webhook_endpoints_paused", newEndpoint("'acme', 'e', 'u', '', '{run.closed}', true, 'by_hand', NULL")},
	{"webhook_endpoints_collects", newEndpoint("'acme', 'e', 'u', '', '{run.closed}', true, 'gone', now()")},
	{"webhook_deliveries_pkey", newDelivery("'pending', 0, 0, now()") + ", " + deliveryValues("'pending', 0, 0, now()")},
	{"webhook_deliveries_status", newDelivery("'lost', 0, 0, NULL")},
	{"webhook_deliveries_due", newDelivery("'delivered', 1, 0, now()")},
}

// The helpers copy a row of their kind with some columns changed.

func newAPIKey(values string) string { return `INSERT INTO api_keys VALUES (` + values + `)` }

func newSession(values, lasts string) string {
	return `INSERT INTO sessions VALUES (` + values + `, now(), now(), now() + interval '` + lasts + `')`
}

func newEndpoint(values string) string {
	return `INSERT INTO webhook_endpoints VALUES ` + endpointValues(values)
}

func endpointValues(values string) string {
	return `(` + values + `, 'whsec', '', NULL, NULL, NULL, 's', '', 'bubble_admin', now(), now())`
}

func newDelivery(values string) string {
	return `INSERT INTO webhook_deliveries VALUES ` + deliveryValues(values)
}

func deliveryValues(values string) string {
	return `('acme', 'e', 'evt', 'run.closed', NULL, now(), '{}', ` + values + `, '[]')`
}

func newFile(change string) string {
	return `INSERT INTO files SELECT (r).* FROM (SELECT jsonb_populate_record(f, '` + change + `') r FROM files f WHERE run_id = $closed AND index = 1) x`
}

func newAttempt(change string) string {
	return `INSERT INTO attempts SELECT (r).* FROM (SELECT jsonb_populate_record(a, '` + change + `') r FROM attempts a WHERE run_id = $closed AND attempt = 1) x`
}

func newAttemptFile(change string) string {
	return `INSERT INTO attempt_file_rows SELECT (r).* FROM (SELECT jsonb_populate_record(a, '` + change + `') r FROM attempt_file_rows a WHERE run_id = $closed AND attempt = 1 AND before_status = 'failed') x`
}

func newEntry(kind, change string) string {
	return `INSERT INTO ledger SELECT (r).* FROM (SELECT jsonb_populate_record(l, '{"seq": 1000}'::jsonb || '` + change + `') r FROM ledger l
	 WHERE tenant_id = 'acme' AND kind = '` + kind + `' ORDER BY seq DESC LIMIT 1) x`
}

// newAudit is an event like one that is there, but for what is changed.
func newAudit(change string) string {
	return `INSERT INTO audit_log SELECT (r).* FROM (SELECT jsonb_populate_record(a, '{"event_id": "new"}'::jsonb || '` + change + `') r FROM audit_log a WHERE action = 'tenant.created' AND tenant_id = 'acme') x`
}

func newAmendment(values string) string {
	return `INSERT INTO amendments (tenant_id, by_subject, by_tenant, at, run_id, max_retry_count_from, max_retry_count_to, by_role)
	 VALUES ('acme', 's', '', now(), ` + values + `)`
}

func TestIllegalWrites(t *testing.T) {
	t.Parallel()
	w := newWorld(t, postgres.Config{}, noExecution)
	w.AddTenant(t, "other")
	ctx := bounded(t)
	w.Settled(t, 1, func(int) core.Outcome { return core.OutcomeCompleted })
	closed := w.Settled(t, 4, func(i int) core.Outcome {
		return map[int]core.Outcome{0: core.OutcomeCompleted, 1: core.OutcomeTransient, 2: core.OutcomePermanent}[i]
	})
	_, err := w.Cancel(ctx, admin, closed.ID)
	require.NoError(t, err)
	running, err := w.Start(ctx, "acme", 3)
	require.NoError(t, err)
	_, err = w.RaiseMaxRetryCount(ctx, admin, closed.ID, 4)
	require.NoError(t, err)
	w.Queue.FailWith(func() error { return errQueueDown })
	_, err = w.RetryFailed(ctx, customer, closed.ID, app.RetryRequest{IdempotencyKey: "key-1"})
	require.ErrorIs(t, err, errQueueDown)
	w.requireInvariants(t)

	refusals := map[string]bool{}
	for _, illegal := range illegalWrites {
		sql := strings.NewReplacer(
			"/$running/", "/"+string(running.ID)+"/", "$closed", "'"+string(closed.ID)+"'", "$running", "'"+string(running.ID)+"'",
		).Replace(illegal.sql)
		tx, err := w.pool.Begin(ctx)
		require.NoError(t, err)
		_, err = tx.Exec(ctx, sql)
		require.NoError(t, tx.Rollback(ctx))
		var pg *pgconn.PgError
		require.ErrorAs(t, err, &pg, "allowed: %s", sql)
		require.Equal(t, illegal.guard, pg.ConstraintName, "%s: %s", sql, pg.Message)
		refusals[illegal.guard] = true
	}
	for _, guard := range names(t, w.pool, `
		SELECT conname::text FROM pg_constraint k WHERE connamespace = 'public'::regnamespace AND conrelid <> 'schema_migrations'::regclass
		   AND contype IN ('c', 'f', 'p', 'u') AND conname NOT LIKE '%_valid'
		 UNION SELECT tgname::text FROM pg_trigger WHERE NOT tgisinternal AND tgtype & 64 = 0 AND tgname NOT LIKE '%_valid'
		 UNION SELECT (regexp_matches(p.prosrc, 'THEN ''([a-z_]+)''', 'g'))[1]
		         FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid WHERE t.tgname LIKE '%_valid'
		 UNION SELECT (regexp_matches(p.prosrc, 'THEN ''([a-z_]+)''', 'g'))[1]
		         FROM pg_constraint k JOIN pg_depend d ON d.objid = k.oid AND d.refclassid = 'pg_proc'::regclass
		         JOIN pg_proc p ON p.oid = d.refobjid WHERE k.conname LIKE '%_valid'`) {
		require.True(t, refusals[guard], "no illegal write shows that %s works", guard)
	}
}

func newTicket(values, lasts string) string {
	return `INSERT INTO event_tickets VALUES (` + values + `, now(), now() + interval '` + lasts + `')`
}
