-- What a single row costs when it is written.
--
-- Postgres reads a table's CHECKs, and the conditions of its triggers, from their stored
-- text for each statement anew: of the 0.28 ms that an update of a run's row took beyond
-- the statement itself, the nineteen CHECKs took 0.21 and the conditions 0.05. Where a
-- statement writes many rows, as for files, that is nothing. Of runs, attempts and the
-- ledger it writes one. A function in PL/pgSQL is read once a session. The rules are the
-- same and have the same names and error codes, and the triggers fire always, also for a
-- session that turned ordinary triggers off. As for a CHECK, a condition that is NULL is
-- not violated.

-- +goose Up

-- +goose StatementBegin
CREATE FUNCTION check_run() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    violated text;
BEGIN
    IF TG_OP = 'UPDATE' THEN
        violated := CASE
            WHEN NEW.epoch < OLD.epoch OR NEW.attempt < OLD.attempt OR NEW.max_retry_count < OLD.max_retry_count THEN 'runs_forward'
            WHEN NEW.tenant_id <> OLD.tenant_id OR NEW.run_id <> OLD.run_id THEN 'runs_key'
            -- The transition table of core.
            WHEN OLD.status = 'COMPLETED' AND NEW.status <> 'COMPLETED'
                OR OLD.status <> 'RUNNING' AND NEW.status NOT IN (OLD.status, 'RUNNING') THEN 'runs_transition'
        END;
        IF violated IS NOT NULL THEN
            RAISE EXCEPTION 'this update of a run is not allowed: %', CASE violated
                    WHEN 'runs_forward' THEN 'epoch, attempt and max_retry_count never go back'
                    WHEN 'runs_key' THEN 'a run keeps its tenant and its ID'
                    ELSE 'a run cannot go from that status to this one' END
                USING ERRCODE = 'restrict_violation', CONSTRAINT = violated, TABLE = TG_TABLE_NAME;
        END IF;
    END IF;
    violated := CASE
        WHEN NOT (NEW.attempt >= 0) THEN 'runs_attempt'
        WHEN NOT ((NEW.status = 'RUNNING') = (NEW.closed_at IS NULL)) THEN 'runs_closed_at'
        WHEN NOT (NEW.credits_from_monthly >= 0 AND NEW.credits_from_purchased >= 0
            AND NEW.credits_consumed = NEW.credits_from_monthly + NEW.credits_from_purchased) THEN 'runs_credits'
        WHEN NOT (NEW.dispatch IN ('unconfirmed', 'confirmed')) THEN 'runs_dispatch'
        WHEN NOT (NEW.epoch >= 1) THEN 'runs_epoch'
        WHEN NOT ((NEW.failure_code = '' AND NEW.failure_message = '' AND NEW.reason <> 'service_fault')
            OR (NEW.failure_code <> '' AND (NEW.status = 'RUNNING' OR NEW.reason = 'service_fault'))) THEN 'runs_failure'
        WHEN NOT (NEW.completed_jobs >= 0 AND NEW.failed_jobs >= 0
            AND NEW.completed_jobs + NEW.failed_jobs <= NEW.attempt_jobs
            AND NEW.attempt_jobs <= NEW.total_jobs) THEN 'runs_jobs'
        WHEN NOT (NEW.max_retry_count BETWEEN 1 AND 10) THEN 'runs_max_retry_count'
        WHEN NOT (NEW.mode IN ('per_file', 'batch')) THEN 'runs_mode'
        WHEN NOT (NEW.reason IN ('', 'dispatch_failed', 'cancelled', 'redeliveries_exhausted', 'service_fault')) THEN 'runs_reason'
        WHEN NOT (NEW.status <> 'RUNNING' OR NEW.reason = '') THEN 'runs_reason_running'
        WHEN NOT ((NEW.status = 'RUNNING') = (NEW.recover_at IS NOT NULL)) THEN 'runs_recover_at'
        WHEN NOT (NEW.redispatches >= 0) THEN 'runs_redispatches'
        WHEN NOT (NEW.created_by_role IN ('bubble_admin', 'customer_admin', 'customer_user')) THEN 'runs_role'
        WHEN NOT (NEW.status IN ('RUNNING', 'COMPLETED', 'COMPLETED_WITH_ERRORS', 'FAILED', 'INTERRUPTED')) THEN 'runs_status'
        -- The closing status comes from all files (spec 1). A run without files can only be
        -- one that was imported.
        WHEN NOT (NEW.file_count = 0 OR CASE NEW.status
            WHEN 'COMPLETED' THEN NEW.tally_completed = NEW.file_count
            WHEN 'COMPLETED_WITH_ERRORS' THEN NEW.tally_unfinished = 0 AND NEW.tally_completed > 0 AND NEW.tally_completed < NEW.file_count
            WHEN 'FAILED' THEN NEW.tally_unfinished = 0 AND NEW.tally_completed = 0
            ELSE NEW.tally_unfinished > 0 END) THEN 'runs_status_tally'
        WHEN NOT (NEW.tally_unfinished >= 0 AND NEW.tally_completed >= 0 AND NEW.tally_failed >= 0 AND NEW.tally_error >= 0
            AND NEW.tally_unfinished + NEW.tally_completed + NEW.tally_failed + NEW.tally_error = NEW.file_count) THEN 'runs_tally'
        WHEN NOT (NEW.template_version >= 1) THEN 'runs_template_version'
        WHEN NOT (NEW.total_jobs = CASE NEW.mode WHEN 'batch' THEN least(NEW.file_count, 1) ELSE NEW.file_count END) THEN 'runs_total_jobs'
    END;
    IF violated IS NOT NULL THEN
        RAISE EXCEPTION 'a run violates %', violated
            USING ERRCODE = 'check_violation', CONSTRAINT = violated, TABLE = TG_TABLE_NAME;
    END IF;
    RETURN NEW;
END $$;

CREATE FUNCTION check_attempt_row() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    violated text := CASE
        WHEN NOT (NEW.all_files IS NULL OR (NEW.all_files >= 0 AND NEW.attempt = 0)) THEN 'attempts_all_files'
        WHEN NOT (NEW.before_status IN ('COMPLETED_WITH_ERRORS', 'FAILED', 'INTERRUPTED')) THEN 'attempts_before'
        WHEN NOT ((NEW.attempt = 0) = (NEW.before_status IS NULL)) THEN 'attempts_before_initiation'
        WHEN NOT (NEW.charge_monthly >= 0 AND NEW.charge_purchased >= 0
            AND (NEW.charge_key IS NULL) = (NEW.charge_period IS NULL)
            AND (NEW.charge_key IS NULL) = (NEW.charge_monthly = 0 AND NEW.charge_purchased = 0)) THEN 'attempts_charge'
        WHEN NOT (NEW.epoch >= 1) THEN 'attempts_epoch'
        WHEN NOT (NEW.jobs >= 0) THEN 'attempts_jobs'
        WHEN NOT (NEW.attempt >= 0) THEN 'attempts_number'
        WHEN NOT (NEW.price >= 0) THEN 'attempts_price'
        WHEN NOT (NEW.requested_by_role IN ('bubble_admin', 'customer_admin', 'customer_user')) THEN 'attempts_role'
    END;
BEGIN
    IF violated IS NOT NULL THEN
        RAISE EXCEPTION 'an attempt violates %', violated
            USING ERRCODE = 'check_violation', CONSTRAINT = violated, TABLE = TG_TABLE_NAME;
    END IF;
    RETURN NEW;
END $$;

CREATE FUNCTION check_entry() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    violated text := CASE
        WHEN NOT (NEW.monthly >= 0 AND NEW.purchased >= 0 AND (NEW.monthly > 0 OR NEW.purchased > 0)
            AND NEW.monthly <= 9223372036854775807 - NEW.purchased) THEN 'ledger_amount'
        -- With ledger_key: at most one charge per attempt.
        WHEN NOT (NEW.kind <> 'charge' OR NEW.key = 'charge/' || NEW.run_id || '/' || NEW.attempt) THEN 'ledger_charge_key'
        WHEN NOT (CASE NEW.kind WHEN 'allowance' THEN NEW.purchased = 0 WHEN 'purchase' THEN NEW.monthly = 0 ELSE true END) THEN 'ledger_grant'
        WHEN NOT (length(NEW.key) BETWEEN 1 AND 300) THEN 'ledger_key_form'
        WHEN NOT (NEW.kind IN ('allowance', 'purchase', 'charge', 'refund')) THEN 'ledger_kind'
        -- Charges and refunds belong to an attempt, grants to none.
        WHEN NOT ((NEW.kind IN ('charge', 'refund')) = (NEW.run_id IS NOT NULL)
            AND (NEW.kind IN ('charge', 'refund')) = (NEW.attempt IS NOT NULL)) THEN 'ledger_of_attempt'
        WHEN NOT ((NEW.kind = 'refund') = (NEW.charge_key IS NOT NULL)) THEN 'ledger_of_charge'
        WHEN NOT (NEW.period ~ '^[0-9]{4}-(0[1-9]|1[0-2])$') THEN 'ledger_period'
        WHEN NOT (NEW.actor_role IN ('bubble_admin', 'customer_admin', 'customer_user')) THEN 'ledger_role'
        WHEN NOT (NEW.seq >= 1) THEN 'ledger_seq'
    END;
BEGIN
    IF violated IS NOT NULL THEN
        RAISE EXCEPTION 'a ledger entry violates %', violated
            USING ERRCODE = 'check_violation', CONSTRAINT = violated, TABLE = TG_TABLE_NAME;
    END IF;
    RETURN NEW;
END $$;
-- +goose StatementEnd

-- The triggers come first, so that no row is written between the two without either.
CREATE TRIGGER runs_valid BEFORE INSERT OR UPDATE ON runs FOR EACH ROW EXECUTE FUNCTION check_run();
ALTER TABLE runs ENABLE ALWAYS TRIGGER runs_valid;
CREATE TRIGGER attempts_valid BEFORE INSERT OR UPDATE ON attempts FOR EACH ROW EXECUTE FUNCTION check_attempt_row();
ALTER TABLE attempts ENABLE ALWAYS TRIGGER attempts_valid;
CREATE TRIGGER ledger_valid BEFORE INSERT OR UPDATE ON ledger FOR EACH ROW EXECUTE FUNCTION check_entry();
ALTER TABLE ledger ENABLE ALWAYS TRIGGER ledger_valid;

DROP TRIGGER runs_forward ON runs;
DROP TRIGGER runs_key ON runs;
DROP TRIGGER runs_transition ON runs;

ALTER TABLE runs
    DROP CONSTRAINT runs_attempt, DROP CONSTRAINT runs_closed_at, DROP CONSTRAINT runs_credits, DROP CONSTRAINT runs_dispatch,
    DROP CONSTRAINT runs_epoch, DROP CONSTRAINT runs_failure, DROP CONSTRAINT runs_jobs, DROP CONSTRAINT runs_max_retry_count,
    DROP CONSTRAINT runs_mode, DROP CONSTRAINT runs_reason, DROP CONSTRAINT runs_reason_running, DROP CONSTRAINT runs_recover_at,
    DROP CONSTRAINT runs_redispatches, DROP CONSTRAINT runs_role, DROP CONSTRAINT runs_status, DROP CONSTRAINT runs_status_tally,
    DROP CONSTRAINT runs_tally, DROP CONSTRAINT runs_template_version, DROP CONSTRAINT runs_total_jobs;

ALTER TABLE attempts
    DROP CONSTRAINT attempts_all_files, DROP CONSTRAINT attempts_before, DROP CONSTRAINT attempts_before_initiation,
    DROP CONSTRAINT attempts_charge, DROP CONSTRAINT attempts_epoch, DROP CONSTRAINT attempts_jobs, DROP CONSTRAINT attempts_number,
    DROP CONSTRAINT attempts_price, DROP CONSTRAINT attempts_role;

ALTER TABLE ledger
    DROP CONSTRAINT ledger_amount, DROP CONSTRAINT ledger_charge_key, DROP CONSTRAINT ledger_grant, DROP CONSTRAINT ledger_key_form,
    DROP CONSTRAINT ledger_kind, DROP CONSTRAINT ledger_of_attempt, DROP CONSTRAINT ledger_of_charge, DROP CONSTRAINT ledger_period,
    DROP CONSTRAINT ledger_role, DROP CONSTRAINT ledger_seq;
