-- What administrators did, suspended tenants, and refunds by hand.

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

CREATE TRIGGER moved BEFORE INSERT OR UPDATE ON audit_log FOR EACH ROW EXECUTE FUNCTION refuse_moved();
-- As the triggers of the other tables are.
-- +goose StatementBegin
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM moves WHERE closed) THEN
        ALTER TABLE audit_log DISABLE TRIGGER moved;
    ELSE
        ALTER TABLE audit_log ENABLE ALWAYS TRIGGER moved;
    END IF;
END $$;
-- +goose StatementEnd

-- A platform admin refunds a charge by hand, wholly or in parts, with a reason. Servers of
-- the version before read such an entry as the refund that it is.
ALTER TABLE ledger ADD COLUMN reason text;

-- +goose StatementBegin
CREATE OR REPLACE FUNCTION check_entry() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    violated text := CASE
        WHEN NOT (NEW.monthly >= 0 AND NEW.purchased >= 0 AND (NEW.monthly > 0 OR NEW.purchased > 0)
            AND NEW.monthly <= 9223372036854775807 - NEW.purchased) THEN 'ledger_amount'
        -- With ledger_key: at most one charge per attempt.
        WHEN NOT (NEW.kind <> 'charge' OR NEW.key = 'charge/' || NEW.run_id || '/' || NEW.attempt) THEN 'ledger_charge_key'
        WHEN NOT (CASE NEW.kind WHEN 'allowance' THEN NEW.purchased = 0 WHEN 'purchase' THEN NEW.monthly = 0 ELSE true END) THEN 'ledger_grant'
        WHEN NOT (length(NEW.key) BETWEEN 1 AND 300) THEN 'ledger_key_form'
        WHEN NOT (NEW.kind IN ('allowance', 'purchase', 'charge', 'refund')) THEN 'ledger_kind'
        -- Charges and refunds belong to an attempt, grants to none.
        WHEN NOT ((NEW.kind IN ('charge', 'refund')) = (NEW.run_id IS NOT NULL)
            AND (NEW.kind IN ('charge', 'refund')) = (NEW.attempt IS NOT NULL)) THEN 'ledger_of_attempt'
        WHEN NOT ((NEW.kind = 'refund') = (NEW.charge_key IS NOT NULL)) THEN 'ledger_of_charge'
        WHEN NOT (NEW.period ~ '^[0-9]{4}-(0[1-9]|1[0-2])$') THEN 'ledger_period'
        -- Why a platform admin refunded it; NULL of what Redrive refunds by itself.
        WHEN NOT (NEW.reason IS NULL OR NEW.kind = 'refund' AND length(NEW.reason) BETWEEN 1 AND 500) THEN 'ledger_reason'
        WHEN NOT (NEW.actor_role IN ('bubble_admin', 'customer_admin', 'customer_user')) THEN 'ledger_role'
        WHEN NOT (NEW.seq >= 1) THEN 'ledger_seq'
    END;
BEGIN
    IF violated IS NOT NULL THEN
        RAISE EXCEPTION 'a ledger entry violates %', violated
            USING ERRCODE = 'check_violation', CONSTRAINT = violated, TABLE = TG_TABLE_NAME;
    END IF;
    RETURN NEW;
END $$;

-- What Redrive refunds by itself is the whole charge, and it refunds no charge that a platform
-- admin has refunded. All refunds of a charge together are at most what it took, part by
-- part, to the period that it came from; whoever posts them holds the tenant's lock.
CREATE OR REPLACE FUNCTION check_refund() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    back_monthly   numeric := 0;
    back_purchased numeric := 0;
    by_hand        boolean := false;
BEGIN
    -- A repeat is for the unique keys to refuse.
    SELECT coalesce(sum(r.monthly), 0), coalesce(sum(r.purchased), 0), coalesce(bool_or(r.reason IS NOT NULL), false)
      INTO back_monthly, back_purchased, by_hand
      FROM ledger r WHERE r.tenant_id = NEW.tenant_id AND r.charge_key = NEW.charge_key;
    PERFORM FROM ledger c
      WHERE c.tenant_id = NEW.tenant_id AND c.key = NEW.charge_key AND c.kind = 'charge'
        AND c.period = NEW.period AND c.run_id = NEW.run_id AND c.attempt = NEW.attempt
        AND CASE WHEN NEW.reason IS NULL
            THEN NOT by_hand AND c.monthly = NEW.monthly AND c.purchased = NEW.purchased
            ELSE back_monthly + NEW.monthly <= c.monthly AND back_purchased + NEW.purchased <= c.purchased END;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'refund differs from its charge'
            USING ERRCODE = 'check_violation', CONSTRAINT = TG_NAME, TABLE = TG_TABLE_NAME;
    END IF;
    RETURN NEW;
END $$;
-- +goose StatementEnd

-- Until 00025, ledger_refunded_once refuses a second refund of a charge, by hand too.
