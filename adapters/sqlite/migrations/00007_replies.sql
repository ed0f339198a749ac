-- What operations other than initiations and Continues answered under callers' idempotency
-- keys, kept for a time and then swept; and the sweep of refusals in answers, which are kept
-- no longer. Accepted answers stay: they keep a late repeat from being charged.

-- +goose Up

CREATE TABLE replies (
    tenant_id   TEXT    NOT NULL,
    operation   TEXT    NOT NULL,
    key         TEXT    NOT NULL,
    fingerprint TEXT    NOT NULL,
    result      TEXT, -- JSON; NULL: refused, or not decided yet, which only its transaction sees
    refusal     TEXT, -- JSON; NULL: it succeeded
    at          INTEGER NOT NULL,
    CONSTRAINT replies_pkey PRIMARY KEY (tenant_id, operation, key),
    CONSTRAINT replies_tenant FOREIGN KEY (tenant_id) REFERENCES tenants (tenant_id),
    CONSTRAINT replies_operation CHECK (length(CAST(operation AS BLOB)) BETWEEN 1 AND 64),
    CONSTRAINT replies_json CHECK ((result IS NULL OR json_valid(result)) AND (refusal IS NULL OR json_valid(refusal)))
) STRICT;
-- Those that are forgotten: core.Reply.Forever has the others.
CREATE INDEX replies_at ON replies (at) WHERE operation <> 'bulk_continue' OR refusal IS NOT NULL;

-- Only refusals are in it, so that an accepted initiation costs nothing more.
CREATE INDEX answers_refused ON answers (at) WHERE run IS NULL;
