-- API keys. See ports.APIKeys.

-- +goose Up

-- A key is found by its primary key, because its token names the tenant. What is kept of
-- the token is its hash.
CREATE TABLE api_keys (
    tenant_id  TEXT    NOT NULL,
    key_id     TEXT    NOT NULL,
    name       TEXT    NOT NULL,
    role       TEXT    NOT NULL,
    hash       TEXT    NOT NULL, -- SHA-256, hexadecimal
    by_subject TEXT    NOT NULL, -- who made it
    by_tenant  TEXT    NOT NULL,
    by_role    TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    revoked_at INTEGER,
    used_at    INTEGER,          -- noted at most once a minute
    CONSTRAINT api_keys_pkey PRIMARY KEY (tenant_id, key_id),
    CONSTRAINT api_keys_tenant FOREIGN KEY (tenant_id) REFERENCES tenants (tenant_id),
    CONSTRAINT api_keys_id CHECK (octet_length(key_id) BETWEEN 1 AND 64),
    CONSTRAINT api_keys_hash CHECK (octet_length(hash) = 64 AND hash NOT GLOB '*[^0-9a-f]*'),
    CONSTRAINT api_keys_role CHECK (role IN ('bubble_admin', 'customer_admin', 'customer_user')),
    CONSTRAINT api_keys_by_role CHECK (by_role IN ('bubble_admin', 'customer_admin', 'customer_user')),
    CONSTRAINT api_keys_times CHECK (expires_at > created_at AND revoked_at >= created_at)
) STRICT, WITHOUT ROWID;
