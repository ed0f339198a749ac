-- Whose fault it was: a file that a fault of the operator's or of Redrive's own
-- interrupted stays pending and says why, and the Continues that found it pending are
-- counted apart, because they use up none of its retries. The defaults are for servers
-- of the version before, which may write beside this one while they are replaced.

-- +goose Up
ALTER TABLE files
    ADD COLUMN free_retries integer NOT NULL DEFAULT 0, -- Continues that found the file pending
    DROP CONSTRAINT files_retry_attempt,
    DROP CONSTRAINT files_failure,
    ADD CONSTRAINT files_retry_attempt CHECK (
        free_retries >= 0 AND free_retries <= retry_attempt AND retry_attempt - free_retries <= max_retry_count),
    -- A pending file that has a failure was interrupted, and waits for a Continue.
    ADD CONSTRAINT files_failure CHECK (status IN ('failed', 'error', 'pending') OR (failure_code = '' AND failure_message = ''));

ALTER TABLE runs
    ADD COLUMN failure_code    text NOT NULL DEFAULT '', -- the fault of ours that interrupted files of the attempt
    ADD COLUMN failure_message text NOT NULL DEFAULT '',
    DROP CONSTRAINT runs_reason,
    ADD CONSTRAINT runs_reason CHECK (reason IN ('', 'dispatch_failed', 'cancelled', 'redeliveries_exhausted', 'service_fault')),
    ADD CONSTRAINT runs_failure CHECK (
        (failure_code = '' AND failure_message = '' AND reason <> 'service_fault')
        OR (failure_code <> '' AND (status = 'RUNNING' OR reason = 'service_fault')));

ALTER TABLE attempts
    ADD COLUMN before_failure_code    text NOT NULL DEFAULT '',
    ADD COLUMN before_failure_message text NOT NULL DEFAULT '';

ALTER TABLE attempt_files
    ADD COLUMN before_free_retries integer NOT NULL DEFAULT 0,
    DROP CONSTRAINT attempt_files_numbers,
    ADD CONSTRAINT attempt_files_numbers CHECK (
        before_free_retries >= 0 AND before_free_retries <= before_retry_attempt
        AND before_retry_attempt - before_free_retries <= 10 AND before_redeliveries >= 0 AND before_paid_by >= 0);
