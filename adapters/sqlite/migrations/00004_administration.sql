-- What administrators did, and suspended tenants.

-- +goose Up

-- Nothing is started or charged while suspended_at is there.
ALTER TABLE tenants ADD COLUMN suspended_at INTEGER;
ALTER TABLE tenants ADD COLUMN suspended_reason TEXT NOT NULL DEFAULT ''
    CONSTRAINT tenants_suspended CHECK ((suspended_at IS NULL) = (suspended_reason = ''));

-- What administrators did to a tenant, written in the transaction of the deed. A row is
-- never changed and never removed.
CREATE TABLE audit_log (
    tenant_id     TEXT    NOT NULL,
    event_id      TEXT    NOT NULL,
    at            INTEGER NOT NULL,
    actor_subject TEXT    NOT NULL,
    actor_tenant  TEXT    NOT NULL,
    actor_role    TEXT    NOT NULL,
    action        TEXT    NOT NULL,
    target        TEXT    NOT NULL,
    facts         TEXT    NOT NULL, -- JSON: text by name
    request_id    TEXT    NOT NULL, -- '': it was no request
    CONSTRAINT audit_log_pkey PRIMARY KEY (tenant_id, event_id),
    CONSTRAINT audit_log_tenant FOREIGN KEY (tenant_id) REFERENCES tenants (tenant_id),
    CONSTRAINT audit_log_id CHECK (length(event_id) BETWEEN 1 AND 64),
    CONSTRAINT audit_log_role CHECK (actor_role IN ('bubble_admin', 'customer_admin', 'customer_user')),
    CONSTRAINT audit_log_action CHECK (length(action) BETWEEN 1 AND 64),
    CONSTRAINT audit_log_target CHECK (length(target) BETWEEN 1 AND 300),
    CONSTRAINT audit_log_facts CHECK (json_valid(facts)),
    CONSTRAINT audit_log_request CHECK (length(request_id) <= 64)
) STRICT;
CREATE INDEX audit_log_newest ON audit_log (tenant_id, at DESC, event_id DESC);
-- Of all tenants, for platform admins.
CREATE INDEX audit_log_all ON audit_log (at DESC, tenant_id DESC, event_id DESC);

-- +goose StatementBegin
CREATE TRIGGER audit_log_append_only_update BEFORE UPDATE ON audit_log BEGIN
    SELECT RAISE(ABORT, 'audit_log_append_only: the audit log is append-only');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER audit_log_append_only_delete BEFORE DELETE ON audit_log BEGIN
    SELECT RAISE(ABORT, 'audit_log_append_only: the audit log is append-only');
END;
-- +goose StatementEnd
