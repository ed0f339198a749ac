-- The queue of jobs, for servers that carry their jobs in Postgres. What is here
-- are hints: the tables of 00001 decide, and recovery sends again what is lost.
-- No foreign key leads out of these tables, because the queue may stand on a
-- database of its own.

-- +goose Up

-- A job that waits or is in a worker's hands; it is deleted once it was claimed.
-- The primary key deduplicates: message_id is made of tenant, job and epoch.
--
-- A row is inserted, updated when it is taken, and deleted. free_at and
-- deliveries are in no index, so that the update is HOT: room for it is left on
-- the page. Vacuum comes by count and not by share of the table, which is empty
-- most of the time.
CREATE TABLE queue_jobs (
    tenant_id   text COLLATE "C" NOT NULL,
    message_id  uuid             NOT NULL,
    seq         bigint           NOT NULL GENERATED ALWAYS AS IDENTITY, -- order within (tenant, template); tells rows apart that had the same key one after the other
    template_id text COLLATE "C" NOT NULL, -- '' if an older server sent it
    free_at     timestamptz      NOT NULL DEFAULT now(), -- before that somebody has it, or gave it back a moment ago
    deliveries  integer          NOT NULL DEFAULT 0,
    enqueued_at timestamptz      NOT NULL DEFAULT now(),
    metadata    text             NOT NULL, -- a JSON object: correlation ID and the like
    payload     text             NOT NULL, -- versioned JSON; kept as it came, also if nobody can read it
    CONSTRAINT queue_jobs_pkey PRIMARY KEY (tenant_id, message_id),
    CONSTRAINT queue_jobs_deliveries CHECK (deliveries >= 0)
) WITH (fillfactor = 70, autovacuum_vacuum_threshold = 10000, autovacuum_vacuum_scale_factor = 0,
        autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_cost_delay = 0);

-- Tenants are served in turn, and each one's templates in turn, so that nobody's
-- backlog is in the way of others: what is skipped is jumped over here. It does not
-- begin with the tenant, because answers, which name tenant and message, must go by
-- the primary key: here each would read the tenant's whole backlog, and Postgres
-- takes either as long as its statistics are of an empty queue.
CREATE INDEX queue_jobs_order ON queue_jobs (template_id, tenant_id, seq);

-- Messages that nobody could read, for operators to look at and to send again.
CREATE TABLE queue_dead (
    tenant_id  text COLLATE "C" NOT NULL,
    dead_id    bigint           NOT NULL GENERATED ALWAYS AS IDENTITY,
    message_id text COLLATE "C" NOT NULL, -- as it came
    template_id text COLLATE "C" NOT NULL,
    origin     text             NOT NULL,
    reason     text             NOT NULL,
    detail     text             NOT NULL,
    died_at    timestamptz      NOT NULL,
    metadata   text             NOT NULL,
    payload    text             NOT NULL,
    CONSTRAINT queue_dead_pkey PRIMARY KEY (tenant_id, dead_id)
);
