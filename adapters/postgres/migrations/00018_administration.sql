-- What administrators did, and suspended tenants.

-- +goose Up

-- Nothing is started or charged while suspended_at is there. Servers of the version before
-- do not look at it.
ALTER TABLE tenants ADD COLUMN suspended_at timestamptz,
    ADD COLUMN suspended_reason text NOT NULL DEFAULT '',
    ADD CONSTRAINT tenants_suspended CHECK ((suspended_at IS NULL) = (suspended_reason = ''));

-- What administrators did to a tenant, written in the transaction of the deed. A row is
-- never changed and never removed.
CREATE TABLE audit_log (
    tenant_id     text COLLATE "C" NOT NULL,
    event_id      text COLLATE "C" NOT NULL,
    at            timestamptz      NOT NULL,
    actor_subject text             NOT NULL,
    actor_tenant  text             NOT NULL,
    actor_role    text             NOT NULL,
    action        text             NOT NULL,
    target        text             NOT NULL,
    facts         jsonb            NOT NULL, -- text by name
    request_id    text COLLATE "C" NOT NULL, -- '': it was no request
    CONSTRAINT audit_log_pkey PRIMARY KEY (tenant_id, event_id),
    CONSTRAINT audit_log_tenant FOREIGN KEY (tenant_id) REFERENCES tenants (tenant_id),
    CONSTRAINT audit_log_id CHECK (length(event_id) BETWEEN 1 AND 64),
    CONSTRAINT audit_log_role CHECK (actor_role IN ('bubble_admin', 'customer_admin', 'customer_user')),
    CONSTRAINT audit_log_action CHECK (length(action) BETWEEN 1 AND 64),
    CONSTRAINT audit_log_target CHECK (length(target) BETWEEN 1 AND 300),
    CONSTRAINT audit_log_facts CHECK (jsonb_typeof(facts) = 'object'),
    CONSTRAINT audit_log_request CHECK (length(request_id) <= 64)
);
CREATE INDEX audit_log_newest ON audit_log (tenant_id, at DESC, event_id DESC);
-- Of all tenants, for platform admins.
CREATE INDEX audit_log_all ON audit_log (at DESC, tenant_id DESC, event_id DESC);

CREATE TRIGGER audit_log_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_log
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_write('the audit log is append-only');
ALTER TABLE audit_log ENABLE ALWAYS TRIGGER audit_log_append_only;

-- As on every table of a tenant. It is turned on when the next tenant is closed; meanwhile
-- a closed tenant has none either, since whatever is recorded is written with it.
CREATE TRIGGER moved BEFORE INSERT OR UPDATE ON audit_log FOR EACH ROW EXECUTE FUNCTION refuse_moved();
ALTER TABLE audit_log DISABLE TRIGGER moved;
