-- The schema of Redrive. Migrations go forward only: to undo one, write the next.
--
-- Keys. Every primary and unique key of a tenant's table begins with tenant_id,
-- and so does every foreign key, so that the schema can be hash-partitioned by
-- tenant or put on a sharded Postgres unchanged, and a row of one tenant cannot
-- refer to another tenant's. The one exception is run_owners; it says why.
--
-- Words. IDs and keys compare byte by byte (COLLATE "C"), whatever the locale of
-- the database: lists are ascending in the same order on every store, and "a"
-- and "A" are never the same key. Statuses are text with a CHECK, not enums: a
-- value can be added to a CHECK inside a transaction, and every client reads it.
--
-- Times. NULL is Go's zero time: it has not happened.
--
-- Space. Rows that are updated in place have a fillfactor, so that the new version
-- of a row fits on its page and, as long as no indexed column changed, no index
-- is written (HOT). That is why no index has a file's status, a lease, a counter
-- or a balance in it, or in its predicate.

-- +goose Up

CREATE TABLE tenants (
    tenant_id         text COLLATE "C" NOT NULL,
    name              text             NOT NULL,
    monthly_allowance bigint           NOT NULL,
    created_at        timestamptz      NOT NULL,
    CONSTRAINT tenants_pkey PRIMARY KEY (tenant_id),
    CONSTRAINT tenants_id CHECK (length(tenant_id) BETWEEN 1 AND 64),
    CONSTRAINT tenants_allowance CHECK (monthly_allowance >= 0)
);

-- What a tenant has bought and not used, and the number of its latest ledger
-- entry. This row is the tenant's lock. It is not the row of tenants, because
-- other tables refer to that one, and their inserts would wait for whoever
-- moves credits. It is updated by every entry: half of each page is left free.
CREATE TABLE credits (
    tenant_id text COLLATE "C" NOT NULL,
    purchased bigint           NOT NULL DEFAULT 0,
    last_seq  bigint           NOT NULL DEFAULT 0,
    CONSTRAINT credits_pkey PRIMARY KEY (tenant_id),
    CONSTRAINT credits_tenant FOREIGN KEY (tenant_id) REFERENCES tenants (tenant_id),
    CONSTRAINT credits_purchased CHECK (purchased >= 0),
    CONSTRAINT credits_last_seq CHECK (last_seq >= 0)
) WITH (fillfactor = 50);

-- What is left of each month's allowance: a row for every period that an entry
-- was posted in.
CREATE TABLE allowances (
    tenant_id    text COLLATE "C" NOT NULL,
    period       text COLLATE "C" NOT NULL, -- YYYY-MM, UTC
    monthly_left bigint           NOT NULL,
    CONSTRAINT allowances_pkey PRIMARY KEY (tenant_id, period),
    CONSTRAINT allowances_credits FOREIGN KEY (tenant_id) REFERENCES credits (tenant_id),
    CONSTRAINT allowances_period CHECK (period ~ '^[0-9]{4}-(0[1-9]|1[0-2])$'),
    CONSTRAINT allowances_left CHECK (monthly_left >= 0)
) WITH (fillfactor = 70);

CREATE TABLE templates (
    tenant_id       text COLLATE "C" NOT NULL,
    template_id     text COLLATE "C" NOT NULL,
    name            text             NOT NULL,
    instructions    text             NOT NULL,
    credits_per_run bigint           NOT NULL, -- the price per file
    mode            text             NOT NULL,
    status          text             NOT NULL,
    created_at      timestamptz      NOT NULL,
    updated_at      timestamptz      NOT NULL,
    deleted_at      timestamptz,
    CONSTRAINT templates_pkey PRIMARY KEY (tenant_id, template_id),
    CONSTRAINT templates_tenant FOREIGN KEY (tenant_id) REFERENCES tenants (tenant_id),
    CONSTRAINT templates_id CHECK (length(template_id) BETWEEN 1 AND 64),
    CONSTRAINT templates_price CHECK (credits_per_run >= 0),
    CONSTRAINT templates_mode CHECK (mode IN ('per_file', 'batch')),
    CONSTRAINT templates_status CHECK (status IN ('draft', 'published'))
);

-- Whose run it is: the directory that authorization asks before it knows the
-- tenant, and what makes run IDs unique over all tenants. It is a table of its
-- own because a unique index on runs (run_id) could not exist once runs is
-- partitioned or sharded by tenant; this table is then sharded by run_id. It
-- never changes after its insert, and it has no foreign key, which would cross
-- shards; row and run are written by one statement.
CREATE TABLE run_owners (
    run_id    text COLLATE "C" NOT NULL,
    tenant_id text COLLATE "C" NOT NULL,
    CONSTRAINT run_owners_pkey PRIMARY KEY (run_id),
    CONSTRAINT run_owners_id CHECK (length(run_id) BETWEEN 1 AND 64)
);

-- A run's row is its lock, and every settlement updates its counters: a good
-- part of each page is left free.
CREATE TABLE runs (
    tenant_id              text COLLATE "C" NOT NULL,
    run_id                 text COLLATE "C" NOT NULL,
    template_id            text COLLATE "C" NOT NULL,
    mode                   text             NOT NULL,
    status                 text             NOT NULL,
    reason                 text             NOT NULL, -- why it closed otherwise than by its results, or ''
    created_by_subject     text             NOT NULL,
    created_by_tenant      text             NOT NULL,
    created_by_role        text             NOT NULL,
    created_at             timestamptz      NOT NULL,
    closed_at              timestamptz,
    max_retry_count        integer          NOT NULL,
    attempt                integer          NOT NULL,
    epoch                  bigint           NOT NULL,
    dispatch               text             NOT NULL,
    last_retried_at        timestamptz,
    total_jobs             integer          NOT NULL,
    attempt_jobs           integer          NOT NULL,
    completed_jobs         integer          NOT NULL,
    failed_jobs            integer          NOT NULL,
    file_count             integer          NOT NULL, -- written once, so that no save can change what the tally adds up to
    tally_unfinished       integer          NOT NULL,
    tally_completed        integer          NOT NULL,
    tally_failed           integer          NOT NULL,
    tally_error            integer          NOT NULL,
    credits_consumed       bigint           NOT NULL,
    credits_from_monthly   bigint           NOT NULL,
    credits_from_purchased bigint           NOT NULL,
    recover_at             timestamptz,
    dispatched_at          timestamptz,
    redispatches           integer          NOT NULL,
    CONSTRAINT runs_pkey PRIMARY KEY (tenant_id, run_id),
    CONSTRAINT runs_template FOREIGN KEY (tenant_id, template_id) REFERENCES templates (tenant_id, template_id),
    CONSTRAINT runs_mode CHECK (mode IN ('per_file', 'batch')),
    CONSTRAINT runs_status CHECK (status IN ('RUNNING', 'COMPLETED', 'COMPLETED_WITH_ERRORS', 'FAILED', 'INTERRUPTED')),
    CONSTRAINT runs_reason CHECK (reason IN ('', 'dispatch_failed', 'cancelled', 'redeliveries_exhausted')),
    CONSTRAINT runs_reason_running CHECK (status <> 'RUNNING' OR reason = ''),
    CONSTRAINT runs_dispatch CHECK (dispatch IN ('unconfirmed', 'confirmed')),
    CONSTRAINT runs_role CHECK (created_by_role IN ('bubble_admin', 'customer_admin', 'customer_user')),
    CONSTRAINT runs_closed_at CHECK ((status = 'RUNNING') = (closed_at IS NULL)),
    CONSTRAINT runs_recover_at CHECK ((status = 'RUNNING') = (recover_at IS NOT NULL)),
    CONSTRAINT runs_max_retry_count CHECK (max_retry_count BETWEEN 1 AND 10),
    CONSTRAINT runs_attempt CHECK (attempt >= 0),
    CONSTRAINT runs_epoch CHECK (epoch >= 1),
    CONSTRAINT runs_redispatches CHECK (redispatches >= 0),
    CONSTRAINT runs_jobs CHECK (
        completed_jobs >= 0 AND failed_jobs >= 0
        AND completed_jobs + failed_jobs <= attempt_jobs
        AND attempt_jobs <= total_jobs),
    CONSTRAINT runs_total_jobs CHECK (total_jobs = CASE mode WHEN 'batch' THEN least(file_count, 1) ELSE file_count END),
    CONSTRAINT runs_tally CHECK (
        tally_unfinished >= 0 AND tally_completed >= 0 AND tally_failed >= 0 AND tally_error >= 0
        AND tally_unfinished + tally_completed + tally_failed + tally_error = file_count),
    -- The closing status comes from all files (spec 1). A run without files can
    -- only be one that somebody imported.
    CONSTRAINT runs_status_tally CHECK (file_count = 0 OR CASE status
        WHEN 'COMPLETED' THEN tally_completed = file_count
        WHEN 'COMPLETED_WITH_ERRORS' THEN tally_unfinished = 0 AND tally_completed > 0 AND tally_completed < file_count
        WHEN 'FAILED' THEN tally_unfinished = 0 AND tally_completed = 0
        ELSE tally_unfinished > 0 END),
    CONSTRAINT runs_credits CHECK (
        credits_from_monthly >= 0 AND credits_from_purchased >= 0
        AND credits_consumed = credits_from_monthly + credits_from_purchased)
) WITH (fillfactor = 70);

-- A tenant's runs, newest first, page by page.
CREATE INDEX runs_newest ON runs (tenant_id, created_at DESC, run_id DESC);
-- The same for one status; without it a page of a rare status would read the
-- tenant's whole history. The status changes twice per attempt, so counters are
-- still updated without touching an index.
CREATE INDEX runs_newest_by_status ON runs (tenant_id, status, created_at DESC, run_id DESC);
-- What recovery has to look at, longest due first, over all tenants: it holds
-- the running runs only, and recover_at changes with a visit, not with a settlement.
CREATE INDEX runs_due ON runs (recover_at, run_id, tenant_id) WHERE status = 'RUNNING';

-- Files are updated two or three times in an attempt (claimed, settled, perhaps
-- renewed), many neighbours at once. There is no index on status: a run's files
-- lie together, so the primary key finds those in a status by reading the run's.
CREATE TABLE files (
    tenant_id       text COLLATE "C" NOT NULL,
    run_id          text COLLATE "C" NOT NULL,
    index           integer          NOT NULL,
    name            text             NOT NULL,
    ref             text             NOT NULL,
    size            bigint           NOT NULL, -- bytes
    status          text             NOT NULL,
    retry_attempt   integer          NOT NULL,
    max_retry_count integer          NOT NULL, -- the run's, when this row was last written; it only ever rises
    epoch           bigint           NOT NULL,
    lease_until     timestamptz,
    redeliveries    integer          NOT NULL,
    paid_by         integer          NOT NULL,
    output          text             NOT NULL,
    failure_code    text             NOT NULL,
    failure_message text             NOT NULL,
    CONSTRAINT files_pkey PRIMARY KEY (tenant_id, run_id, index),
    CONSTRAINT files_run FOREIGN KEY (tenant_id, run_id) REFERENCES runs (tenant_id, run_id),
    CONSTRAINT files_index CHECK (index >= 0),
    CONSTRAINT files_size CHECK (size >= 0),
    CONSTRAINT files_status CHECK (status IN ('pending', 'processing', 'completed', 'failed', 'error')),
    CONSTRAINT files_retry_attempt CHECK (retry_attempt BETWEEN 0 AND max_retry_count),
    CONSTRAINT files_max_retry_count CHECK (max_retry_count BETWEEN 1 AND 10),
    CONSTRAINT files_epoch CHECK (epoch >= 1),
    CONSTRAINT files_lease CHECK ((status = 'processing') = (lease_until IS NOT NULL)),
    CONSTRAINT files_redeliveries CHECK (redeliveries >= 0),
    CONSTRAINT files_paid_by CHECK (paid_by >= 0),
    CONSTRAINT files_output CHECK (output = '' OR status = 'completed'),
    CONSTRAINT files_failure CHECK (status IN ('failed', 'error') OR (failure_code = '' AND failure_message = ''))
) WITH (fillfactor = 70);

-- One dispatch of a run. Only compensated_at is ever written later.
CREATE TABLE attempts (
    tenant_id              text COLLATE "C" NOT NULL,
    run_id                 text COLLATE "C" NOT NULL,
    attempt                integer          NOT NULL,
    epoch                  bigint           NOT NULL,
    jobs                   integer          NOT NULL,
    requested_by_subject   text             NOT NULL,
    requested_by_tenant    text             NOT NULL,
    requested_by_role      text             NOT NULL,
    requested_at           timestamptz      NOT NULL,
    price                  bigint           NOT NULL, -- credits per file, as it was then
    charge_key             text COLLATE "C",          -- NULL: nothing was charged
    charge_period          text COLLATE "C",
    charge_monthly         bigint           NOT NULL,
    charge_purchased       bigint           NOT NULL,
    before_status          text,                      -- NULL: the initiation, which has nothing before it
    before_reason          text             NOT NULL,
    before_closed_at       timestamptz,
    before_last_retried_at timestamptz,
    before_attempt_jobs    integer          NOT NULL,
    before_completed_jobs  integer          NOT NULL,
    before_failed_jobs     integer          NOT NULL,
    compensated_at         timestamptz,
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
    CONSTRAINT attempts_before_initiation CHECK ((attempt = 0) = (before_status IS NULL))
);

-- What an attempt dispatched, whether each file was charged, and what each was
-- before. That the attempt is there is checked by attempt_files_attempt below,
-- once a statement and not once a row: a foreign key's look-up for each of the
-- files was a third of the time of a Continue. Nothing is lost by it, because
-- rows of both tables are never removed and their keys never change.
CREATE TABLE attempt_files (
    tenant_id              text COLLATE "C" NOT NULL,
    run_id                 text COLLATE "C" NOT NULL,
    attempt                integer          NOT NULL,
    index                  integer          NOT NULL,
    charged                boolean          NOT NULL,
    before_status          text,                      -- NULL: the initiation
    before_retry_attempt   integer          NOT NULL,
    before_redeliveries    integer          NOT NULL,
    before_paid_by         integer          NOT NULL,
    before_failure_code    text             NOT NULL,
    before_failure_message text             NOT NULL,
    CONSTRAINT attempt_files_pkey PRIMARY KEY (tenant_id, run_id, attempt, index),
    CONSTRAINT attempt_files_before CHECK (before_status IN ('pending', 'failed')),
    CONSTRAINT attempt_files_before_initiation CHECK (attempt > 0 OR before_status IS NULL),
    -- A file that was pending had been paid for (spec 3.6).
    CONSTRAINT attempt_files_charged CHECK (NOT charged OR before_status IS DISTINCT FROM 'pending'),
    CONSTRAINT attempt_files_numbers CHECK (before_retry_attempt BETWEEN 0 AND 10 AND before_redeliveries >= 0 AND before_paid_by >= 0)
);

CREATE TABLE amendments (
    tenant_id            text COLLATE "C" NOT NULL,
    run_id               text COLLATE "C" NOT NULL,
    amendment_id         bigint           NOT NULL GENERATED ALWAYS AS IDENTITY,
    by_subject           text             NOT NULL,
    by_tenant            text             NOT NULL,
    by_role              text             NOT NULL,
    at                   timestamptz      NOT NULL,
    max_retry_count_from integer          NOT NULL,
    max_retry_count_to   integer          NOT NULL,
    CONSTRAINT amendments_pkey PRIMARY KEY (tenant_id, run_id, amendment_id),
    CONSTRAINT amendments_run FOREIGN KEY (tenant_id, run_id) REFERENCES runs (tenant_id, run_id),
    CONSTRAINT amendments_role CHECK (by_role IN ('bubble_admin', 'customer_admin', 'customer_user')),
    CONSTRAINT amendments_raise CHECK (
        max_retry_count_from >= 1 AND max_retry_count_from < max_retry_count_to AND max_retry_count_to <= 10)
);

-- Every credit that ever moved. A row is never changed and never removed.
CREATE TABLE ledger (
    tenant_id     text COLLATE "C" NOT NULL,
    seq           bigint           NOT NULL, -- 1, 2, 3, … without a gap, given out under the tenant's lock
    key           text COLLATE "C" NOT NULL,
    kind          text             NOT NULL,
    period        text COLLATE "C" NOT NULL,
    monthly       bigint           NOT NULL,
    purchased     bigint           NOT NULL,
    run_id        text COLLATE "C",
    attempt       integer,
    charge_key    text COLLATE "C",          -- of a refund: the charge that it gives back
    actor_subject text             NOT NULL,
    actor_tenant  text             NOT NULL,
    actor_role    text             NOT NULL,
    at            timestamptz      NOT NULL,
    CONSTRAINT ledger_pkey PRIMARY KEY (tenant_id, seq),
    -- A key is used once, so whatever is posted twice moves credits once.
    CONSTRAINT ledger_key UNIQUE (tenant_id, key),
    -- A charge is refunded once, whoever asks and under whatever key. NULLs
    -- (every other kind of entry) are all different.
    CONSTRAINT ledger_refunded_once UNIQUE (tenant_id, charge_key),
    CONSTRAINT ledger_credits FOREIGN KEY (tenant_id) REFERENCES credits (tenant_id),
    CONSTRAINT ledger_attempt FOREIGN KEY (tenant_id, run_id, attempt) REFERENCES attempts (tenant_id, run_id, attempt),
    CONSTRAINT ledger_charge FOREIGN KEY (tenant_id, charge_key) REFERENCES ledger (tenant_id, key),
    CONSTRAINT ledger_seq CHECK (seq >= 1),
    CONSTRAINT ledger_key_form CHECK (length(key) BETWEEN 1 AND 300),
    CONSTRAINT ledger_kind CHECK (kind IN ('allowance', 'purchase', 'charge', 'refund')),
    CONSTRAINT ledger_role CHECK (actor_role IN ('bubble_admin', 'customer_admin', 'customer_user')),
    CONSTRAINT ledger_period CHECK (period ~ '^[0-9]{4}-(0[1-9]|1[0-2])$'),
    CONSTRAINT ledger_amount CHECK (
        monthly >= 0 AND purchased >= 0
        AND (monthly > 0 OR purchased > 0)
        AND monthly <= 9223372036854775807 - purchased),
    CONSTRAINT ledger_grant CHECK (CASE kind WHEN 'allowance' THEN purchased = 0 WHEN 'purchase' THEN monthly = 0 ELSE true END),
    -- Charges and refunds belong to an attempt, grants to none.
    CONSTRAINT ledger_of_attempt CHECK (
        (kind IN ('charge', 'refund')) = (run_id IS NOT NULL)
        AND (kind IN ('charge', 'refund')) = (attempt IS NOT NULL)),
    CONSTRAINT ledger_of_charge CHECK ((kind = 'refund') = (charge_key IS NOT NULL)),
    -- With ledger_key: at most one charge per attempt, whoever posts it.
    CONSTRAINT ledger_charge_key CHECK (kind <> 'charge' OR key = 'charge/' || run_id || '/' || attempt)
);

CREATE TABLE answers (
    tenant_id   text COLLATE "C" NOT NULL,
    key         text COLLATE "C" NOT NULL,
    operation   text             NOT NULL,
    fingerprint text             NOT NULL,
    run         jsonb, -- as it was answered; NULL: refused before there was one
    refusal     jsonb, -- NULL: it succeeded
    at          timestamptz      NOT NULL,
    CONSTRAINT answers_pkey PRIMARY KEY (tenant_id, key),
    CONSTRAINT answers_tenant FOREIGN KEY (tenant_id) REFERENCES tenants (tenant_id),
    CONSTRAINT answers_operation CHECK (operation IN ('initiate', 'continue')),
    CONSTRAINT answers_something CHECK (run IS NOT NULL OR refusal IS NOT NULL)
);

-- +goose StatementBegin
CREATE FUNCTION refuse_write() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% of table % is not allowed: %', TG_OP, TG_TABLE_NAME, TG_ARGV[0]
        USING ERRCODE = 'restrict_violation', CONSTRAINT = TG_NAME, TABLE = TG_TABLE_NAME;
END $$;
-- +goose StatementEnd

-- What is append-only is kept so by triggers and not by privileges, which do not
-- bind the owner of a table, and the server is usually the owner. ALWAYS: also
-- for a session that turned ordinary triggers off (session_replication_role).
CREATE TRIGGER ledger_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_write('the ledger is append-only');
ALTER TABLE ledger ENABLE ALWAYS TRIGGER ledger_append_only;

CREATE TRIGGER amendments_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON amendments
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_write('amendments are append-only');
ALTER TABLE amendments ENABLE ALWAYS TRIGGER amendments_append_only;

CREATE TRIGGER attempt_files_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON attempt_files
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_write('records of attempts are append-only');
ALTER TABLE attempt_files ENABLE ALWAYS TRIGGER attempt_files_append_only;

-- +goose StatementBegin
CREATE FUNCTION check_attempt() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM (SELECT DISTINCT tenant_id, run_id, attempt FROM added) x
      WHERE NOT EXISTS (SELECT FROM attempts a
        WHERE a.tenant_id = x.tenant_id AND a.run_id = x.run_id AND a.attempt = x.attempt);
    IF FOUND THEN
        RAISE EXCEPTION 'files of an attempt that is not there'
            USING ERRCODE = 'foreign_key_violation', CONSTRAINT = TG_NAME, TABLE = TG_TABLE_NAME;
    END IF;
    RETURN NULL;
END $$;
-- +goose StatementEnd
CREATE TRIGGER attempt_files_attempt AFTER INSERT ON attempt_files
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION check_attempt();
ALTER TABLE attempt_files ENABLE ALWAYS TRIGGER attempt_files_attempt;

CREATE TRIGGER attempts_kept BEFORE DELETE OR TRUNCATE ON attempts
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_write('records of attempts are never removed');
ALTER TABLE attempts ENABLE ALWAYS TRIGGER attempts_kept;

CREATE TRIGGER attempts_only_compensated BEFORE UPDATE ON attempts
    FOR EACH ROW WHEN (NEW.compensated_at IS NULL
        OR to_jsonb(OLD) - 'compensated_at' IS DISTINCT FROM to_jsonb(NEW) - 'compensated_at')
    EXECUTE FUNCTION refuse_write('of an attempt only compensated_at is written later');
ALTER TABLE attempts ENABLE ALWAYS TRIGGER attempts_only_compensated;

-- The transition tables of core. The conditions are looked at without calling
-- the function, so a legal update costs nothing that can be measured.
CREATE TRIGGER runs_transition BEFORE UPDATE ON runs
    FOR EACH ROW WHEN (
        OLD.status = 'COMPLETED' AND NEW.status <> 'COMPLETED'
        OR OLD.status <> 'RUNNING' AND NEW.status NOT IN (OLD.status, 'RUNNING'))
    EXECUTE FUNCTION refuse_write('a run cannot go from that status to this one');
CREATE TRIGGER runs_forward BEFORE UPDATE ON runs
    FOR EACH ROW WHEN (NEW.epoch < OLD.epoch OR NEW.attempt < OLD.attempt OR NEW.max_retry_count < OLD.max_retry_count)
    EXECUTE FUNCTION refuse_write('epoch, attempt and max_retry_count never go back');
CREATE TRIGGER files_final BEFORE UPDATE ON files
    FOR EACH ROW WHEN (OLD.status IN ('completed', 'error') AND OLD IS DISTINCT FROM NEW)
    EXECUTE FUNCTION refuse_write('a file that is completed or error never changes again');

-- A refund gives back exactly what its charge took, to the period it came from.
-- +goose StatementBegin
CREATE FUNCTION check_refund() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM ledger c
      WHERE c.tenant_id = NEW.tenant_id AND c.key = NEW.charge_key AND c.kind = 'charge'
        AND c.period = NEW.period AND c.monthly = NEW.monthly AND c.purchased = NEW.purchased
        AND c.run_id = NEW.run_id AND c.attempt = NEW.attempt;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'refund differs from its charge'
            USING ERRCODE = 'check_violation', CONSTRAINT = TG_NAME, TABLE = TG_TABLE_NAME;
    END IF;
    RETURN NEW;
END $$;
-- +goose StatementEnd
CREATE TRIGGER ledger_refund_exact BEFORE INSERT ON ledger
    FOR EACH ROW WHEN (NEW.kind = 'refund') EXECUTE FUNCTION check_refund();
