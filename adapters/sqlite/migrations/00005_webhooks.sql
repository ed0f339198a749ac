-- Webhooks: where tenants want to be told of events, and the events on their way there.
-- See ports/webhooks.go.

-- +goose Up

-- When a tenant is warned that its credits are low: in the row that every charge reads.
ALTER TABLE credits ADD COLUMN low_credits INTEGER NOT NULL DEFAULT 0 CONSTRAINT credits_low CHECK (low_credits >= 0);
ALTER TABLE credits ADD COLUMN low_told INTEGER NOT NULL DEFAULT 0;

CREATE TABLE webhook_endpoints (
    tenant_id          TEXT    NOT NULL,
    endpoint_id        TEXT    NOT NULL,
    url                TEXT    NOT NULL,
    description        TEXT    NOT NULL,
    types              TEXT    NOT NULL, -- each between commas
    collects           INTEGER NOT NULL, -- events are written for it
    pause              TEXT    NOT NULL, -- why it is paused; '' if it is not
    paused_at          INTEGER,
    secret             TEXT    NOT NULL, -- signs, so it is kept as it is
    old_secret         TEXT    NOT NULL,
    old_secret_until   INTEGER,
    failing_since      INTEGER,
    succeeded_at       INTEGER,
    created_by_subject TEXT    NOT NULL,
    created_by_tenant  TEXT    NOT NULL,
    created_by_role    TEXT    NOT NULL,
    created_at         INTEGER NOT NULL,
    updated_at         INTEGER NOT NULL,
    CONSTRAINT webhook_endpoints_pkey PRIMARY KEY (tenant_id, endpoint_id),
    CONSTRAINT webhook_endpoints_tenant FOREIGN KEY (tenant_id) REFERENCES tenants (tenant_id),
    CONSTRAINT webhook_endpoints_types CHECK (types LIKE ',%,'),
    CONSTRAINT webhook_endpoints_pause CHECK (pause IN ('', 'by_hand', 'failing', 'gone')),
    CONSTRAINT webhook_endpoints_paused CHECK ((pause = '') = (paused_at IS NULL)),
    CONSTRAINT webhook_endpoints_collects CHECK (collects = (pause IN ('', 'by_hand')))
) STRICT, WITHOUT ROWID;

-- The outbox. It is written by the transactions that close runs and charge, so it has no
-- foreign key: an endpoint that is removed at that moment must not make them fail.
CREATE TABLE webhook_deliveries (
    tenant_id   TEXT    NOT NULL,
    endpoint_id TEXT    NOT NULL,
    event_id    TEXT    NOT NULL,
    type        TEXT    NOT NULL,
    run_id      TEXT,
    at          INTEGER NOT NULL,
    body        TEXT    NOT NULL,
    status      TEXT    NOT NULL,
    claim       INTEGER NOT NULL,
    tries       INTEGER NOT NULL,
    due_at      INTEGER,
    log         TEXT    NOT NULL, -- JSON: the latest tries
    CONSTRAINT webhook_deliveries_pkey PRIMARY KEY (tenant_id, endpoint_id, event_id),
    CONSTRAINT webhook_deliveries_status CHECK (status IN ('pending', 'delivered', 'given_up')),
    CONSTRAINT webhook_deliveries_due CHECK ((status = 'pending') = (due_at IS NOT NULL))
) STRICT;

-- What is due, by endpoint: one with a long queue costs the others nothing.
CREATE INDEX webhook_deliveries_pending ON webhook_deliveries (tenant_id, endpoint_id, due_at, event_id) WHERE status = 'pending';
-- The log of an endpoint, the newest first.
CREATE INDEX webhook_deliveries_log ON webhook_deliveries (tenant_id, endpoint_id, at, event_id);
-- The part of the log that is pending or was given up, by that: it is small.
CREATE INDEX webhook_deliveries_undelivered ON webhook_deliveries (tenant_id, endpoint_id, status, at, event_id) WHERE status <> 'delivered';
-- What is swept.
CREATE INDEX webhook_deliveries_at ON webhook_deliveries (at);
