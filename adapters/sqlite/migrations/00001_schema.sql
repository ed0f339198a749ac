-- The schema of Redrive on SQLite: the tables, columns and rules of adapters/postgres,
-- under the same names. Migrations go forward only: to undo one, write the next.
--
-- Words. Text compares byte by byte, as everywhere in Redrive. Statuses are text with a
-- CHECK. length() stops at a NUL, so the program refuses text with one before it comes
-- here, and lengths that matter are of bytes.
--
-- Times are microseconds since 1970 in UTC. NULL is Go's zero time: it has not happened.
--
-- STRICT: SQLite would otherwise keep text in a column of numbers.
--
-- What is append-only is kept so by triggers. INSERT OR REPLACE would pass them by
-- without PRAGMA recursive_triggers, which every connection of the program has on. Rules
-- that the conformance suite has to lift for a moment are triggers too, since a CHECK
-- cannot be dropped: runs_status_tally, runs_forward, files_final.

-- +goose Up

CREATE TABLE tenants (
    tenant_id         TEXT    NOT NULL,
    name              TEXT    NOT NULL,
    monthly_allowance INTEGER NOT NULL,
    created_at        INTEGER NOT NULL,
    CONSTRAINT tenants_pkey PRIMARY KEY (tenant_id),
    CONSTRAINT tenants_id CHECK (length(tenant_id) BETWEEN 1 AND 64),
    CONSTRAINT tenants_allowance CHECK (monthly_allowance >= 0)
) STRICT, WITHOUT ROWID;

-- What a tenant has bought and not used, and the number of its latest ledger entry.
CREATE TABLE credits (
    tenant_id TEXT    NOT NULL,
    purchased INTEGER NOT NULL DEFAULT 0,
    last_seq  INTEGER NOT NULL DEFAULT 0,
    CONSTRAINT credits_pkey PRIMARY KEY (tenant_id),
    CONSTRAINT credits_tenant FOREIGN KEY (tenant_id) REFERENCES tenants (tenant_id),
    CONSTRAINT credits_purchased CHECK (purchased >= 0),
    CONSTRAINT credits_last_seq CHECK (last_seq >= 0)
) STRICT, WITHOUT ROWID;

-- What is left of each month's allowance: a row for every period that an entry was
-- posted in.
CREATE TABLE allowances (
    tenant_id    TEXT    NOT NULL,
    period       TEXT    NOT NULL, -- YYYY-MM, UTC
    monthly_left INTEGER NOT NULL,
    CONSTRAINT allowances_pkey PRIMARY KEY (tenant_id, period),
    CONSTRAINT allowances_credits FOREIGN KEY (tenant_id) REFERENCES credits (tenant_id),
    CONSTRAINT allowances_period CHECK (octet_length(period) = 7
        AND (period GLOB '[0-9][0-9][0-9][0-9]-0[1-9]' OR period GLOB '[0-9][0-9][0-9][0-9]-1[0-2]')),
    CONSTRAINT allowances_left CHECK (monthly_left >= 0)
) STRICT, WITHOUT ROWID;

CREATE TABLE templates (
    tenant_id       TEXT    NOT NULL,
    template_id     TEXT    NOT NULL,
    name            TEXT    NOT NULL,
    instructions    TEXT    NOT NULL,
    credits_per_run INTEGER NOT NULL, -- the price per file
    mode            TEXT    NOT NULL,
    status          TEXT    NOT NULL,
    created_at      INTEGER NOT NULL,
    updated_at      INTEGER NOT NULL,
    deleted_at      INTEGER,
    version         INTEGER NOT NULL,
    CONSTRAINT templates_pkey PRIMARY KEY (tenant_id, template_id),
    CONSTRAINT templates_tenant FOREIGN KEY (tenant_id) REFERENCES tenants (tenant_id),
    CONSTRAINT templates_id CHECK (length(template_id) BETWEEN 1 AND 64),
    CONSTRAINT templates_price CHECK (credits_per_run >= 0),
    CONSTRAINT templates_mode CHECK (mode IN ('per_file', 'batch')),
    CONSTRAINT templates_status CHECK (status IN ('draft', 'published')),
    CONSTRAINT templates_version CHECK (version >= 1)
) STRICT;

-- What a template's instructions were: a run works with those of its initiation.
CREATE TABLE template_versions (
    tenant_id    TEXT    NOT NULL,
    template_id  TEXT    NOT NULL,
    version      INTEGER NOT NULL,
    instructions TEXT    NOT NULL,
    by_subject   TEXT    NOT NULL,
    by_tenant    TEXT    NOT NULL,
    by_role      TEXT    NOT NULL,
    at           INTEGER NOT NULL,
    CONSTRAINT template_versions_pkey PRIMARY KEY (tenant_id, template_id, version),
    CONSTRAINT template_versions_template FOREIGN KEY (tenant_id, template_id) REFERENCES templates (tenant_id, template_id),
    CONSTRAINT template_versions_number CHECK (version >= 1),
    CONSTRAINT template_versions_role CHECK (by_role IN ('bubble_admin', 'customer_admin', 'customer_user'))
) STRICT;

-- Whose run it is: the directory that authorization asks before it knows the tenant, and
-- what makes run IDs unique over all tenants.
CREATE TABLE run_owners (
    run_id    TEXT NOT NULL,
    tenant_id TEXT NOT NULL,
    CONSTRAINT run_owners_pkey PRIMARY KEY (run_id),
    CONSTRAINT run_owners_id CHECK (length(run_id) BETWEEN 1 AND 64)
) STRICT, WITHOUT ROWID;

CREATE TABLE runs (
    tenant_id              TEXT    NOT NULL,
    run_id                 TEXT    NOT NULL,
    template_id            TEXT    NOT NULL,
    mode                   TEXT    NOT NULL,
    status                 TEXT    NOT NULL,
    reason                 TEXT    NOT NULL, -- why it closed otherwise than by its results, or ''
    created_by_subject     TEXT    NOT NULL,
    created_by_tenant      TEXT    NOT NULL,
    created_by_role        TEXT    NOT NULL,
    created_at             INTEGER NOT NULL,
    closed_at              INTEGER,
    max_retry_count        INTEGER NOT NULL,
    attempt                INTEGER NOT NULL,
    epoch                  INTEGER NOT NULL,
    dispatch               TEXT    NOT NULL,
    last_retried_at        INTEGER,
    total_jobs             INTEGER NOT NULL,
    attempt_jobs           INTEGER NOT NULL,
    completed_jobs         INTEGER NOT NULL,
    failed_jobs            INTEGER NOT NULL,
    file_count             INTEGER NOT NULL, -- written once, so that no save can change what the tally adds up to
    tally_unfinished       INTEGER NOT NULL,
    tally_completed        INTEGER NOT NULL,
    tally_failed           INTEGER NOT NULL,
    tally_error            INTEGER NOT NULL,
    credits_consumed       INTEGER NOT NULL,
    credits_from_monthly   INTEGER NOT NULL,
    credits_from_purchased INTEGER NOT NULL,
    recover_at             INTEGER,
    dispatched_at          INTEGER,
    redispatches           INTEGER NOT NULL,
    template_version       INTEGER NOT NULL,
    failure_code           TEXT    NOT NULL, -- the fault of ours that interrupted files of the attempt
    failure_message        TEXT    NOT NULL,
    CONSTRAINT runs_pkey PRIMARY KEY (tenant_id, run_id),
    CONSTRAINT runs_template FOREIGN KEY (tenant_id, template_id) REFERENCES templates (tenant_id, template_id),
    CONSTRAINT runs_mode CHECK (mode IN ('per_file', 'batch')),
    CONSTRAINT runs_status CHECK (status IN ('RUNNING', 'COMPLETED', 'COMPLETED_WITH_ERRORS', 'FAILED', 'INTERRUPTED')),
    CONSTRAINT runs_reason CHECK (reason IN ('', 'dispatch_failed', 'cancelled', 'redeliveries_exhausted', 'service_fault')),
    CONSTRAINT runs_reason_running CHECK (status <> 'RUNNING' OR reason = ''),
    CONSTRAINT runs_failure CHECK (
        (failure_code = '' AND failure_message = '' AND reason <> 'service_fault')
        OR (failure_code <> '' AND (status = 'RUNNING' OR reason = 'service_fault'))),
    CONSTRAINT runs_dispatch CHECK (dispatch IN ('unconfirmed', 'confirmed')),
    CONSTRAINT runs_role CHECK (created_by_role IN ('bubble_admin', 'customer_admin', 'customer_user')),
    CONSTRAINT runs_closed_at CHECK ((status = 'RUNNING') = (closed_at IS NULL)),
    CONSTRAINT runs_recover_at CHECK ((status = 'RUNNING') = (recover_at IS NOT NULL)),
    CONSTRAINT runs_max_retry_count CHECK (max_retry_count BETWEEN 1 AND 10),
    CONSTRAINT runs_attempt CHECK (attempt >= 0),
    CONSTRAINT runs_epoch CHECK (epoch >= 1),
    CONSTRAINT runs_redispatches CHECK (redispatches >= 0),
    CONSTRAINT runs_template_version CHECK (template_version >= 1),
    CONSTRAINT runs_jobs CHECK (
        completed_jobs >= 0 AND failed_jobs >= 0
        AND completed_jobs + failed_jobs <= attempt_jobs
        AND attempt_jobs <= total_jobs),
    CONSTRAINT runs_total_jobs CHECK (total_jobs = CASE mode WHEN 'batch' THEN min(file_count, 1) ELSE file_count END),
    CONSTRAINT runs_tally CHECK (
        tally_unfinished >= 0 AND tally_completed >= 0 AND tally_failed >= 0 AND tally_error >= 0
        AND tally_unfinished + tally_completed + tally_failed + tally_error = file_count),
    CONSTRAINT runs_credits CHECK (
        credits_from_monthly >= 0 AND credits_from_purchased >= 0
        AND credits_consumed = credits_from_monthly + credits_from_purchased)
) STRICT;

-- A tenant's runs, newest first, page by page, of any status and of one.
CREATE INDEX runs_newest ON runs (tenant_id, created_at DESC, run_id DESC);
CREATE INDEX runs_newest_by_status ON runs (tenant_id, status, created_at DESC, run_id DESC);
-- What recovery has to look at, longest due first, over all tenants.
CREATE INDEX runs_due ON runs (recover_at, run_id, tenant_id) WHERE status = 'RUNNING';
-- Runs that were interrupted otherwise than by a cancel, the latest first.
CREATE INDEX runs_interrupted ON runs (closed_at DESC, run_id DESC, tenant_id) WHERE status = 'INTERRUPTED' AND reason <> 'cancelled';

-- Outputs are in a table of their own: a large one in the middle of a row makes whatever
-- reads the columns after it, or the rows after it, walk through its pages.
CREATE TABLE files (
    tenant_id       TEXT    NOT NULL,
    run_id          TEXT    NOT NULL,
    file_index      INTEGER NOT NULL,
    name            TEXT    NOT NULL,
    ref             TEXT    NOT NULL,
    size            INTEGER NOT NULL, -- bytes
    status          TEXT    NOT NULL,
    retry_attempt   INTEGER NOT NULL,
    free_retries    INTEGER NOT NULL, -- Continues that found the file pending
    max_retry_count INTEGER NOT NULL, -- the run's, when this row was last written; it only ever rises
    epoch           INTEGER NOT NULL,
    lease_until     INTEGER,
    redeliveries    INTEGER NOT NULL,
    paid_by         INTEGER NOT NULL,
    output_bytes    INTEGER NOT NULL, -- of the row in outputs; 0: there is none
    failure_code    TEXT    NOT NULL,
    failure_message TEXT    NOT NULL,
    CONSTRAINT files_pkey PRIMARY KEY (tenant_id, run_id, file_index),
    CONSTRAINT files_run FOREIGN KEY (tenant_id, run_id) REFERENCES runs (tenant_id, run_id),
    CONSTRAINT files_index CHECK (file_index >= 0),
    CONSTRAINT files_size CHECK (size >= 0),
    CONSTRAINT files_status CHECK (status IN ('pending', 'processing', 'completed', 'failed', 'error')),
    CONSTRAINT files_retry_attempt CHECK (
        free_retries >= 0 AND free_retries <= retry_attempt AND retry_attempt - free_retries <= max_retry_count),
    CONSTRAINT files_max_retry_count CHECK (max_retry_count BETWEEN 1 AND 10),
    CONSTRAINT files_epoch CHECK (epoch >= 1),
    CONSTRAINT files_lease CHECK ((status = 'processing') = (lease_until IS NOT NULL)),
    CONSTRAINT files_redeliveries CHECK (redeliveries >= 0),
    CONSTRAINT files_paid_by CHECK (paid_by >= 0),
    CONSTRAINT files_output CHECK (output_bytes >= 0 AND (output_bytes = 0 OR status = 'completed')),
    CONSTRAINT files_failure CHECK (status IN ('failed', 'error', 'pending') OR (failure_code = '' AND failure_message = ''))
) STRICT;

CREATE TABLE outputs (
    tenant_id  TEXT    NOT NULL,
    run_id     TEXT    NOT NULL,
    file_index INTEGER NOT NULL,
    output     TEXT    NOT NULL,
    CONSTRAINT outputs_pkey PRIMARY KEY (tenant_id, run_id, file_index),
    CONSTRAINT outputs_file FOREIGN KEY (tenant_id, run_id, file_index) REFERENCES files (tenant_id, run_id, file_index),
    CONSTRAINT outputs_something CHECK (octet_length(output) > 0)
) STRICT;

-- One dispatch of a run. Only compensated_at is ever written later.
CREATE TABLE attempts (
    tenant_id              TEXT    NOT NULL,
    run_id                 TEXT    NOT NULL,
    attempt                INTEGER NOT NULL,
    epoch                  INTEGER NOT NULL,
    jobs                   INTEGER NOT NULL,
    requested_by_subject   TEXT    NOT NULL,
    requested_by_tenant    TEXT    NOT NULL,
    requested_by_role      TEXT    NOT NULL,
    requested_at           INTEGER NOT NULL,
    price                  INTEGER NOT NULL, -- credits per file, as it was then
    charge_key             TEXT,             -- NULL: nothing was charged
    charge_period          TEXT,
    charge_monthly         INTEGER NOT NULL,
    charge_purchased       INTEGER NOT NULL,
    before_status          TEXT,             -- NULL: the initiation, which has nothing before it
    before_reason          TEXT    NOT NULL,
    before_closed_at       INTEGER,
    before_last_retried_at INTEGER,
    before_attempt_jobs    INTEGER NOT NULL,
    before_completed_jobs  INTEGER NOT NULL,
    before_failed_jobs     INTEGER NOT NULL,
    compensated_at         INTEGER,
    before_failure_code    TEXT    NOT NULL,
    before_failure_message TEXT    NOT NULL,
    all_files              INTEGER, -- it dispatched the files 0 to all_files - 1, charged if it had a price; NULL: see attempt_file_rows
    CONSTRAINT attempts_pkey PRIMARY KEY (tenant_id, run_id, attempt),
    CONSTRAINT attempts_run FOREIGN KEY (tenant_id, run_id) REFERENCES runs (tenant_id, run_id),
    CONSTRAINT attempts_number CHECK (attempt >= 0),
    CONSTRAINT attempts_epoch CHECK (epoch >= 1),
    CONSTRAINT attempts_jobs CHECK (jobs >= 0),
    CONSTRAINT attempts_role CHECK (requested_by_role IN ('bubble_admin', 'customer_admin', 'customer_user')),
    CONSTRAINT attempts_price CHECK (price >= 0),
    CONSTRAINT attempts_charge CHECK (
        charge_monthly >= 0 AND charge_purchased >= 0
        AND (charge_key IS NULL) = (charge_period IS NULL)
        AND (charge_key IS NULL) = (charge_monthly = 0 AND charge_purchased = 0)),
    CONSTRAINT attempts_before CHECK (before_status IN ('COMPLETED_WITH_ERRORS', 'FAILED', 'INTERRUPTED')),
    CONSTRAINT attempts_before_initiation CHECK ((attempt = 0) = (before_status IS NULL)),
    CONSTRAINT attempts_all_files CHECK (all_files IS NULL OR (all_files >= 0 AND attempt = 0))
) STRICT;

-- What a Continue dispatched, whether each file was charged, and what each was before.
CREATE TABLE attempt_file_rows (
    tenant_id              TEXT    NOT NULL,
    run_id                 TEXT    NOT NULL,
    attempt                INTEGER NOT NULL,
    file_index             INTEGER NOT NULL,
    charged                INTEGER NOT NULL,
    before_status          TEXT,             -- NULL: the initiation
    before_retry_attempt   INTEGER NOT NULL,
    before_free_retries    INTEGER NOT NULL,
    before_redeliveries    INTEGER NOT NULL,
    before_paid_by         INTEGER NOT NULL,
    before_failure_code    TEXT    NOT NULL,
    before_failure_message TEXT    NOT NULL,
    CONSTRAINT attempt_files_pkey PRIMARY KEY (tenant_id, run_id, attempt, file_index),
    CONSTRAINT attempt_files_attempt FOREIGN KEY (tenant_id, run_id, attempt) REFERENCES attempts (tenant_id, run_id, attempt),
    CONSTRAINT attempt_files_flag CHECK (charged IN (0, 1)),
    CONSTRAINT attempt_files_before CHECK (before_status IN ('pending', 'failed')),
    CONSTRAINT attempt_files_before_initiation CHECK (attempt > 0 OR before_status IS NULL),
    -- A file that was pending had been paid for (spec 3.6).
    CONSTRAINT attempt_files_charged CHECK (NOT charged OR before_status IS NOT 'pending'),
    CONSTRAINT attempt_files_numbers CHECK (
        before_free_retries >= 0 AND before_free_retries <= before_retry_attempt
        AND before_retry_attempt - before_free_retries <= 10 AND before_redeliveries >= 0 AND before_paid_by >= 0)
) STRICT, WITHOUT ROWID;

-- The files of every attempt, for queries by hand.
CREATE VIEW attempt_files AS
    WITH RECURSIVE initiations (tenant_id, run_id, attempt, file_index, all_files, charged) AS (
        SELECT tenant_id, run_id, attempt, 0, all_files, price > 0 FROM attempts WHERE all_files > 0
        UNION ALL
        SELECT tenant_id, run_id, attempt, file_index + 1, all_files, charged FROM initiations WHERE file_index + 1 < all_files)
    SELECT tenant_id, run_id, attempt, file_index, charged, before_status, before_retry_attempt, before_free_retries,
           before_redeliveries, before_paid_by, before_failure_code, before_failure_message
      FROM attempt_file_rows
    UNION ALL
    SELECT tenant_id, run_id, attempt, file_index, charged, NULL, 0, 0, 0, 0, '', '' FROM initiations;

CREATE TABLE amendments (
    amendment_id         INTEGER PRIMARY KEY AUTOINCREMENT, -- in the order of their inserts
    tenant_id            TEXT    NOT NULL,
    run_id               TEXT    NOT NULL,
    by_subject           TEXT    NOT NULL,
    by_tenant            TEXT    NOT NULL,
    by_role              TEXT    NOT NULL,
    at                   INTEGER NOT NULL,
    max_retry_count_from INTEGER NOT NULL,
    max_retry_count_to   INTEGER NOT NULL,
    CONSTRAINT amendments_run FOREIGN KEY (tenant_id, run_id) REFERENCES runs (tenant_id, run_id),
    CONSTRAINT amendments_role CHECK (by_role IN ('bubble_admin', 'customer_admin', 'customer_user')),
    CONSTRAINT amendments_raise CHECK (
        max_retry_count_from >= 1 AND max_retry_count_from < max_retry_count_to AND max_retry_count_to <= 10)
) STRICT;
CREATE INDEX amendments_of ON amendments (tenant_id, run_id, amendment_id);

-- Every credit that ever moved. A row is never changed and never removed.
CREATE TABLE ledger (
    tenant_id     TEXT    NOT NULL,
    seq           INTEGER NOT NULL, -- 1, 2, 3, … without a gap, given out under the tenant's lock
    key           TEXT    NOT NULL,
    kind          TEXT    NOT NULL,
    period        TEXT    NOT NULL,
    monthly       INTEGER NOT NULL,
    purchased     INTEGER NOT NULL,
    run_id        TEXT,
    attempt       INTEGER,
    charge_key    TEXT,             -- of a refund: the charge that it gives back
    actor_subject TEXT    NOT NULL,
    actor_tenant  TEXT    NOT NULL,
    actor_role    TEXT    NOT NULL,
    at            INTEGER NOT NULL,
    CONSTRAINT ledger_pkey PRIMARY KEY (tenant_id, seq),
    -- A key is used once, so whatever is posted twice moves credits once.
    CONSTRAINT ledger_key UNIQUE (tenant_id, key),
    -- A charge is refunded once, under whatever key. NULLs are all different.
    CONSTRAINT ledger_refunded_once UNIQUE (tenant_id, charge_key),
    CONSTRAINT ledger_credits FOREIGN KEY (tenant_id) REFERENCES credits (tenant_id),
    CONSTRAINT ledger_attempt FOREIGN KEY (tenant_id, run_id, attempt) REFERENCES attempts (tenant_id, run_id, attempt),
    CONSTRAINT ledger_charge FOREIGN KEY (tenant_id, charge_key) REFERENCES ledger (tenant_id, key),
    CONSTRAINT ledger_seq CHECK (seq >= 1),
    CONSTRAINT ledger_key_form CHECK (length(key) BETWEEN 1 AND 300),
    CONSTRAINT ledger_kind CHECK (kind IN ('allowance', 'purchase', 'charge', 'refund')),
    CONSTRAINT ledger_role CHECK (actor_role IN ('bubble_admin', 'customer_admin', 'customer_user')),
    CONSTRAINT ledger_period CHECK (octet_length(period) = 7
        AND (period GLOB '[0-9][0-9][0-9][0-9]-0[1-9]' OR period GLOB '[0-9][0-9][0-9][0-9]-1[0-2]')),
    CONSTRAINT ledger_amount CHECK (
        monthly >= 0 AND purchased >= 0
        AND (monthly > 0 OR purchased > 0)
        AND monthly <= 9223372036854775807 - purchased),
    CONSTRAINT ledger_grant CHECK (CASE kind WHEN 'allowance' THEN purchased = 0 WHEN 'purchase' THEN monthly = 0 ELSE 1 END),
    -- Charges and refunds belong to an attempt, grants to none.
    CONSTRAINT ledger_of_attempt CHECK (
        (kind IN ('charge', 'refund')) = (run_id IS NOT NULL)
        AND (kind IN ('charge', 'refund')) = (attempt IS NOT NULL)),
    CONSTRAINT ledger_of_charge CHECK ((kind = 'refund') = (charge_key IS NOT NULL)),
    -- With ledger_key: at most one charge per attempt.
    CONSTRAINT ledger_charge_key CHECK (kind <> 'charge' OR key = 'charge/' || run_id || '/' || attempt)
) STRICT;
-- A month of a tenant's ledger, for statements and usage.
CREATE INDEX ledger_period ON ledger (tenant_id, period, seq DESC);

CREATE TABLE answers (
    tenant_id   TEXT    NOT NULL,
    key         TEXT    NOT NULL,
    operation   TEXT    NOT NULL,
    fingerprint TEXT    NOT NULL,
    run         TEXT, -- JSON, as it was answered; NULL: refused before there was one
    refusal     TEXT, -- JSON; NULL: it succeeded
    at          INTEGER NOT NULL,
    CONSTRAINT answers_pkey PRIMARY KEY (tenant_id, key),
    CONSTRAINT answers_tenant FOREIGN KEY (tenant_id) REFERENCES tenants (tenant_id),
    CONSTRAINT answers_operation CHECK (operation IN ('initiate', 'continue')),
    CONSTRAINT answers_something CHECK (run IS NOT NULL OR refusal IS NOT NULL),
    CONSTRAINT answers_json CHECK ((run IS NULL OR json_valid(run)) AND (refusal IS NULL OR json_valid(refusal)))
) STRICT;

-- Who is signed in. It is no tenant's table: a session is found by its ID before it is
-- known whose it is. What is kept of the browser's token is its hash.
CREATE TABLE sessions (
    session_id TEXT    NOT NULL,
    tenant_id  TEXT    NOT NULL, -- '' only for a platform admin without one
    subject    TEXT    NOT NULL,
    role       TEXT    NOT NULL,
    via        TEXT    NOT NULL, -- how it was made: token, api_key, oidc
    created_at INTEGER NOT NULL,
    seen_at    INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    CONSTRAINT sessions_pkey PRIMARY KEY (session_id),
    CONSTRAINT sessions_id CHECK (octet_length(session_id) BETWEEN 32 AND 128),
    CONSTRAINT sessions_role CHECK (role IN ('bubble_admin', 'customer_admin', 'customer_user')),
    CONSTRAINT sessions_tenant CHECK (octet_length(tenant_id) <= 64 AND (tenant_id <> '' OR role = 'bubble_admin')),
    CONSTRAINT sessions_subject CHECK (octet_length(subject) BETWEEN 1 AND 255),
    CONSTRAINT sessions_via CHECK (octet_length(via) BETWEEN 1 AND 32),
    CONSTRAINT sessions_times CHECK (seen_at >= created_at AND expires_at > created_at)
) STRICT, WITHOUT ROWID;
CREATE INDEX sessions_expired ON sessions (expires_at);
CREATE INDEX sessions_of ON sessions (tenant_id, subject);

-- +goose StatementBegin
CREATE TRIGGER ledger_append_only_update BEFORE UPDATE ON ledger BEGIN
    SELECT RAISE(ABORT, 'ledger_append_only: the ledger is append-only');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER ledger_append_only_delete BEFORE DELETE ON ledger BEGIN
    SELECT RAISE(ABORT, 'ledger_append_only: the ledger is append-only');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER amendments_append_only_update BEFORE UPDATE ON amendments BEGIN
    SELECT RAISE(ABORT, 'amendments_append_only: amendments are append-only');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER amendments_append_only_delete BEFORE DELETE ON amendments BEGIN
    SELECT RAISE(ABORT, 'amendments_append_only: amendments are append-only');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER template_versions_kept_update BEFORE UPDATE ON template_versions BEGIN
    SELECT RAISE(ABORT, 'template_versions_kept: versions of templates are never changed or removed');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER template_versions_kept_delete BEFORE DELETE ON template_versions BEGIN
    SELECT RAISE(ABORT, 'template_versions_kept: versions of templates are never changed or removed');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER attempt_files_append_only_update BEFORE UPDATE ON attempt_file_rows BEGIN
    SELECT RAISE(ABORT, 'attempt_files_append_only: records of attempts are append-only');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER attempt_files_append_only_delete BEFORE DELETE ON attempt_file_rows BEGIN
    SELECT RAISE(ABORT, 'attempt_files_append_only: records of attempts are append-only');
END;
-- +goose StatementEnd

-- That the attempt is there is what the foreign key says. Only an initiation has all files.
-- +goose StatementBegin
CREATE TRIGGER attempt_files_of_all BEFORE INSERT ON attempt_file_rows
    WHEN NEW.attempt = 0 AND (SELECT all_files FROM attempts a
           WHERE a.tenant_id = NEW.tenant_id AND a.run_id = NEW.run_id AND a.attempt = NEW.attempt) IS NOT NULL BEGIN
    SELECT RAISE(ABORT, 'attempt_files_of_all: files of an attempt that has all files');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER attempts_kept BEFORE DELETE ON attempts BEGIN
    SELECT RAISE(ABORT, 'attempts_kept: records of attempts are never removed');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER attempts_only_compensated BEFORE UPDATE ON attempts
    WHEN NEW.compensated_at IS NULL OR
        (OLD.tenant_id, OLD.run_id, OLD.attempt, OLD.epoch, OLD.jobs, OLD.requested_by_subject, OLD.requested_by_tenant, OLD.requested_by_role,
         OLD.requested_at, OLD.price, OLD.charge_key, OLD.charge_period, OLD.charge_monthly, OLD.charge_purchased,
         OLD.before_status, OLD.before_reason, OLD.before_closed_at, OLD.before_last_retried_at, OLD.before_attempt_jobs,
         OLD.before_completed_jobs, OLD.before_failed_jobs, OLD.before_failure_code, OLD.before_failure_message, OLD.all_files)
        IS NOT
        (NEW.tenant_id, NEW.run_id, NEW.attempt, NEW.epoch, NEW.jobs, NEW.requested_by_subject, NEW.requested_by_tenant, NEW.requested_by_role,
         NEW.requested_at, NEW.price, NEW.charge_key, NEW.charge_period, NEW.charge_monthly, NEW.charge_purchased,
         NEW.before_status, NEW.before_reason, NEW.before_closed_at, NEW.before_last_retried_at, NEW.before_attempt_jobs,
         NEW.before_completed_jobs, NEW.before_failed_jobs, NEW.before_failure_code, NEW.before_failure_message, NEW.all_files) BEGIN
    SELECT RAISE(ABORT, 'attempts_only_compensated: of an attempt only compensated_at is written later');
END;
-- +goose StatementEnd

-- The transition tables of core.
-- +goose StatementBegin
CREATE TRIGGER runs_transition BEFORE UPDATE OF status ON runs
    WHEN OLD.status = 'COMPLETED' AND NEW.status <> 'COMPLETED'
        OR OLD.status <> 'RUNNING' AND NEW.status NOT IN (OLD.status, 'RUNNING') BEGIN
    SELECT RAISE(ABORT, 'runs_transition: a run cannot go from that status to this one');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER runs_forward BEFORE UPDATE OF epoch, attempt, max_retry_count ON runs
    WHEN NEW.epoch < OLD.epoch OR NEW.attempt < OLD.attempt OR NEW.max_retry_count < OLD.max_retry_count BEGIN
    SELECT RAISE(ABORT, 'runs_forward: epoch, attempt and max_retry_count never go back');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER runs_key BEFORE UPDATE OF tenant_id, run_id ON runs
    WHEN NEW.tenant_id <> OLD.tenant_id OR NEW.run_id <> OLD.run_id BEGIN
    SELECT RAISE(ABORT, 'runs_key: a run keeps its tenant and its ID');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER runs_kept BEFORE DELETE ON runs BEGIN
    SELECT RAISE(ABORT, 'runs_kept: runs are never removed');
END;
-- +goose StatementEnd

-- The closing status comes from all files (spec 1). A run without files can only be one
-- that was imported.
-- +goose StatementBegin
CREATE TRIGGER runs_status_tally_insert BEFORE INSERT ON runs
    WHEN NEW.file_count <> 0 AND NOT CASE NEW.status
        WHEN 'COMPLETED' THEN NEW.tally_completed = NEW.file_count
        WHEN 'COMPLETED_WITH_ERRORS' THEN NEW.tally_unfinished = 0 AND NEW.tally_completed > 0 AND NEW.tally_completed < NEW.file_count
        WHEN 'FAILED' THEN NEW.tally_unfinished = 0 AND NEW.tally_completed = 0
        ELSE NEW.tally_unfinished > 0 END BEGIN
    SELECT RAISE(ABORT, 'runs_status_tally: a run whose status is not what its files say');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER runs_status_tally_update BEFORE UPDATE OF status, file_count, tally_unfinished, tally_completed, tally_failed, tally_error ON runs
    WHEN NEW.file_count <> 0 AND NOT CASE NEW.status
        WHEN 'COMPLETED' THEN NEW.tally_completed = NEW.file_count
        WHEN 'COMPLETED_WITH_ERRORS' THEN NEW.tally_unfinished = 0 AND NEW.tally_completed > 0 AND NEW.tally_completed < NEW.file_count
        WHEN 'FAILED' THEN NEW.tally_unfinished = 0 AND NEW.tally_completed = 0
        ELSE NEW.tally_unfinished > 0 END BEGIN
    SELECT RAISE(ABORT, 'runs_status_tally: a run whose status is not what its files say');
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER files_key BEFORE UPDATE OF tenant_id, run_id, file_index ON files
    WHEN NEW.tenant_id <> OLD.tenant_id OR NEW.run_id <> OLD.run_id OR NEW.file_index <> OLD.file_index BEGIN
    SELECT RAISE(ABORT, 'files_key: a file keeps its run and its index');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER files_final BEFORE UPDATE ON files
    WHEN OLD.status IN ('completed', 'error') AND
        (OLD.name, OLD.ref, OLD.size, OLD.status, OLD.retry_attempt, OLD.free_retries, OLD.max_retry_count, OLD.epoch, OLD.lease_until,
         OLD.redeliveries, OLD.paid_by, OLD.output_bytes, OLD.failure_code, OLD.failure_message)
        IS NOT
        (NEW.name, NEW.ref, NEW.size, NEW.status, NEW.retry_attempt, NEW.free_retries, NEW.max_retry_count, NEW.epoch, NEW.lease_until,
         NEW.redeliveries, NEW.paid_by, NEW.output_bytes, NEW.failure_code, NEW.failure_message) BEGIN
    SELECT RAISE(ABORT, 'files_final: a file that is completed or error never changes again');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER files_kept BEFORE DELETE ON files BEGIN
    SELECT RAISE(ABORT, 'files_kept: files are never removed');
END;
-- +goose StatementEnd

-- An output is that of a completed file, whole, and stays.
-- +goose StatementBegin
CREATE TRIGGER outputs_file_completed BEFORE INSERT ON outputs
    WHEN (SELECT output_bytes <> octet_length(NEW.output) FROM files f
           WHERE f.tenant_id = NEW.tenant_id AND f.run_id = NEW.run_id AND f.file_index = NEW.file_index) BEGIN
    SELECT RAISE(ABORT, 'outputs_file_completed: an output that is not the file''s');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER outputs_final_update BEFORE UPDATE ON outputs WHEN OLD.output IS NOT NEW.output
        OR OLD.tenant_id <> NEW.tenant_id OR OLD.run_id <> NEW.run_id OR OLD.file_index <> NEW.file_index BEGIN
    SELECT RAISE(ABORT, 'outputs_final: an output never changes');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER outputs_final_delete BEFORE DELETE ON outputs BEGIN
    SELECT RAISE(ABORT, 'outputs_final: an output is never removed');
END;
-- +goose StatementEnd

-- A refund gives back exactly what its charge took, to the period it came from.
-- +goose StatementBegin
CREATE TRIGGER ledger_refund_exact BEFORE INSERT ON ledger
    WHEN NEW.kind = 'refund' AND NOT EXISTS (
        SELECT 1 FROM ledger c
         WHERE c.tenant_id = NEW.tenant_id AND c.key = NEW.charge_key AND c.kind = 'charge'
           AND c.period = NEW.period AND c.monthly = NEW.monthly AND c.purchased = NEW.purchased
           AND c.run_id = NEW.run_id AND c.attempt = NEW.attempt) BEGIN
    SELECT RAISE(ABORT, 'ledger_refund_exact: refund differs from its charge');
END;
-- +goose StatementEnd
