-- What a file's checks cost where few files are written: Postgres reads a table's CHECKs
-- from their stored text for each statement, and the eleven of files took 0.12 ms of it,
-- which is as much as ten files. One that calls a function is read in no time, and the
-- function once a session. (A trigger, as runs have in 00014, would cost each of the ten
-- thousand rows of a large run more than that.) The rules are the same and have the same
-- names and error code. As for a CHECK, a condition that is NULL is not violated.

-- +goose Up

-- +goose StatementBegin
CREATE FUNCTION check_file(index integer, size bigint, status text, retry_attempt integer, free_retries integer, max_retry_count integer,
    epoch bigint, leased boolean, redeliveries integer, paid_by integer, has_output boolean, has_failure boolean)
    RETURNS boolean LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    violated text := CASE
        WHEN NOT (index >= 0) THEN 'files_index'
        WHEN NOT (size >= 0) THEN 'files_size'
        WHEN NOT (status IN ('pending', 'processing', 'completed', 'failed', 'error')) THEN 'files_status'
        WHEN NOT (max_retry_count BETWEEN 1 AND 10) THEN 'files_max_retry_count'
        WHEN NOT (free_retries >= 0 AND free_retries <= retry_attempt AND retry_attempt - free_retries <= max_retry_count) THEN 'files_retry_attempt'
        WHEN NOT (epoch >= 1) THEN 'files_epoch'
        WHEN NOT ((status = 'processing') = leased) THEN 'files_lease'
        WHEN NOT (redeliveries >= 0) THEN 'files_redeliveries'
        WHEN NOT (paid_by >= 0) THEN 'files_paid_by'
        WHEN has_output AND status <> 'completed' THEN 'files_output'
        -- A pending file that has a failure was interrupted, and waits for a Continue.
        WHEN has_failure AND status NOT IN ('failed', 'error', 'pending') THEN 'files_failure'
    END;
BEGIN
    IF violated IS NULL THEN
        RETURN true;
    END IF;
    RAISE EXCEPTION 'a file violates %', violated
        USING ERRCODE = 'check_violation', CONSTRAINT = violated, TABLE = 'files';
END $$;
-- +goose StatementEnd

-- NOT VALID spares reading a large table under a lock: its rows meet the rules already.
ALTER TABLE files ADD CONSTRAINT files_valid CHECK (check_file(index, size, status, retry_attempt, free_retries, max_retry_count,
    epoch, lease_until IS NOT NULL, redeliveries, paid_by, output <> '', failure_code <> '' OR failure_message <> '')) NOT VALID;

ALTER TABLE files
    DROP CONSTRAINT files_index, DROP CONSTRAINT files_size, DROP CONSTRAINT files_status, DROP CONSTRAINT files_retry_attempt,
    DROP CONSTRAINT files_max_retry_count, DROP CONSTRAINT files_epoch, DROP CONSTRAINT files_lease, DROP CONSTRAINT files_redeliveries,
    DROP CONSTRAINT files_paid_by, DROP CONSTRAINT files_output, DROP CONSTRAINT files_failure;
