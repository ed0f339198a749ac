-- API keys. See ports.APIKeys.

-- +goose Up

-- A key is found by its primary key, because its token names the tenant. What is kept of
-- the token is its hash.
CREATE TABLE api_keys (
    tenant_id  text COLLATE "C" NOT NULL,
    key_id     text COLLATE "C" NOT NULL,
    name       text             NOT NULL,
    role       text             NOT NULL,
    hash       text             NOT NULL, -- SHA-256, hexadecimal
    by_subject text             NOT NULL, -- who made it
    by_tenant  text             NOT NULL,
    by_role    text             NOT NULL,
    created_at timestamptz      NOT NULL,
    expires_at timestamptz,
    revoked_at timestamptz,
    used_at    timestamptz,               -- noted at most once a minute
    CONSTRAINT api_keys_pkey PRIMARY KEY (tenant_id, key_id),
    CONSTRAINT api_keys_tenant FOREIGN KEY (tenant_id) REFERENCES tenants (tenant_id),
    CONSTRAINT api_keys_id CHECK (octet_length(key_id) BETWEEN 1 AND 64),
    CONSTRAINT api_keys_hash CHECK (hash ~ '^[0-9a-f]{64}$'),
    CONSTRAINT api_keys_role CHECK (role IN ('bubble_admin', 'customer_admin', 'customer_user')),
    CONSTRAINT api_keys_by_role CHECK (by_role IN ('bubble_admin', 'customer_admin', 'customer_user')),
    CONSTRAINT api_keys_times CHECK (expires_at > created_at AND revoked_at >= created_at)
);

CREATE TRIGGER moved BEFORE INSERT OR UPDATE ON api_keys FOR EACH ROW EXECUTE FUNCTION refuse_moved();
-- As the triggers of the other tables are.
-- +goose StatementBegin
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM moves WHERE closed) THEN
        ALTER TABLE api_keys DISABLE TRIGGER moved;
    ELSE
        ALTER TABLE api_keys ENABLE ALWAYS TRIGGER moved;
    END IF;
END $$;
-- +goose StatementEnd
