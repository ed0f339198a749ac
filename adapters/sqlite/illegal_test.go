package sqlite_test

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/core"
	"github.com/redrive/redrive/core/app"
)

// illegalWrites are refused by the database itself, each by the guard that it is written
// for. $closed is an interrupted run whose attempt 1 was compensated: file 0 is completed,
// 1 failed, 2 error, 3 pending. $running is a running run. Another tenant, "other", has
// nothing but itself and its templates.
var illegalWrites = []struct{ guard, sql string }{
	{"tenants_pkey", `INSERT INTO tenants VALUES ('acme', 'twice', 0, 0, NULL, '')`},
	{"tenants_id", `INSERT INTO tenants VALUES ('', 'nobody', 0, 0, NULL, '')`},
	{"tenants_allowance", `UPDATE tenants SET monthly_allowance = -1`},

	{"moves_pkey", `INSERT INTO moves VALUES ('acme', 'm', 'arrived', 0, 0), ('acme', 'm', 'arrived', 0, 0)`},
	{"moves_state", `INSERT INTO moves VALUES ('acme', 'm', 'lost', 1, 0)`},
	{"moves_closed", `INSERT INTO moves VALUES ('acme', 'm', 'leaving', 0, 0)`},

	{"event_tickets_pkey", newTicket(`hex(zeroblob(32)), 'acme', 's', 'customer_user', 0, 1`) + `, (hex(zeroblob(32)), 'acme', 's', 'customer_user', 0, 1)`},
	{"event_tickets_id", newTicket(`'short', 'acme', 's', 'customer_user', 0, 1`)},
	{"event_tickets_role", newTicket(`hex(zeroblob(32)), 'acme', 's', 'king', 0, 1`)},
	{"event_tickets_tenant", newTicket(`hex(zeroblob(32)), '', 's', 'customer_user', 0, 1`)},
	{"event_tickets_subject", newTicket(`hex(zeroblob(32)), 'acme', '', 'customer_user', 0, 1`)},
	{"event_tickets_times", newTicket(`hex(zeroblob(32)), 'acme', 's', 'customer_user', 0, 0`)},
	{"sessions_pkey", newSession(`hex(zeroblob(32)), 'acme', 's', 'customer_user', 'token', 0, 0, 1`) + `, (hex(zeroblob(32)), 'acme', 's', 'customer_user', 'token', 0, 0, 1)`},
	{"sessions_id", newSession(`'short', 'acme', 's', 'customer_user', 'token', 0, 0, 1`)},
	{"sessions_role", newSession(`hex(zeroblob(32)), 'acme', 's', 'king', 'token', 0, 0, 1`)},
	{"sessions_tenant", newSession(`hex(zeroblob(32)), '', 's', 'customer_user', 'token', 0, 0, 1`)},
	{"sessions_subject", newSession(`hex(zeroblob(32)), 'acme', '', 'customer_user', 'token', 0, 0, 1`)},
	{"sessions_via", newSession(`hex(zeroblob(32)), 'acme', 's', 'customer_user', '', 0, 0, 1`)},
	{"sessions_times", newSession(`hex(zeroblob(32)), 'acme', 's', 'customer_user', 'token', 0, 0, 0`)},

	{"api_keys_pkey", newAPIKey(`'acme', 'k', 'n', 'customer_user', printf('%064d', 0), 's', '', 'bubble_admin', 1, 2, 1, 1`) + `, ('acme', 'k', 'n', 'customer_user', printf('%064d', 0), 's', '', 'bubble_admin', 1, 2, 1, 1)`},
	{"api_keys_tenant", newAPIKey(`'ghost', 'k', 'n', 'customer_user', printf('%064d', 0), 's', '', 'bubble_admin', 1, 2, 1, 1`)},
	{"api_keys_id", newAPIKey(`'acme', '', 'n', 'customer_user', printf('%064d', 0), 's', '', 'bubble_admin', 1, 2, 1, 1`)},
	{"api_keys_hash", newAPIKey(`'acme', 'k', 'n', 'customer_user', 'rdk_acme_a_token', 's', '', 'bubble_admin', 1, 2, 1, 1`)},
	{"api_keys_role", newAPIKey(`'acme', 'k', 'n', 'king', printf('%064d', 0), 's', '', 'bubble_admin', 1, 2, 1, 1`)},
	{"api_keys_by_role", newAPIKey(`'acme', 'k', 'n', 'customer_user', printf('%064d', 0), 's', '', 'king', 1, 2, 1, 1`)},
	{"api_keys_times", newAPIKey(`'acme', 'k', 'n', 'customer_user', printf('%064d', 0), 's', '', 'bubble_admin', 1, 1, NULL, NULL`)},
	{"api_keys_times", newAPIKey(`'acme', 'k', 'n', 'customer_user', printf('%064d', 0), 's', '', 'bubble_admin', 1, 2, 0, NULL`)},

	{"credits_pkey", `INSERT INTO credits (tenant_id) VALUES ('acme')`},
	{"credits_tenant", `INSERT INTO credits (tenant_id) VALUES ('ghost')`},
	{"credits_purchased", `UPDATE credits SET purchased = -1`},
	{"credits_last_seq", `UPDATE credits SET last_seq = -1`},
	{"allowances_pkey", `INSERT INTO allowances VALUES ('acme', '2026-03', 5)`},
	{"allowances_credits", `INSERT INTO allowances VALUES ('ghost', '2026-03', 5)`},
	{"allowances_period", `INSERT INTO allowances VALUES ('acme', '2026-13', 5)`},
	{"allowances_period", `INSERT INTO allowances VALUES ('acme', '2026-04' || char(0) || 'x', 5)`},
	{"allowances_left", `UPDATE allowances SET monthly_left = -1`},

	{"templates_pkey", like("templates", `tenant_id = 'acme'`, nil)},
	{"templates_tenant", like("templates", `tenant_id = 'acme'`, row{"tenant_id": `'ghost'`})},
	{"templates_id", like("templates", `tenant_id = 'acme'`, row{"template_id": `''`})},
	{"templates_price", `UPDATE templates SET credits_per_run = -1`},
	{"templates_mode", `UPDATE templates SET mode = 'one_by_one'`},
	{"templates_status", `UPDATE templates SET status = 'deleted'`},
	{"templates_version", `UPDATE templates SET version = 0`},
	{"template_versions_pkey", like("template_versions", `tenant_id = 'acme'`, nil)},
	{"template_versions_template", like("template_versions", `tenant_id = 'acme'`, row{"template_id": `'ghost'`})},
	{"template_versions_number", like("template_versions", `tenant_id = 'acme'`, row{"version": `0`})},
	{"template_versions_role", like("template_versions", `tenant_id = 'acme'`, row{"version": `99`, "by_role": `'king'`})},
	{"template_versions_kept", `UPDATE template_versions SET instructions = 'others'`},
	{"template_versions_kept", `DELETE FROM template_versions`},
	{"template_versions_kept", `INSERT OR REPLACE ` + strings.TrimPrefix(like("template_versions", `tenant_id = 'acme'`, nil), `INSERT `)},

	{"run_owners_pkey", `INSERT INTO run_owners VALUES ($closed, 'other')`},
	{"run_owners_id", `INSERT INTO run_owners VALUES ('', 'acme')`},

	{"runs_pkey", like("runs", `run_id = $closed`, nil)},
	{"runs_template", `UPDATE runs SET template_id = 'ghost' WHERE run_id = $closed`},
	{"runs_mode", `UPDATE runs SET mode = 'stream' WHERE run_id = $closed`},
	{"runs_status", `UPDATE runs SET status = 'PAUSED', closed_at = 1, recover_at = NULL WHERE run_id = $running`},
	{"runs_reason", `UPDATE runs SET reason = 'bored' WHERE run_id = $closed`},
	{"runs_failure", `UPDATE runs SET reason = 'service_fault' WHERE run_id = $closed`},
	{"runs_failure", `UPDATE runs SET failure_code = 'x' WHERE run_id = $closed`},
	{"runs_template_version", `UPDATE runs SET template_version = 0 WHERE run_id = $closed`},
	{"runs_reason_running", `UPDATE runs SET reason = 'cancelled' WHERE run_id = $running`},
	{"runs_dispatch", `UPDATE runs SET dispatch = 'perhaps' WHERE run_id = $closed`},
	{"runs_role", `UPDATE runs SET created_by_role = 'king' WHERE run_id = $closed`},
	{"runs_closed_at", `UPDATE runs SET closed_at = NULL WHERE run_id = $closed`},
	{"runs_closed_at", `UPDATE runs SET closed_at = 1 WHERE run_id = $running`},
	{"runs_recover_at", `UPDATE runs SET recover_at = NULL WHERE run_id = $running`},
	{"runs_max_retry_count", `UPDATE runs SET max_retry_count = 11 WHERE run_id = $closed`},
	{"runs_attempt", like("runs", `run_id = $closed`, row{"run_id": `'new'`, "attempt": `-1`})},
	{"runs_epoch", like("runs", `run_id = $closed`, row{"run_id": `'new'`, "epoch": `0`})},
	{"runs_redispatches", `UPDATE runs SET redispatches = -1 WHERE run_id = $closed`},
	{"runs_jobs", `UPDATE runs SET completed_jobs = attempt_jobs + 1, failed_jobs = 0 WHERE run_id = $running`},
	{"runs_jobs", `UPDATE runs SET failed_jobs = -1 WHERE run_id = $running`},
	{"runs_jobs", `UPDATE runs SET attempt_jobs = total_jobs + 1 WHERE run_id = $running`},
	{"runs_total_jobs", `UPDATE runs SET total_jobs = total_jobs + 1 WHERE run_id = $running`},
	{"runs_total_jobs", `UPDATE runs SET mode = 'batch' WHERE run_id = $closed`},
	{"runs_tally", `UPDATE runs SET tally_unfinished = tally_unfinished + 1 WHERE run_id = $running`},
	{"runs_tally", `UPDATE runs SET tally_failed = -1, tally_unfinished = tally_unfinished + tally_failed + 1 WHERE run_id = $running`},
	{"runs_status_tally", `UPDATE runs SET status = 'COMPLETED', reason = '', closed_at = 1, recover_at = NULL WHERE run_id = $running`},
	{"runs_status_tally", `UPDATE runs SET status = 'FAILED', reason = '', closed_at = 1, recover_at = NULL WHERE run_id = $running`},
	{"runs_status_tally", like("runs", `run_id = $running`, row{"run_id": `'new'`, "status": `'COMPLETED'`, "closed_at": `1`, "recover_at": `NULL`})},
	{"runs_credits", `UPDATE runs SET credits_consumed = credits_consumed + 1 WHERE run_id = $closed`},
	{"runs_credits", `UPDATE runs SET credits_from_monthly = -1, credits_consumed = credits_from_purchased - 1 WHERE run_id = $closed`},
	{"runs_key", `UPDATE runs SET run_id = 'new' WHERE run_id = $closed`},
	{"runs_key", `UPDATE runs SET tenant_id = 'other' WHERE run_id = $closed`},
	{"runs_kept", `DELETE FROM runs WHERE run_id = $closed`},
	{"runs_kept", `DELETE FROM runs`},
	{"runs_transition", `UPDATE runs SET status = 'FAILED', tally_unfinished = 0, tally_completed = 0, tally_failed = file_count, tally_error = 0 WHERE run_id = $closed`},
	{"runs_transition", `UPDATE runs SET status = 'RUNNING', closed_at = NULL, recover_at = 1, tally_unfinished = file_count, tally_completed = 0 WHERE status = 'COMPLETED'`},
	{"runs_forward", `UPDATE runs SET epoch = epoch - 1 WHERE run_id = $closed`},
	{"runs_forward", `UPDATE runs SET attempt = attempt - 1 WHERE run_id = $closed`},
	{"runs_forward", `UPDATE runs SET max_retry_count = max_retry_count - 1 WHERE run_id = $closed`},

	{"files_pkey", like("files", `run_id = $closed AND file_index = 1`, nil)},
	{"files_run", like("files", `run_id = $closed AND file_index = 1`, row{"run_id": `'ghost'`})},
	{"files_run", like("files", `run_id = $closed AND file_index = 1`, row{"tenant_id": `'other'`})},
	{"files_key", `UPDATE files SET run_id = 'ghost' WHERE run_id = $closed AND file_index = 1`},
	{"files_key", `UPDATE files SET tenant_id = 'other' WHERE run_id = $closed AND file_index = 1`},
	{"files_key", `UPDATE files SET file_index = 7 WHERE run_id = $closed AND file_index = 1`},
	{"files_kept", `DELETE FROM files WHERE run_id = $closed`},
	{"files_index", like("files", `run_id = $closed AND file_index = 1`, row{"file_index": `-1`})},
	{"files_size", `UPDATE files SET size = -1 WHERE run_id = $closed AND file_index = 1`},
	{"files_status", `UPDATE files SET status = 'lost' WHERE run_id = $closed AND file_index = 3`},
	{"files_retry_attempt", `UPDATE files SET retry_attempt = max_retry_count + 1 WHERE run_id = $closed AND file_index = 1`},
	{"files_retry_attempt", `UPDATE files SET free_retries = -1 WHERE run_id = $closed AND file_index = 1`},
	{"files_retry_attempt", `UPDATE files SET free_retries = retry_attempt + 1 WHERE run_id = $closed AND file_index = 1`},
	{"files_retry_attempt", `UPDATE files SET retry_attempt = -1 WHERE run_id = $closed AND file_index = 1`},
	{"files_max_retry_count", `UPDATE files SET max_retry_count = 11 WHERE run_id = $closed AND file_index = 1`},
	{"files_epoch", `UPDATE files SET epoch = 0 WHERE run_id = $closed AND file_index = 1`},
	{"files_lease", `UPDATE files SET status = 'processing' WHERE run_id = $closed AND file_index = 3`},
	{"files_lease", `UPDATE files SET lease_until = 1 WHERE run_id = $closed AND file_index = 3`},
	{"files_redeliveries", `UPDATE files SET redeliveries = -1 WHERE run_id = $closed AND file_index = 1`},
	{"files_paid_by", `UPDATE files SET paid_by = -1 WHERE run_id = $closed AND file_index = 1`},
	{"files_output", `UPDATE files SET output_bytes = 1 WHERE run_id = $closed AND file_index = 1`},
	{"files_failure", `UPDATE files SET status = 'completed', failure_code = 'x' WHERE run_id = $closed AND file_index = 3`},
	{"files_final", `UPDATE files SET output_bytes = output_bytes + 1 WHERE run_id = $closed AND file_index = 0`},
	{"files_final", `UPDATE files SET status = 'pending', output_bytes = 0 WHERE run_id = $closed AND file_index = 0`},
	{"files_final", `UPDATE files SET status = 'pending', failure_code = '', failure_message = '' WHERE run_id = $closed AND file_index = 2`},

	{"outputs_pkey", like("outputs", `run_id = $closed`, nil)},
	{"outputs_file", `INSERT INTO outputs VALUES ('acme', 'ghost', 0, 'x')`},
	{"outputs_something", `INSERT INTO outputs VALUES ('acme', $closed, 1, '')`},
	{"outputs_file_completed", `INSERT INTO outputs VALUES ('acme', $closed, 1, 'x')`},
	{"outputs_final", `UPDATE outputs SET output = 'another result' WHERE run_id = $closed`},
	{"outputs_final", `DELETE FROM outputs`},

	{"attempts_pkey", like("attempts", `run_id = $closed AND attempt = 1`, nil)},
	{"attempts_run", newAttempt(row{"run_id": `'ghost'`})},
	{"attempts_run", newAttempt(row{"tenant_id": `'other'`})},
	{"attempts_number", newAttempt(row{"attempt": `-1`})},
	{"attempts_epoch", newAttempt(row{"attempt": `7`, "epoch": `0`})},
	{"attempts_jobs", newAttempt(row{"attempt": `7`, "jobs": `-1`})},
	{"attempts_role", newAttempt(row{"attempt": `7`, "requested_by_role": `'king'`})},
	{"attempts_price", newAttempt(row{"attempt": `7`, "price": `-1`})},
	{"attempts_charge", newAttempt(row{"attempt": `7`, "charge_monthly": `-1`})},
	{"attempts_charge", newAttempt(row{"attempt": `7`, "charge_key": `NULL`})},
	{"attempts_charge", newAttempt(row{"attempt": `7`, "charge_monthly": `0`, "charge_purchased": `0`})},
	{"attempts_before", newAttempt(row{"attempt": `7`, "before_status": `'RUNNING'`})},
	{"attempts_before_initiation", newAttempt(row{"attempt": `7`, "before_status": `NULL`})},
	{"attempts_all_files", newAttempt(row{"attempt": `7`, "all_files": `3`})},
	{"attempts_kept", `DELETE FROM attempts WHERE run_id = $closed`},
	{"attempts_only_compensated", `UPDATE attempts SET price = 0 WHERE run_id = $closed AND attempt = 0`},
	{"attempts_only_compensated", `UPDATE attempts SET compensated_at = NULL WHERE run_id = $closed AND attempt = 1`},

	{"attempt_files_pkey", like("attempt_file_rows", `run_id = $closed`, nil)},
	{"attempt_files_attempt", newAttemptFile(row{"attempt": `7`})},
	{"attempt_files_of_all", newAttemptFile(row{"attempt": `0`, "before_status": `NULL`})},
	{"attempt_files_flag", newAttemptFile(row{"file_index": `7`, "charged": `2`})},
	{"attempt_files_before", newAttemptFile(row{"file_index": `7`, "before_status": `'completed'`})},
	{"attempt_files_before_initiation", newAttemptFile(row{"attempt": `-1`})},
	{"attempt_files_charged", newAttemptFile(row{"file_index": `7`, "before_status": `'pending'`, "charged": `1`})},
	{"attempt_files_numbers", newAttemptFile(row{"file_index": `7`, "before_retry_attempt": `11`})},
	{"attempt_files_numbers", newAttemptFile(row{"file_index": `7`, "before_free_retries": `1`})},
	{"attempt_files_append_only", `UPDATE attempt_file_rows SET charged = 0`},
	{"attempt_files_append_only", `DELETE FROM attempt_file_rows`},

	{"amendments_run", like("amendments", `true`, row{"amendment_id": `NULL`, "run_id": `'ghost'`})},
	{"amendments_role", like("amendments", `true`, row{"amendment_id": `NULL`, "by_role": `'king'`})},
	{"amendments_raise", like("amendments", `true`, row{"amendment_id": `NULL`, "max_retry_count_from": `4`})},
	{"amendments_raise", like("amendments", `true`, row{"amendment_id": `NULL`, "max_retry_count_to": `11`})},
	{"amendments_append_only", `UPDATE amendments SET at = 0`},
	{"amendments_append_only", `DELETE FROM amendments`},

	{"tenants_suspended", `UPDATE tenants SET suspended_reason = 'unpaid'`},
	{"tenants_suspended", `UPDATE tenants SET suspended_at = 1`},

	{"audit_log_pkey", like("audit_log", `true`, nil)},
	{"audit_log_tenant", like("audit_log", `true`, row{"tenant_id": `'ghost'`})},
	{"audit_log_id", like("audit_log", `true`, row{"event_id": `''`})},
	{"audit_log_role", like("audit_log", `true`, row{"event_id": `'new'`, "actor_role": `'king'`})},
	{"audit_log_action", like("audit_log", `true`, row{"event_id": `'new'`, "action": `''`})},
	{"audit_log_target", like("audit_log", `true`, row{"event_id": `'new'`, "target": `''`})},
	{"audit_log_facts", like("audit_log", `true`, row{"event_id": `'new'`, "facts": `'{'`})},
	{"audit_log_request", like("audit_log", `true`, row{"event_id": `'new'`, "request_id": `hex(zeroblob(33))`})},
	{"audit_log_append_only", `UPDATE audit_log SET at = 0`},
	{"audit_log_append_only", `DELETE FROM audit_log`},

	{"ledger_pkey", newEntry("purchase", row{"key": `'new'`, "seq": `1`})},
	{"ledger_key", newEntry("purchase", nil)},
	{"ledger_key", newEntry("charge", nil)},
	{"ledger_credits", newEntry("purchase", row{"tenant_id": `'ghost'`})},
	{"ledger_attempt", newEntry("charge", row{"key": `'charge/ghost/1'`, "run_id": `'ghost'`})},
	{"ledger_attempt", newEntry("charge", row{"tenant_id": `'other'`})},
	{"ledger_refunded_once", newEntry("refund", row{"key": `'again'`})},
	{"ledger_reason", newEntry("purchase", row{"key": `'again'`, "reason": `'r'`})},
	{"ledger_refund_exact", newEntry("refund", row{"key": `'again'`, "reason": `'r'`})},
	{"ledger_refund_exact", newEntry("refund", row{"key": `'again'`, "charge_key": `'ghost'`})},
	{"ledger_refund_exact", newEntry("refund", row{"key": `'again'`, "charge_key": `'client/opening'`})},
	{"ledger_refund_exact", newEntry("refund", row{"key": `'again'`, "monthly": `1`})},
	{"ledger_refund_exact", newEntry("refund", row{"key": `'again'`, "period": `'2026-04'`})},
	{"ledger_refund_exact", newEntry("refund", row{"key": `'again'`, "attempt": `0`})},
	{"ledger_charge", `DROP TRIGGER ledger_refund_exact; ` + newEntry("refund", row{"key": `'again'`, "charge_key": `'ghost'`})},
	{"ledger_seq", newEntry("purchase", row{"key": `'new'`, "seq": `0`})},
	{"ledger_key_form", newEntry("purchase", row{"key": `''`})},
	{"ledger_kind", newEntry("purchase", row{"key": `'new'`, "kind": `'gift'`})},
	{"ledger_role", newEntry("purchase", row{"key": `'new'`, "actor_role": `'king'`})},
	{"ledger_period", newEntry("purchase", row{"key": `'new'`, "period": `'2026-3'`})},
	{"ledger_amount", newEntry("purchase", row{"key": `'new'`, "purchased": `-1`})},
	{"ledger_amount", newEntry("purchase", row{"key": `'new'`, "purchased": `0`})},
	{"ledger_amount", newEntry("charge", row{"key": `'charge/' || run_id || '/7'`, "attempt": `7`, "purchased": `9223372036854775807`, "monthly": `1`})},
	{"ledger_grant", newEntry("purchase", row{"key": `'new'`, "monthly": `1`})},
	{"ledger_grant", newEntry("allowance", row{"key": `'new'`, "purchased": `1`})},
	{"ledger_of_attempt", newEntry("purchase", row{"key": `'new'`, "run_id": `'r'`, "attempt": `0`})},
	{"ledger_of_attempt", newEntry("charge", row{"attempt": `NULL`})},
	{"ledger_of_charge", newEntry("purchase", row{"key": `'new'`, "charge_key": `'client/opening'`})},
	{"ledger_charge_key", newEntry("charge", row{"key": `'a second charge of the attempt'`})},
	{"ledger_append_only", `UPDATE ledger SET monthly = 0`},
	{"ledger_append_only", `DELETE FROM ledger`},
	{"ledger_append_only", `INSERT OR REPLACE ` + strings.TrimPrefix(newEntry("purchase", nil), `INSERT `)},

	{"bulk_continues_pkey", `INSERT INTO bulk_continues VALUES ('b', 'acme', NULL, 'running', 0, 0, 0, 0, '{}'), ('b', 'acme', NULL, 'running', 0, 0, 0, 0, '{}')`},
	{"bulk_continues_key", `INSERT INTO bulk_continues VALUES ('b', 'acme', 'k', 'running', 0, 0, 0, 0, '{}'), ('c', 'acme', 'k', 'running', 0, 0, 0, 0, '{}')`},
	{"bulk_continues_status", `INSERT INTO bulk_continues VALUES ('b', 'acme', NULL, 'lost', 0, 0, 0, 0, '{}')`},
	{"bulk_replies_pkey", `INSERT INTO bulk_replies VALUES ('k', '', '{}', NULL, 0), ('k', '', '[]', NULL, 0)`},
	{"bulk_replies_decided", `INSERT INTO bulk_replies VALUES ('k', '', NULL, NULL, 0)`},
	{"bulk_replies_json", `INSERT INTO bulk_replies VALUES ('k', '', '{', NULL, 0)`},
	{"bulk_parts_pkey", `INSERT INTO bulk_parts VALUES ('acme', 'b', 0, 0, NULL, '{}'), ('acme', 'b', 0, 0, NULL, '{}')`},
	{"bulk_parts_tenant", `INSERT INTO bulk_parts VALUES ('ghost', 'b', 0, 0, NULL, '{}')`},
	{"bulk_runs_pkey", `INSERT INTO bulk_runs VALUES ('acme', 'b', 0, 'r', 'waiting', 0, '{}'), ('acme', 'b', 0, 's', 'waiting', 0, '{}')`},
	{"bulk_runs_once", `INSERT INTO bulk_runs VALUES ('acme', 'b', 0, 'r', 'waiting', 0, '{}'), ('acme', 'b', 1, 'r', 'waiting', 0, '{}')`},
	{"bulk_runs_part", `INSERT INTO bulk_runs VALUES ('acme', 'b', 0, 'r', 'waiting', 0, '{}')`},
	{"bulk_runs_state", `INSERT INTO bulk_runs VALUES ('acme', 'b', 0, 'r', 'waiting', 1, '{}')`},

	{"answers_pkey", like("answers", `true`, nil)},
	{"answers_tenant", `INSERT INTO answers VALUES ('ghost', 'k', 'continue', '', '{}', NULL, 0)`},
	{"answers_operation", `INSERT INTO answers VALUES ('acme', 'k', 'delete', '', '{}', NULL, 0)`},
	{"answers_something", `INSERT INTO answers VALUES ('acme', 'k', 'continue', '', NULL, NULL, 0)`},
	{"answers_json", `INSERT INTO answers VALUES ('acme', 'k', 'continue', '', '{', NULL, 0)`},

	{"replies_pkey", `INSERT INTO replies VALUES ('acme', 'cancel', 'k', '', '{}', NULL, 0), ('acme', 'cancel', 'k', '', '[]', NULL, 0)`},
	{"replies_tenant", `INSERT INTO replies VALUES ('ghost', 'cancel', 'k', '', '{}', NULL, 0)`},
	{"replies_operation", `INSERT INTO replies VALUES ('acme', '', 'k', '', '{}', NULL, 0)`},
	{"replies_json", `INSERT INTO replies VALUES ('acme', 'cancel', 'k', '', '{', NULL, 0)`},

	// STRICT: a column of numbers keeps no text.
	{"", `UPDATE credits SET purchased = 'much'`},
	{"", `UPDATE runs SET created_at = 'yesterday'`},
	{"", `UPDATE files SET size = 1.5`},

	{"credits_low", `UPDATE credits SET low_credits = -1`},
	{"webhook_endpoints_pkey", newEndpoint("'acme', 'e', 'u', '', ',run.closed,', 1, '', NULL") + ", " + endpointValues("'acme', 'e', 'u', '', ',run.closed,', 1, '', NULL")},
	{"webhook_endpoints_tenant", newEndpoint("'ghost', 'e', 'u', '', ',run.closed,', 1, '', NULL")},
	{"webhook_endpoints_types", newEndpoint("'acme', 'e', 'u', '', '', 1, '', NULL")},
	{"webhook_endpoints_pause", newEndpoint("'acme', 'e', 'u', '', ',run.closed,', 0, 'tired', 5")},
	{"webhook_endpoints_paused", newEndpoint("'acme', 'e', 'u', '', ',run.closed,', 1, 'by_hand', NULL")},
	{"webhook_endpoints_collects", newEndpoint("'acme', 'e', 'u', '', ',run.closed,', 1, 'gone', 5")},
	{"webhook_deliveries_pkey", newDelivery("'pending', 0, 0, 5") + ", " + deliveryValues("'pending', 0, 0, 5")},
	{"webhook_deliveries_status", newDelivery("'lost', 0, 0, NULL")},
	{"webhook_deliveries_due", newDelivery("'delivered', 1, 0, 5")},
}

func newSession(values string) string { return `INSERT INTO sessions VALUES (` + values + `)` }

func newEndpoint(values string) string {
	return `INSERT INTO webhook_endpoints VALUES ` + endpointValues(values)
}

func endpointValues(values string) string {
	return `(` + values + `, 'whsec', '', NULL, NULL, NULL, 's', '', 'bubble_admin', 1, 1)`
}

func newDelivery(values string) string {
	return `INSERT INTO webhook_deliveries VALUES ` + deliveryValues(values)
}

func deliveryValues(values string) string {
	return `('acme', 'e', 'evt', 'run.closed', NULL, 1, '{}', ` + values + `, '[]')`
}

// row is what a copy of a row has otherwise, as SQL.
type row map[string]string

// like copies a row with some columns changed. The columns are filled in by the test.
func like(table, where string, change row) string {
	var s strings.Builder
	for _, column := range slices.Sorted(maps.Keys(change)) {
		fmt.Fprintf(&s, "%s=%s;", column, change[column])
	}
	return fmt.Sprintf(`INSERT INTO %s LIKE {%s} WHERE %s LIMIT 1`, table, s.String(), where)
}

func newAPIKey(values string) string { return `INSERT INTO api_keys VALUES (` + values + `)` }

func newAttempt(change row) string {
	return like("attempts", `run_id = $closed AND attempt = 1`, change)
}

func newAttemptFile(change row) string {
	return like("attempt_file_rows", `run_id = $closed AND attempt = 1 AND before_status = 'failed'`, change)
}

func newEntry(kind string, change row) string {
	changed := row{"seq": "1000"}
	maps.Copy(changed, change)
	return like("ledger", `tenant_id = 'acme' AND kind = '`+kind+`' ORDER BY seq DESC`, changed)
}

var likeRow = regexp.MustCompile(`INTO (\w+) LIKE \{([^}]*)\} WHERE`)

// filledIn writes out what like has left to be filled in.
func filledIn(t *testing.T, w *world, sql string) string {
	t.Helper()
	m := likeRow.FindStringSubmatch(sql)
	if m == nil {
		return sql
	}
	change := row{}
	for _, c := range strings.Split(strings.TrimSuffix(m[2], ";"), ";") {
		if column, value, ok := strings.Cut(c, "="); ok {
			change[column] = value
		}
	}
	rows, err := w.store.Rows(t.Context(), `SELECT name FROM pragma_table_info(?)`, m[1])
	require.NoError(t, err)
	require.NotEmpty(t, rows, m[1])
	var columns, values []string
	for _, r := range rows {
		column := r[0].(string)
		value := column
		if v, changed := change[column]; changed {
			value = v
			delete(change, column)
		}
		columns, values = append(columns, column), append(values, value)
	}
	require.Empty(t, change, "columns that %s does not have", m[1])
	return strings.Replace(sql, m[0], fmt.Sprintf("INTO %s (%s) SELECT %s FROM %s WHERE", m[1], strings.Join(columns, ", "), strings.Join(values, ", "), m[1]), 1)
}

func TestIllegalWrites(t *testing.T) {
	t.Parallel()
	w := newWorld(t, noExecution)
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

	kinds := guards(t, w)
	refused := map[string]bool{}
	for _, illegal := range illegalWrites {
		sql := strings.NewReplacer("$closed", "'"+string(closed.ID)+"'", "$running", "'"+string(running.ID)+"'").Replace(illegal.sql)
		sql = filledIn(t, w, sql)
		_, err := w.store.Exec(ctx, sql)
		require.Error(t, err, "allowed: %s", sql)
		want := "cannot store"
		if illegal.guard != "" {
			require.Contains(t, kinds, illegal.guard)
			want = kinds[illegal.guard]
		}
		require.ErrorContains(t, err, want, "%s: %s", illegal.guard, sql)
		refused[illegal.guard] = true
	}
	for guard := range kinds {
		require.True(t, refused[guard], "no illegal write shows that %s works", guard)
	}
	w.requireInvariants(t)
}

// guards gives for each guard of the schema what SQLite says when it refuses: of CHECKs and
// triggers it says the name, of keys the columns, and of foreign keys nothing.
func guards(t *testing.T, w *world) map[string]string {
	t.Helper()
	rows, err := w.store.Rows(t.Context(), `SELECT type, tbl_name, sql FROM sqlite_schema WHERE sql IS NOT NULL AND tbl_name NOT IN ('schema_migrations', 'sqlite_sequence')`)
	require.NoError(t, err)
	kinds := map[string]string{}
	for _, r := range rows {
		sql := r[2].(string)
		for _, m := range regexp.MustCompile(`CONSTRAINT (\w+) (CHECK|PRIMARY KEY|UNIQUE|FOREIGN KEY)`).FindAllStringSubmatch(sql, -1) {
			switch m[2] {
			case "CHECK":
				kinds[m[1]] = "CHECK constraint failed: " + m[1]
			case "FOREIGN KEY":
				kinds[m[1]] = "FOREIGN KEY constraint failed"
			default:
				kinds[m[1]] = "UNIQUE constraint failed: " + r[1].(string) + "."
			}
		}
		for _, m := range regexp.MustCompile(`RAISE\(ABORT, '(\w+):`).FindAllStringSubmatch(sql, -1) {
			kinds[m[1]] = m[1]
		}
		for _, m := range regexp.MustCompile(`CREATE UNIQUE INDEX (\w+)`).FindAllStringSubmatch(sql, -1) {
			kinds[m[1]] = "UNIQUE constraint failed: " + r[1].(string) + "."
		}
	}
	return kinds
}

func newTicket(values string) string { return `INSERT INTO event_tickets VALUES (` + values + `)` }
