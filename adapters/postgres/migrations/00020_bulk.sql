-- Bulk continues. See ports.BulkContinues and ports.BulkParts.

-- +goose Up

-- Found by its ID before it is known whose it is, like a session, and moved with no tenant:
-- so its key does not begin with one.
CREATE TABLE bulk_continues (
    bulk_id     text COLLATE "C" NOT NULL,
    tenant_id   text COLLATE "C" NOT NULL, -- '' if it is over several tenants
    key         text COLLATE "C",          -- the caller's idempotency key
    status      text             NOT NULL,
    created_at  timestamptz      NOT NULL,
    changed_at  timestamptz      NOT NULL, -- of the status
    lease_until timestamptz,               -- of the server that drives it
    version     bigint           NOT NULL,
    details     text             NOT NULL, -- JSON: internal/bulkjson
    CONSTRAINT bulk_continues_pkey PRIMARY KEY (bulk_id),
    CONSTRAINT bulk_continues_key UNIQUE (tenant_id, key),
    CONSTRAINT bulk_continues_status CHECK (status IN ('running', 'paused', 'finished', 'aborted'))
);
CREATE INDEX bulk_continues_of ON bulk_continues (tenant_id, created_at DESC, bulk_id DESC);
CREATE INDEX bulk_continues_newest ON bulk_continues (created_at DESC, bulk_id DESC);
CREATE INDEX bulk_continues_unended ON bulk_continues (created_at DESC, bulk_id DESC) WHERE status IN ('running', 'paused');
CREATE INDEX bulk_continues_ended ON bulk_continues (changed_at) WHERE status IN ('finished', 'aborted');
CREATE INDEX bulk_continues_running ON bulk_continues (lease_until, bulk_id) WHERE status = 'running';

-- What was answered under a key to a request for one over several tenants; of one of a
-- tenant that is in replies, and moves with it. Only refusals are ever removed: the key of
-- what was made outlives it, or a late repeat would make and charge it again.
CREATE TABLE bulk_replies (
    key         text COLLATE "C" NOT NULL,
    fingerprint text             NOT NULL,
    result      bytea, -- JSON; NULL: refused
    refusal     jsonb, -- NULL: it was made
    at          timestamptz      NOT NULL,
    CONSTRAINT bulk_replies_pkey PRIMARY KEY (key),
    CONSTRAINT bulk_replies_decided CHECK ((result IS NULL) <> (refusal IS NULL))
);
CREATE INDEX bulk_replies_refused ON bulk_replies (at) WHERE refusal IS NOT NULL;

-- What a bulk continue has of one tenant. It has no foreign key to bulk_continues: it is
-- written before, and outlives it for a moment.
CREATE TABLE bulk_parts (
    tenant_id  text COLLATE "C" NOT NULL,
    bulk_id    text COLLATE "C" NOT NULL,
    created_at timestamptz      NOT NULL,
    fence      bigint           NOT NULL,
    last_at    timestamptz,
    totals     text             NOT NULL, -- JSON: internal/bulkjson
    CONSTRAINT bulk_parts_pkey PRIMARY KEY (tenant_id, bulk_id),
    CONSTRAINT bulk_parts_tenant FOREIGN KEY (tenant_id) REFERENCES tenants (tenant_id)
);
CREATE INDEX bulk_parts_of ON bulk_parts (bulk_id, tenant_id);
CREATE INDEX bulk_parts_created ON bulk_parts (created_at);

CREATE TABLE bulk_runs (
    tenant_id text COLLATE "C" NOT NULL,
    bulk_id   text COLLATE "C" NOT NULL,
    place     integer          NOT NULL,
    run_id    text COLLATE "C" NOT NULL,
    state     text             NOT NULL,
    open      boolean          NOT NULL,
    details   text             NOT NULL, -- JSON: internal/bulkjson
    CONSTRAINT bulk_runs_pkey PRIMARY KEY (tenant_id, bulk_id, place),
    CONSTRAINT bulk_runs_once UNIQUE (tenant_id, bulk_id, run_id),
    CONSTRAINT bulk_runs_part FOREIGN KEY (tenant_id, bulk_id) REFERENCES bulk_parts (tenant_id, bulk_id),
    CONSTRAINT bulk_runs_state CHECK (state IN ('waiting', 'continued', 'refused') AND (NOT open OR state = 'continued'))
);
CREATE INDEX bulk_runs_waiting ON bulk_runs (tenant_id, bulk_id, place) WHERE state = 'waiting';
CREATE INDEX bulk_runs_open ON bulk_runs (tenant_id, bulk_id, place) WHERE open;

CREATE TRIGGER moved BEFORE INSERT OR UPDATE OR DELETE ON bulk_parts FOR EACH ROW EXECUTE FUNCTION refuse_moved();
CREATE TRIGGER moved BEFORE INSERT OR UPDATE OR DELETE ON bulk_runs FOR EACH ROW EXECUTE FUNCTION refuse_moved();
-- As the triggers of the other tables are.
-- +goose StatementBegin
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM moves WHERE closed) THEN
        ALTER TABLE bulk_parts DISABLE TRIGGER moved;
        ALTER TABLE bulk_runs DISABLE TRIGGER moved;
    ELSE
        ALTER TABLE bulk_parts ENABLE ALWAYS TRIGGER moved;
        ALTER TABLE bulk_runs ENABLE ALWAYS TRIGGER moved;
    END IF;
END $$;
-- +goose StatementEnd
