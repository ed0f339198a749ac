-- What administrators did, suspended tenants, and refunds by hand.

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

-- A platform admin refunds a charge by hand, wholly or in parts, with a reason. A constraint
-- cannot be dropped, so the table is made anew.
CREATE TABLE ledger_new (
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
    reason        TEXT,             -- why a platform admin refunded it; NULL of what Redrive refunds by itself
    CONSTRAINT ledger_pkey PRIMARY KEY (tenant_id, seq),
    -- A key is used once, so whatever is posted twice moves credits once.
    CONSTRAINT ledger_key UNIQUE (tenant_id, key),
    CONSTRAINT ledger_credits FOREIGN KEY (tenant_id) REFERENCES credits (tenant_id),
    CONSTRAINT ledger_attempt FOREIGN KEY (tenant_id, run_id, attempt) REFERENCES attempts (tenant_id, run_id, attempt),
    CONSTRAINT ledger_charge FOREIGN KEY (tenant_id, charge_key) REFERENCES ledger_new (tenant_id, key),
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
    CONSTRAINT ledger_reason CHECK (reason IS NULL OR kind = 'refund' AND length(reason) BETWEEN 1 AND 500),
    CONSTRAINT ledger_of_charge CHECK ((kind = 'refund') = (charge_key IS NOT NULL)),
    -- With ledger_key: at most one charge per attempt.
    CONSTRAINT ledger_charge_key CHECK (kind <> 'charge' OR key = 'charge/' || run_id || '/' || attempt)
) STRICT;
INSERT INTO ledger_new SELECT tenant_id, seq, key, kind, period, monthly, purchased, run_id, attempt, charge_key,
 actor_subject, actor_tenant, actor_role, at, NULL FROM ledger ORDER BY tenant_id, seq;
DROP TABLE ledger;
ALTER TABLE ledger_new RENAME TO ledger;
-- A month of a tenant's ledger, for statements and usage.
CREATE INDEX ledger_period ON ledger (tenant_id, period, seq DESC);
-- Redrive itself refunds a charge once, under whatever key.
CREATE UNIQUE INDEX ledger_refunded_once ON ledger (tenant_id, charge_key) WHERE charge_key IS NOT NULL AND reason IS NULL;
CREATE INDEX ledger_refunds ON ledger (tenant_id, charge_key) WHERE charge_key IS NOT NULL;

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
-- What Redrive refunds by itself is the whole charge, and it refunds no charge that a platform
-- admin has refunded. All refunds of a charge together are at most what it took, part by
-- part, to the period that it came from.
-- +goose StatementBegin
CREATE TRIGGER ledger_refund_exact BEFORE INSERT ON ledger
    WHEN NEW.kind = 'refund' AND NOT EXISTS (
        SELECT 1 FROM ledger c
         WHERE c.tenant_id = NEW.tenant_id AND c.key = NEW.charge_key AND c.kind = 'charge'
           AND c.period = NEW.period AND c.run_id = NEW.run_id AND c.attempt = NEW.attempt
           AND CASE WHEN NEW.reason IS NULL
               THEN c.monthly = NEW.monthly AND c.purchased = NEW.purchased AND NOT EXISTS (
                   SELECT 1 FROM ledger r WHERE r.tenant_id = NEW.tenant_id AND r.charge_key = NEW.charge_key AND r.reason IS NOT NULL)
               ELSE NEW.monthly <= c.monthly - (
                       SELECT coalesce(sum(r.monthly), 0) FROM ledger r WHERE r.tenant_id = NEW.tenant_id AND r.charge_key = NEW.charge_key)
                   AND NEW.purchased <= c.purchased - (
                       SELECT coalesce(sum(r.purchased), 0) FROM ledger r WHERE r.tenant_id = NEW.tenant_id AND r.charge_key = NEW.charge_key)
               END) BEGIN
    SELECT RAISE(ABORT, 'ledger_refund_exact: refund differs from its charge');
END;
-- +goose StatementEnd
