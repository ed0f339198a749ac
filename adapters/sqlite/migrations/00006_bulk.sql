-- Bulk continues. See ports.BulkContinues and ports.BulkParts.

-- +goose Up

CREATE TABLE bulk_continues (
    bulk_id     TEXT    NOT NULL,
    tenant_id   TEXT    NOT NULL, -- '' if it is over several tenants
    key         TEXT,             -- the caller's idempotency key
    status      TEXT    NOT NULL,
    created_at  INTEGER NOT NULL,
    changed_at  INTEGER NOT NULL, -- of the status
    lease_until INTEGER NOT NULL, -- of the server that drives it; 0: none
    version     INTEGER NOT NULL,
    details     TEXT    NOT NULL, -- JSON: internal/bulkjson
    CONSTRAINT bulk_continues_pkey PRIMARY KEY (bulk_id),
    CONSTRAINT bulk_continues_key UNIQUE (tenant_id, key),
    CONSTRAINT bulk_continues_status CHECK (status IN ('running', 'paused', 'finished', 'aborted'))
) STRICT, WITHOUT ROWID;
CREATE INDEX bulk_continues_of ON bulk_continues (tenant_id, created_at DESC, bulk_id DESC);
CREATE INDEX bulk_continues_newest ON bulk_continues (created_at DESC, bulk_id DESC);
CREATE INDEX bulk_continues_unended ON bulk_continues (created_at DESC, bulk_id DESC) WHERE status IN ('running', 'paused');
CREATE INDEX bulk_continues_ended ON bulk_continues (changed_at) WHERE status IN ('finished', 'aborted');
CREATE INDEX bulk_continues_running ON bulk_continues (lease_until, bulk_id) WHERE status = 'running';

-- What was answered under a key to a request for one over several tenants; of one of a
-- tenant that is in replies, and moves with it. Only refusals are ever removed: the key of
-- what was made outlives it, or a late repeat would make and charge it again.
CREATE TABLE bulk_replies (
    key         TEXT    NOT NULL,
    fingerprint TEXT    NOT NULL,
    result      TEXT, -- JSON; NULL: refused
    refusal     TEXT, -- JSON; NULL: it was made
    at          INTEGER NOT NULL,
    CONSTRAINT bulk_replies_pkey PRIMARY KEY (key),
    CONSTRAINT bulk_replies_decided CHECK ((result IS NULL) <> (refusal IS NULL)),
    CONSTRAINT bulk_replies_json CHECK ((result IS NULL OR json_valid(result)) AND (refusal IS NULL OR json_valid(refusal)))
) STRICT;
CREATE INDEX bulk_replies_refused ON bulk_replies (at) WHERE refusal IS NOT NULL;

-- What a bulk continue has of one tenant. It has no foreign key to bulk_continues: it is
-- written before, and outlives it for a moment.
CREATE TABLE bulk_parts (
    tenant_id  TEXT    NOT NULL,
    bulk_id    TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    fence      INTEGER NOT NULL,
    last_at    INTEGER,
    totals     TEXT    NOT NULL, -- JSON: internal/bulkjson
    CONSTRAINT bulk_parts_pkey PRIMARY KEY (tenant_id, bulk_id),
    CONSTRAINT bulk_parts_tenant FOREIGN KEY (tenant_id) REFERENCES tenants (tenant_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX bulk_parts_of ON bulk_parts (bulk_id, tenant_id);
CREATE INDEX bulk_parts_created ON bulk_parts (created_at);

CREATE TABLE bulk_runs (
    tenant_id TEXT    NOT NULL,
    bulk_id   TEXT    NOT NULL,
    place     INTEGER NOT NULL,
    run_id    TEXT    NOT NULL,
    state     TEXT    NOT NULL,
    open      INTEGER NOT NULL,
    details   TEXT    NOT NULL, -- JSON: internal/bulkjson
    CONSTRAINT bulk_runs_pkey PRIMARY KEY (tenant_id, bulk_id, place),
    CONSTRAINT bulk_runs_once UNIQUE (tenant_id, bulk_id, run_id),
    CONSTRAINT bulk_runs_part FOREIGN KEY (tenant_id, bulk_id) REFERENCES bulk_parts (tenant_id, bulk_id),
    CONSTRAINT bulk_runs_state CHECK (state IN ('waiting', 'continued', 'refused') AND (open = 0 OR state = 'continued'))
) STRICT, WITHOUT ROWID;
CREATE INDEX bulk_runs_waiting ON bulk_runs (tenant_id, bulk_id, place) WHERE state = 'waiting';
CREATE INDEX bulk_runs_open ON bulk_runs (tenant_id, bulk_id, place) WHERE open = 1;
