-- What a file costs when it is inserted, claimed and settled.
--
-- That the run of a file is there is checked once a statement and not once a row:
-- the foreign key's look-up for each file was some two fifths of what an initiation cost
-- Postgres. Nothing is lost by it, because runs are never removed and neither table's
-- keys ever change, which is kept so below.
--
-- The trigger on updates fires after the row was written and not before: for a
-- trigger that fires before, Postgres locks each row by itself and logs that, although
-- the condition is false, which was up to a tenth of every claim and settlement. What it
-- refuses is refused with its whole statement either way. (A run's row is locked
-- before it is written anyhow, so its triggers stay as they are.)

-- +goose Up

ALTER TABLE files DROP CONSTRAINT files_run;

-- +goose StatementBegin
CREATE FUNCTION check_files_run() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    f record;
BEGIN
    FOR f IN SELECT DISTINCT tenant_id, run_id FROM added LOOP
        PERFORM FROM runs r WHERE r.tenant_id = f.tenant_id AND r.run_id = f.run_id;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'files of a run that is not there'
                USING ERRCODE = 'foreign_key_violation', CONSTRAINT = TG_NAME, TABLE = TG_TABLE_NAME;
        END IF;
    END LOOP;
    RETURN NULL;
END $$;
-- +goose StatementEnd
-- See 00004: a plan that reads every run, made while statistics were behind.
ALTER FUNCTION check_files_run() SET enable_seqscan = off;
ALTER FUNCTION check_files_run() SET enable_bitmapscan = off;

CREATE TRIGGER files_run AFTER INSERT ON files
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION check_files_run();
ALTER TABLE files ENABLE ALWAYS TRIGGER files_run;

CREATE TRIGGER files_key AFTER UPDATE ON files
    FOR EACH ROW WHEN (NEW.tenant_id <> OLD.tenant_id OR NEW.run_id <> OLD.run_id OR NEW.index <> OLD.index)
    EXECUTE FUNCTION refuse_write('a file keeps its run and its index');
ALTER TABLE files ENABLE ALWAYS TRIGGER files_key;

CREATE TRIGGER runs_key AFTER UPDATE ON runs
    FOR EACH ROW WHEN (NEW.tenant_id <> OLD.tenant_id OR NEW.run_id <> OLD.run_id)
    EXECUTE FUNCTION refuse_write('a run keeps its tenant and its ID');
ALTER TABLE runs ENABLE ALWAYS TRIGGER runs_key;

CREATE TRIGGER runs_kept BEFORE DELETE OR TRUNCATE ON runs
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_write('runs are never removed');
ALTER TABLE runs ENABLE ALWAYS TRIGGER runs_kept;

DROP TRIGGER files_final ON files;
CREATE TRIGGER files_final AFTER UPDATE ON files
    FOR EACH ROW WHEN (OLD.status IN ('completed', 'error') AND OLD IS DISTINCT FROM NEW)
    EXECUTE FUNCTION refuse_write('a file that is completed or error never changes again');

-- An initiation dispatches all files of its run, and they were nothing before: that is
-- a number in the attempt's row and not a row for each file. Rows are kept of what a
-- Continue dispatched, and of the initiations of servers of the version before.
ALTER TABLE attempts
    ADD COLUMN all_files integer, -- it dispatched the files 0 to all_files - 1, charged if it had a price; NULL: see attempt_file_rows
    ADD CONSTRAINT attempts_all_files CHECK (all_files IS NULL OR (all_files >= 0 AND attempt = 0));

ALTER TABLE attempt_files RENAME TO attempt_file_rows;

-- The files of every attempt, as servers of the version before read and write them.
CREATE VIEW attempt_files AS
    SELECT tenant_id, run_id, attempt, index, charged, before_status, before_retry_attempt, before_redeliveries,
           before_paid_by, before_failure_code, before_failure_message, before_free_retries
      FROM attempt_file_rows
    UNION ALL
    SELECT a.tenant_id, a.run_id, a.attempt, n, a.price > 0, NULL, 0, 0, 0, '', '', 0
      FROM attempts a, generate_series(0, a.all_files - 1) n;
ALTER VIEW attempt_files ALTER COLUMN before_free_retries SET DEFAULT 0;

-- +goose StatementBegin
CREATE FUNCTION insert_attempt_file() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO attempt_file_rows (tenant_id, run_id, attempt, index, charged, before_status, before_retry_attempt,
        before_redeliveries, before_paid_by, before_failure_code, before_failure_message, before_free_retries)
    VALUES (NEW.tenant_id, NEW.run_id, NEW.attempt, NEW.index, NEW.charged, NEW.before_status, NEW.before_retry_attempt,
        NEW.before_redeliveries, NEW.before_paid_by, NEW.before_failure_code, NEW.before_failure_message, NEW.before_free_retries);
    RETURN NEW;
END $$;
-- +goose StatementEnd
CREATE TRIGGER attempt_files_insert INSTEAD OF INSERT ON attempt_files
    FOR EACH ROW EXECUTE FUNCTION insert_attempt_file();

-- +goose StatementBegin
CREATE OR REPLACE FUNCTION check_attempt() RETURNS trigger LANGUAGE plpgsql
    SET enable_seqscan = off SET enable_bitmapscan = off AS $$
DECLARE
    f record;
BEGIN
    FOR f IN SELECT DISTINCT tenant_id, run_id, attempt FROM added LOOP
        PERFORM FROM attempts a
          WHERE a.tenant_id = f.tenant_id AND a.run_id = f.run_id AND a.attempt = f.attempt AND a.all_files IS NULL;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'files of an attempt that is not there, or that has all files'
                USING ERRCODE = 'foreign_key_violation', CONSTRAINT = TG_NAME, TABLE = TG_TABLE_NAME;
        END IF;
    END LOOP;
    RETURN NULL;
END $$;
-- +goose StatementEnd
