-- Webhooks: where tenants want to be told of events, and the events on their way there.
-- See ports/webhooks.go.

-- +goose Up

-- When a tenant is warned that its credits are low. It stands in the row that every charge
-- locks and reads anyway. Servers of the release before do not read it.
ALTER TABLE credits ADD COLUMN low_credits bigint  NOT NULL DEFAULT 0,
                    ADD COLUMN low_told    boolean NOT NULL DEFAULT false,
                    ADD CONSTRAINT credits_low CHECK (low_credits >= 0) NOT VALID;
ALTER TABLE credits VALIDATE CONSTRAINT credits_low;

CREATE TABLE webhook_endpoints (
    tenant_id          text COLLATE "C" NOT NULL,
    endpoint_id        text COLLATE "C" NOT NULL,
    url                text             NOT NULL,
    description        text             NOT NULL,
    types              text[]           NOT NULL,
    collects           boolean          NOT NULL, -- events are written for it
    pause              text             NOT NULL, -- why it is paused; '' if it is not
    paused_at          timestamptz,
    secret             text             NOT NULL, -- signs, so it is kept as it is
    old_secret         text             NOT NULL,
    old_secret_until   timestamptz,
    failing_since      timestamptz,
    succeeded_at       timestamptz,
    created_by_subject text             NOT NULL,
    created_by_tenant  text             NOT NULL,
    created_by_role    text             NOT NULL,
    created_at         timestamptz      NOT NULL,
    updated_at         timestamptz      NOT NULL,
    CONSTRAINT webhook_endpoints_pkey PRIMARY KEY (tenant_id, endpoint_id),
    CONSTRAINT webhook_endpoints_tenant FOREIGN KEY (tenant_id) REFERENCES tenants (tenant_id),
    CONSTRAINT webhook_endpoints_id CHECK (length(endpoint_id) BETWEEN 1 AND 64),
    CONSTRAINT webhook_endpoints_types CHECK (cardinality(types) > 0),
    CONSTRAINT webhook_endpoints_pause CHECK (pause IN ('', 'by_hand', 'failing', 'gone')),
    CONSTRAINT webhook_endpoints_paused CHECK ((pause = '') = (paused_at IS NULL)),
    CONSTRAINT webhook_endpoints_collects CHECK (collects = (pause IN ('', 'by_hand')))
);

-- The outbox. It is written by the transactions that close runs and charge, so it has no
-- foreign key: an endpoint that is removed at that moment must not make them fail.
CREATE TABLE webhook_deliveries (
    tenant_id   text COLLATE "C" NOT NULL,
    endpoint_id text COLLATE "C" NOT NULL,
    event_id    text COLLATE "C" NOT NULL,
    type        text             NOT NULL,
    run_id      text COLLATE "C",
    at          timestamptz      NOT NULL,
    body        text             NOT NULL,
    status      text             NOT NULL,
    claim       integer          NOT NULL,
    tries       integer          NOT NULL,
    due_at      timestamptz,
    log         jsonb            NOT NULL, -- the latest tries
    CONSTRAINT webhook_deliveries_pkey PRIMARY KEY (tenant_id, endpoint_id, event_id),
    CONSTRAINT webhook_deliveries_status CHECK (status IN ('pending', 'delivered', 'given_up')),
    CONSTRAINT webhook_deliveries_due CHECK ((status = 'pending') = (due_at IS NOT NULL))
);

-- What is due, by endpoint: one with a long queue costs the others nothing.
CREATE INDEX webhook_deliveries_pending ON webhook_deliveries (tenant_id, endpoint_id, due_at, event_id) WHERE status = 'pending';
-- The log of an endpoint, the newest first.
CREATE INDEX webhook_deliveries_log ON webhook_deliveries (tenant_id, endpoint_id, at DESC, event_id DESC);
-- The part of the log that is pending or was given up, by that: it is small.
CREATE INDEX webhook_deliveries_undelivered ON webhook_deliveries (tenant_id, endpoint_id, status, at DESC, event_id DESC) WHERE status <> 'delivered';
-- What is swept.
CREATE INDEX webhook_deliveries_at ON webhook_deliveries (at);

CREATE TRIGGER moved BEFORE INSERT OR UPDATE ON webhook_endpoints FOR EACH ROW EXECUTE FUNCTION refuse_moved();
CREATE TRIGGER moved BEFORE INSERT OR UPDATE ON webhook_deliveries FOR EACH ROW EXECUTE FUNCTION refuse_moved();
-- As the triggers of the other tables are.
-- +goose StatementBegin
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM moves WHERE closed) THEN
        ALTER TABLE webhook_endpoints DISABLE TRIGGER moved;
        ALTER TABLE webhook_deliveries DISABLE TRIGGER moved;
    ELSE
        ALTER TABLE webhook_endpoints ENABLE ALWAYS TRIGGER moved;
        ALTER TABLE webhook_deliveries ENABLE ALWAYS TRIGGER moved;
    END IF;
END $$;
-- +goose StatementEnd
