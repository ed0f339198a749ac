-- What operations other than initiations and Continues answered under callers' idempotency
-- keys, kept for a time and then swept.

-- +goose Up

CREATE TABLE replies (
    tenant_id   text COLLATE "C" NOT NULL,
    operation   text COLLATE "C" NOT NULL,
    key         text COLLATE "C" NOT NULL,
    fingerprint text             NOT NULL,
    result      bytea, -- JSON; NULL: refused, or not decided yet, which only its transaction sees
    refusal     jsonb, -- NULL: it succeeded
    at          timestamptz      NOT NULL,
    CONSTRAINT replies_pkey PRIMARY KEY (tenant_id, operation, key),
    CONSTRAINT replies_tenant FOREIGN KEY (tenant_id) REFERENCES tenants (tenant_id),
    CONSTRAINT replies_operation CHECK (octet_length(operation) BETWEEN 1 AND 64)
);
-- Those that are forgotten: core.Reply.Forever has the others.
CREATE INDEX replies_at ON replies (at) WHERE operation <> 'bulk_continue' OR refusal IS NOT NULL;

CREATE TRIGGER moved BEFORE INSERT OR UPDATE ON replies FOR EACH ROW EXECUTE FUNCTION refuse_moved();
-- As the triggers of the other tables are.
-- +goose StatementBegin
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM moves WHERE closed) THEN
        ALTER TABLE replies DISABLE TRIGGER moved;
    ELSE
        ALTER TABLE replies ENABLE ALWAYS TRIGGER moved;
    END IF;
END $$;
-- +goose StatementEnd
